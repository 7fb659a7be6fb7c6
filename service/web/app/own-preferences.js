/** The user's notification preferences, kept up to date with changes made on other devices. */

/** Events after which the stream may have skipped a change. */
const STREAM_START = new Set(["hello", "reset"]);

export class OwnPreferences {
  #api;
  #unsubscribe;
  #handlers = new Set();
  /** The preferences; null before they are known. */
  #current = null;
  /** Settles when the last request has been answered: they are sent one after the other. */
  #last = Promise.resolve();
  #isWanted = false;

  constructor(api, stream) {
    this.#api = api;
    this.#unsubscribe = stream.subscribe((event) => this.#onEvent(event));
  }

  get current() {
    return this.#current;
  }

  close() {
    this.#unsubscribe();
    this.#handlers.clear();
  }

  /** Call `handler(preferences)` on each change; at once, if they are known. Returns a function that unsubscribes. */
  subscribe(handler) {
    this.#handlers.add(handler);
    if (this.#current) handler(this.#current);
    return () => this.#handlers.delete(handler);
  }

  /** Load them; from then on they are kept up to date. */
  async load() {
    this.#isWanted = true;
    await this.#request(() => this.#api.preferences());
  }

  /** Store a change: `parts(current)` returns the parts of the preferences that become different. */
  async change(parts) {
    await this.#request(() => this.#api.setPreferences(parts(this.#current)));
  }

  async #request(call) {
    const request = this.#last.catch(() => {}).then(call);
    this.#last = request;
    this.#set(await request);
  }

  #onEvent({ type, data }) {
    if (type === "preferences_updated") this.#set(data);
    // An error stays without consequence: the next hello loads them again.
    else if (STREAM_START.has(type) && this.#isWanted) this.load().catch(() => {});
  }

  #set(preferences) {
    this.#current = preferences;
    for (const handler of this.#handlers) handler(preferences);
  }
}
