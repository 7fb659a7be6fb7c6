/**
 * Calls its subscribers synchronously, in the order of subscription. If a subscriber throws, the error is reported and
 * the remaining subscribers are still called.
 * @template T
 */
export class Emitter {
  /** @type {Set<(event: T) => void>} */
  #handlers = new Set();

  /**
   * @param {(event: T) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    // The wrapper makes each subscription distinct: a function that subscribed twice can unsubscribe once.
    const wrapper = (/** @type {T} */ event) => handler(event);
    this.#handlers.add(wrapper);
    return () => void this.#handlers.delete(wrapper);
  }

  /** @param {T} event */
  emit(event) {
    for (const handler of [...this.#handlers]) {
      try {
        handler(event);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** Report an error as an uncaught one: to the console and to `window.onerror` listeners. @param {unknown} error */
function report(error) {
  if (globalThis.reportError) globalThis.reportError(error);
  else console.error(error);
}
