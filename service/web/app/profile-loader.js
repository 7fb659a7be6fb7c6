/**
 * Loads the profiles that the store does not have: with a conversation, the server sends only those of the first
 * participants. Views read profiles through `mergeInto`, and request those that they show with `load`.
 */

/** Milliseconds before a request that failed for the moment is repeated. */
const RETRY_DELAY = 5000;

export class ProfileLoader {
  #api;
  #handlers = new Set();
  #loaded = {};
  #requested = new Set();
  #queue = Promise.resolve();
  #closed = false;
  #storeProfiles = {};
  #merged = {};

  constructor(api) {
    this.#api = api;
  }

  close() {
    this.#closed = true;
  }

  /** `handler()` is called after each profile that was loaded. Returns a function that unsubscribes. */
  subscribe(handler) {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /** Return `profiles` plus the loaded ones, by user id. The result is the same object until one of the two changes. */
  mergeInto(profiles) {
    if (profiles !== this.#storeProfiles) {
      this.#storeProfiles = profiles;
      this.#merged = { ...this.#loaded, ...profiles };
    }
    return this.#merged;
  }

  /** Request the profiles of these users, as far as they are missing: each once, one request at a time. */
  load(userIds) {
    for (const id of userIds) {
      if (!id || id in this.#merged || this.#requested.has(id)) continue;
      this.#requested.add(id);
      this.#queue = this.#queue.then(() => this.#load(id));
    }
  }

  async #load(id) {
    while (!this.#closed) {
      try {
        this.#loaded[id] = await this.#api.user(id);
        break;
      } catch (error) {
        // A deleted user is shown as "Someone".
        if (!error.retryable) return;
        await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY));
      }
    }
    this.#merged = { ...this.#loaded, ...this.#storeProfiles };
    for (const handler of this.#handlers) handler();
  }
}
