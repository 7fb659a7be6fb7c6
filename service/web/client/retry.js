/** When to connect again. */

/** Milliseconds: the bound of the first wait, and of all. */
const FIRST = 500;
const LAST = 20_000;
/** A connection that lasted this long was a good one: what comes after it begins anew. */
const STABLE = 10_000;

/**
 * Exponential back-off with full jitter: a random time up to a bound that doubles, so that a thousand clients that
 * lost the same server come back one by one.
 */
export class Retry {
  #again;
  #attempts = 0;
  #upSince = 0;
  #hurried = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** When the next attempt is due, in milliseconds since the epoch; null where none is. @type {number | null} */
  at = null;

  /** @param {() => void} again */
  constructor(again) {
    this.#again = again;
  }

  /** Try again after a time of our own choosing, `least` milliseconds or more. */
  backOff(least = 0) {
    if (this.#upSince && Date.now() - this.#upSince >= STABLE) this.#attempts = 0;
    const most = Math.min(LAST, FIRST * 2 ** this.#attempts++);
    this.#schedule(least + Math.random() * most);
    this.#hurried = least === 0;
  }

  /** Try again when the server has said. @param {number} milliseconds */
  wait(milliseconds) {
    this.#schedule(milliseconds);
    this.#hurried = false;
  }

  /** There is reason to believe that it works now: do not sit out a time that was only a guess. */
  hurry() {
    if (this.at !== null && this.#hurried) this.#schedule(0);
  }

  /** The connection works. */
  up() {
    this.#upSince = Date.now();
  }

  /** Forget what was due, and the failures. */
  cancel() {
    clearTimeout(this.#timer);
    this.at = null;
    this.#attempts = 0;
    this.#upSince = 0;
  }

  /** @param {number} milliseconds */
  #schedule(milliseconds) {
    clearTimeout(this.#timer);
    this.#upSince = 0;
    this.at = Date.now() + milliseconds;
    this.#timer = setTimeout(() => {
      this.at = null;
      this.#again();
    }, milliseconds);
  }
}
