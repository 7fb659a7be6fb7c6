/** Repeats a request that failed because the server could not be reached, until it succeeds. */

/** Milliseconds before the first repetition; doubled for each further one, up to the maximum. */
const DELAY = 2000;
const MAX_DELAY = 30_000;

export class AutoRetry {
  #task;
  #onError;
  #delay = DELAY;
  #timer;
  #running = false;
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

  /** Run the task now, unless it is running. */
  async run() {
    if (this.#running) return;
    this.#running = true;
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
