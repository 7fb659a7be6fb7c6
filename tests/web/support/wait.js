/** Helpers that wait for events instead of sleeping. */

/**
 * Resolve with the first event that `matches`. Call it before the action that causes the event.
 * @template T
 * @param {{subscribe(handler: (event: T) => void): () => void}} source
 * @param {(event: T) => unknown} matches
 * @returns {Promise<T>}
 */
export function nextEvent(source, matches) {
  return new Promise((resolve) => {
    const unsubscribe = source.subscribe((event) => {
      if (!matches(event)) return;
      unsubscribe();
      resolve(event);
    });
  });
}

/** Resolve with the state of a store as soon as it `matches`. */
export function untilState(store, matches) {
  const state = store.getSnapshot();
  return matches(state) ? Promise.resolve(state) : nextEvent(store, matches);
}

/** Resolve as soon as the socket or stream has this status. */
export async function untilStatus(source, status) {
  if (source.status === status) return;
  await nextEvent(source, ({ type, data }) => type === "status" && data.status === status);
}

/** Run the event loop for some turns: data written to a loopback socket is read within a few of them. */
export async function flushEventLoop(turns = 20) {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A queue whose `next` waits for an item. */
export class Queue {
  #items = [];
  #waiters = [];

  put(item) {
    const waiter = this.#waiters.shift();
    if (waiter) waiter(item);
    else this.#items.push(item);
  }

  next() {
    return this.#items.length
      ? Promise.resolve(this.#items.shift())
      : new Promise((resolve) => this.#waiters.push(resolve));
  }

  get size() {
    return this.#items.length;
  }
}
