/** Waiting for what is to happen, instead of sleeping. */

/**
 * Resolves with the first event that `matches`. Subscribe before what causes it.
 * @template T
 * @param {{subscribe(handler: (event: T) => void): () => void}} source
 * @param {(event: T) => unknown} matches
 * @returns {Promise<T>}
 */
export function event(source, matches) {
  return new Promise((resolve) => {
    const leave = source.subscribe((event) => {
      if (!matches(event)) return;
      leave();
      resolve(event);
    });
  });
}

/** Resolves with a store's state once it `matches`. */
export function state(store, matches) {
  const now = store.getSnapshot();
  return matches(now) ? Promise.resolve(now) : event(store, matches);
}

/** Resolves once the socket or stream has this status. */
export async function status(source, wanted) {
  if (source.status !== wanted) await event(source, ({ type, data }) => type === "status" && data.status === wanted);
}

/** Let everything that is ready happen: what was written to a loopback socket is read within a few turns. */
export async function settled(turns = 20) {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Items that come one by one, for whoever waits for the next. */
export class Queue {
  #items = [];
  #takers = [];

  put(item) {
    const taker = this.#takers.shift();
    if (taker) taker(item);
    else this.#items.push(item);
  }

  next() {
    return this.#items.length
      ? Promise.resolve(this.#items.shift())
      : new Promise((resolve) => this.#takers.push(resolve));
  }

  get size() {
    return this.#items.length;
  }
}
