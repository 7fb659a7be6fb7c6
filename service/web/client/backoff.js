/** The schedule of connection attempts. */

/** Milliseconds: the upper bound of the first delay, and of any. */
const INITIAL_DELAY = 500;
const MAX_DELAY = 20_000;
/** Milliseconds after which a connection counts as stable: the next failure starts again at `INITIAL_DELAY`. */
const STABLE_AFTER = 10_000;

/**
 * Exponential back-off with full jitter: a random delay up to a bound that doubles with each failure, so that the
 * clients of a failed server do not all return at the same moment.
 */
export class Backoff {
  #attempt;
  #failures = 0;
  #connectedAt = 0;
  #skippable = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** When the next attempt is due, in milliseconds since the epoch; null if none is. @type {number | null} */
  retryAt = null;

  /** @param {() => void} attempt called when the next attempt is due */
  constructor(attempt) {
    this.#attempt = attempt;
  }

  /** Schedule the next attempt after `minDelay` milliseconds plus a random delay. */
  schedule(minDelay = 0) {
    if (this.#connectedAt && Date.now() - this.#connectedAt >= STABLE_AFTER) this.#failures = 0;
    const bound = Math.min(MAX_DELAY, INITIAL_DELAY * 2 ** this.#failures++);
    this.#start(minDelay + Math.random() * bound);
    this.#skippable = minDelay === 0;
  }

  /** Schedule the next attempt after a delay set by the server. @param {number} milliseconds */
  scheduleExactly(milliseconds) {
    this.#start(milliseconds);
    this.#skippable = false;
  }

  /** Make a scheduled attempt at once, unless the server asked for the delay. */
  skipDelay() {
    if (this.retryAt !== null && this.#skippable) this.#start(0);
  }

  /** Note that the connection is established. */
  onConnected() {
    this.#connectedAt = Date.now();
  }

  /** Cancel a scheduled attempt and reset the failure count. */
  reset() {
    clearTimeout(this.#timer);
    this.retryAt = null;
    this.#failures = 0;
    this.#connectedAt = 0;
  }

  /** @param {number} milliseconds */
  #start(milliseconds) {
    clearTimeout(this.#timer);
    this.#connectedAt = 0;
    this.retryAt = Date.now() + milliseconds;
    this.#timer = setTimeout(() => {
      this.retryAt = null;
      this.#attempt();
    }, milliseconds);
  }
}
