/**
 * Tells subscribers of events, in order. One that throws does not keep the others from hearing.
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
    // A wrapper, so that one function may subscribe twice and leave once.
    const own = (/** @type {T} */ event) => handler(event);
    this.#handlers.add(own);
    return () => void this.#handlers.delete(own);
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

/** As an error that nobody has caught, to the console and to whatever watches the page. @param {unknown} error */
function report(error) {
  if (globalThis.reportError) globalThis.reportError(error);
  else console.error(error);
}
