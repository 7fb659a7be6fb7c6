/** One EventSource, from its opening to its end. */

/** @typedef {import("./types.js").StreamEvent | {type: "token_expiring"}} FeedEvent */

const NAMED = ["hello", "unread_count", "reset", "token_expiring", "draining"];
/** Milliseconds that the opening may take; a network that swallows packets would never say so. */
const OPENING = 15_000;
/**
 * Milliseconds of silence after which a stream counts as dead: a live one says by then that its token expires. Its
 * heartbeats, which are comments, the browser keeps to itself.
 */
const SILENCE = 15 * 60_000;
/** Milliseconds since it was last heard from in which a stream is not suspected, whatever has woken the page. */
const FRESH = 10_000;

/** Events in, until it is lost: then it is over, for the browser's own retrying would show a spent ticket again. */
export class Feed {
  #source;
  #lost;
  #heardAt = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;

  /**
   * @param {EventSource} source
   * @param {(event: FeedEvent) => void} hear
   * @param {(why: string) => void} lost called once, unless `close` was
   */
  constructor(source, hear, lost) {
    this.#source = source;
    this.#lost = lost;
    /** @param {string} type @returns {(event: {data: string}) => void} */
    const hearing = (type) => (event) => {
      this.#heardAt = Date.now();
      this.#watch(SILENCE);
      hear(/** @type {any} */ ({ type, data: JSON.parse(event.data) }));
    };
    source.onmessage = hearing("notification");
    for (const type of NAMED) source.addEventListener(type, hearing(type));
    source.onerror = () => this.#end("network");
    this.#watch(OPENING);
  }

  /** Whether it may have died unseen. */
  get doubtful() {
    return Date.now() - this.#heardAt > FRESH;
  }

  close() {
    clearTimeout(this.#watchdog);
    this.#source.onerror = null;
    this.#source.close();
  }

  /** @param {number} milliseconds in which something has to be heard */
  #watch(milliseconds) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#end("silent"), milliseconds);
  }

  /** @param {string} why */
  #end(why) {
    this.close();
    this.#lost(why);
  }
}
