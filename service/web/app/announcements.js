/**
 * Shows the operator's announcements, each once: at once, or when the user looks at the page again; the last one also to
 * a user who was not connected when it was made.
 */

export class Announcements {
  #api;
  #show;
  #storage;
  #key;
  /** What waits until the page is in view: {message, created_at}; `created_at` is null if it has just been made. */
  #waiting = null;
  /** What was shown last, if it could not be stored. */
  #unstored = null;
  /** How many have been made since the start: the response to a request from before the last one is old. */
  #made = 0;
  #abort = new AbortController();

  /** `show(message)`. `storage`: a `KeyValueStorage` that all tabs share, if the browser allows one. */
  constructor({ api, socket, me }, show, storage) {
    this.#api = api;
    this.#show = show;
    this.#storage = storage;
    this.#key = `loa:announcement:${me.id}`;
    const unsubscribe = socket.subscribe(({ type, data }) => {
      if (type === "announcement") this.#onAnnouncement(data.message);
      if (type === "hello") this.#load();
    });
    const { signal } = this.#abort;
    signal.addEventListener("abort", unsubscribe);
    document.addEventListener("visibilitychange", () => this.#showWaiting(), { signal });
    if (socket.status === "online") this.#load();
  }

  close() {
    this.#abort.abort();
  }

  /** If it cannot be loaded, the next connection tries again. */
  #load() {
    const made = this.#made;
    this.#api.announcement().then(
      ({ announcement }) => {
        if (this.#abort.signal.aborted || made !== this.#made || !announcement) return;
        this.#waiting = announcement;
        this.#showWaiting();
      },
      () => {},
    );
  }

  #onAnnouncement(message) {
    this.#made += 1;
    const announcement = { message, created_at: null };
    if (document.hidden) {
      this.#waiting = announcement;
      return;
    }
    this.#remember(announcement);
    this.#show(message);
  }

  #showWaiting() {
    const announcement = this.#waiting;
    if (!announcement || document.hidden) return;
    this.#waiting = null;
    const { message, created_at } = this.#shown() ?? {};
    // One that was shown when it was made, here or in another tab, has no time yet.
    const isShown = message === announcement.message && (!created_at || created_at === announcement.created_at);
    this.#remember(announcement);
    if (!isShown) this.#show(announcement.message);
  }

  #shown() {
    if (this.#unstored) return this.#unstored;
    try {
      return JSON.parse(this.#storage.getItem(this.#key));
    } catch {
      return null;
    }
  }

  #remember(announcement) {
    this.#unstored = null;
    try {
      this.#storage.setItem(this.#key, JSON.stringify(announcement));
    } catch {
      // A full storage: it is shown again after a reload.
      this.#unstored = announcement;
    }
  }
}
