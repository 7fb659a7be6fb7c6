/** Runs one request at a time, and repeats it after a failure to reach the server until it succeeds. */

/** Milliseconds before the first repetition; doubled for each further one, up to the maximum. */
const DELAY = 2000;
const MAX_DELAY = 30_000;

export class AutoRetry {
  #task;
  #onError;
  #delay = DELAY;
  #timer;
  #running = false;
  /** Whether `run` was called during a run, whose response may be older than the reason for the call. */
  #again = false;
  #abort = new AbortController();

  /**
   * `task()` returns a promise. `onError(error)` is called when it rejects; if the error is temporary, the task is
   * repeated after a while, and at once when the browser is online again.
   */
  constructor(task, onError) {
    this.#task = task;
    this.#onError = onError;
    addEventListener("online", () => this.retryNow(), { signal: this.#abort.signal });
  }

  close() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  /** Run the task now; if it is running, once more afterwards. */
  async run() {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    this.#again = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      await this.#task();
      this.#delay = DELAY;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#onError(error);
      if (error.retryable) this.#schedule(error.retryAfter);
    } finally {
      this.#running = false;
    }
    if (this.#again && !this.#abort.signal.aborted) await this.run();
  }

  /** Run the task now if it waits for its repetition, for example because the server can be reached again. */
  retryNow() {
    if (this.#timer !== undefined) this.run();
  }

  #schedule(retryAfter) {
    const delay = Math.max(this.#delay, (retryAfter ?? 0) * 1000);
    this.#delay = Math.min(2 * this.#delay, MAX_DELAY);
    // Not all clients at the same moment.
    this.#timer = setTimeout(() => this.run(), delay * (1 + Math.random() / 2));
  }
}
