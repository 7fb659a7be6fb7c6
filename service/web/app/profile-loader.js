/**
 * Loads the profiles of message senders that the store does not have: in a large group, the server sends only the first
 * participants' profiles.
 */

export class ProfileLoader {
  #api;
  #onLoaded;
  #loaded = {};
  #requested = new Set();
  #queue = Promise.resolve();
  #storeProfiles;
  #merged;

  /** `onLoaded()` is called after each profile that was loaded. */
  constructor(api, onLoaded) {
    this.#api = api;
    this.#onLoaded = onLoaded;
  }

  /** Return `profiles` plus the loaded ones, by user id. The result is the same object until one of the two changes. */
  mergeInto(profiles) {
    if (profiles !== this.#storeProfiles) {
      this.#storeProfiles = profiles;
      this.#merged = { ...this.#loaded, ...profiles };
    }
    return this.#merged;
  }

  /** Request the profiles of senders that are missing in `profiles`: each once, one request at a time. */
  loadMissing(messages, profiles) {
    for (const { sender_id } of messages) {
      if (sender_id in profiles || this.#requested.has(sender_id)) continue;
      this.#requested.add(sender_id);
      this.#queue = this.#queue.then(() => this.#load(sender_id));
    }
  }

  async #load(id) {
    try {
      this.#loaded[id] = await this.#api.user(id);
    } catch {
      // Shown as "Someone" until the conversation is opened again.
      return;
    }
    this.#storeProfiles = null;
    this.#onLoaded();
  }
}
