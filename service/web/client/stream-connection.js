/** One EventSource connection, from opening to its end. */

/** @typedef {import("./types.js").StreamEvent | {type: "token_expiring"}} ServerEvent */

const EVENT_NAMES = [
  "hello",
  "unread_count",
  "notifications_deleted",
  "preferences_updated",
  "reset",
  "token_expiring",
  "draining",
];
/** Milliseconds within which the hello must arrive. A network that drops packets never reports an error. */
const OPEN_TIMEOUT = 15_000;
/** Milliseconds between two heartbeats, if the hello does not name them. */
const HEARTBEAT_INTERVAL = 20_000;
/** Milliseconds by which a heartbeat may be late. */
const MARGIN = 5000;

/**
 * Passes on the events of an EventSource until the first error, or until the server is silent for two heartbeats: then
 * the connection is half-open. It does not use EventSource's own reconnect, which would reuse the same URL with its
 * ticket, and a ticket is valid once.
 */
export class StreamConnection {
  #source;
  #onLost;
  #lastEventAt = Date.now();
  /** Milliseconds; null before the hello. @type {number | null} */
  #heartbeatInterval = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;

  /**
   * @param {EventSource} source
   * @param {(event: ServerEvent) => void} onEvent called with every event but heartbeats
   * @param {(code: string) => void} onLost called at most once, and not after `close`; `code`: `network` or `silent`
   */
  constructor(source, onEvent, onLost) {
    this.#source = source;
    this.#onLost = onLost;
    /** @param {string} type @returns {(event: {data: string}) => void} */
    const listener = (type) => (event) => {
      const data = JSON.parse(event.data);
      if (type === "hello") this.#heartbeatInterval = data.heartbeat_interval * 1000 || HEARTBEAT_INTERVAL;
      this.#lastEventAt = Date.now();
      if (this.#heartbeatInterval) this.#restartWatchdog(2 * this.#heartbeatInterval + MARGIN);
      if (type !== "heartbeat") onEvent(/** @type {any} */ ({ type, data }));
    };
    source.onmessage = listener("notification");
    for (const type of [...EVENT_NAMES, "heartbeat"]) source.addEventListener(type, listener(type));
    source.onerror = () => this.#fail("network");
    this.#restartWatchdog(OPEN_TIMEOUT);
  }

  /**
   * Return whether a heartbeat is overdue: the connection may be dead. If not, the next one is awaited without the
   * tolerance for a missed one. Call it when the page wakes up, since its timers did not run while it was frozen.
   */
  checkOverdue() {
    if (!this.#heartbeatInterval) return false;
    const remaining = this.#lastEventAt + this.#heartbeatInterval + MARGIN - Date.now();
    if (remaining > 0) this.#restartWatchdog(remaining);
    return remaining <= 0;
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
