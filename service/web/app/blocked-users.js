/** Whom the user blocks, kept up to date with changes in other tabs and on other devices. */

export class BlockedUsers {
  #api;
  #ids = new Set();
  #handlers = new Set();
  #unsubscribe;

  constructor(api, socket) {
    this.#api = api;
    this.#unsubscribe = socket.subscribe((event) => this.#onEvent(event));
    this.#load();
  }

  close() {
    this.#unsubscribe();
  }

  has(userId) {
    return this.#ids.has(userId);
  }

  /** `handler()` is called after each change. Returns a function that unsubscribes. */
  subscribe(handler) {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  #onEvent({ type, data }) {
    // Events may have been missed while there was no connection.
    if (type === "hello" || type === "reset") this.#load();
    if (type === "block_updated") this.#set(data.user_id, data.blocked);
  }

  #set(userId, blocked) {
    if (blocked) this.#ids.add(userId);
    else this.#ids.delete(userId);
    this.#notify();
  }

  async #load() {
    const ids = new Set();
    try {
      let before = null;
      do {
        const page = await this.#api.blocks({ limit: 100, before });
        for (const { user } of page.items) ids.add(user.id);
        before = page.next;
      } while (before);
    } catch {
      // The next hello loads it again.
      return;
    }
    this.#ids = ids;
    this.#notify();
  }

  #notify() {
    for (const handler of [...this.#handlers]) handler();
  }
}
