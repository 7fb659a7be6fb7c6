/** One EventSource connection, from opening to its end. */

/** @typedef {import("./types.js").StreamEvent | {type: "token_expiring"}} ServerEvent */

const EVENT_NAMES = ["hello", "unread_count", "reset", "token_expiring", "draining"];
/** Milliseconds within which the first event must arrive. A network that drops packets never reports an error. */
const OPEN_TIMEOUT = 15_000;
/**
 * Milliseconds without an event after which the stream counts as dead. A live stream sends `token_expiring` within this
 * time. The server's heartbeats do not count: they are comments, which the browser does not pass on.
 */
const IDLE_TIMEOUT = 15 * 60_000;
/** Milliseconds after the last event until the stream may be dead. Before that, it is kept when the page wakes up. */
const STALE_AFTER = 10_000;

/**
 * Passes on the events of an EventSource until the first error. It does not use EventSource's own reconnect, which
 * would reuse the same URL with its ticket, and a ticket is valid once.
 */
export class StreamConnection {
  #source;
  #onLost;
  #lastEventAt = Date.now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;

  /**
   * @param {EventSource} source
   * @param {(event: ServerEvent) => void} onEvent
   * @param {(code: string) => void} onLost called at most once, and not after `close`; `code`: `network` or `silent`
   */
  constructor(source, onEvent, onLost) {
    this.#source = source;
    this.#onLost = onLost;
    /** @param {string} type @returns {(event: {data: string}) => void} */
    const listener = (type) => (event) => {
      this.#lastEventAt = Date.now();
      this.#restartWatchdog(IDLE_TIMEOUT);
      onEvent(/** @type {any} */ ({ type, data: JSON.parse(event.data) }));
    };
    source.onmessage = listener("notification");
    for (const type of EVENT_NAMES) source.addEventListener(type, listener(type));
    source.onerror = () => this.#fail("network");
    this.#restartWatchdog(OPEN_TIMEOUT);
  }

  /** Whether the last event is so old that the connection may have died unnoticed. */
  get stale() {
    return Date.now() - this.#lastEventAt > STALE_AFTER;
  }

  /** Close the connection without calling `onLost`. */
  close() {
    clearTimeout(this.#watchdog);
    this.#source.onerror = null;
    this.#source.close();
  }

  /** @param {number} milliseconds within which the next event must arrive */
  #restartWatchdog(milliseconds) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#fail("silent"), milliseconds);
  }

  /** @param {string} code */
  #fail(code) {
    this.close();
    this.#onLost(code);
  }
}
