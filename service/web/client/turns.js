/**
 * Runs jobs one at a time for each key. One that is asked for while it runs, runs once more afterwards, however often
 * it was asked for: a job does whatever is to be done when it begins.
 */
export class Turns {
  /** @type {Map<string, {again: boolean}>} */
  #running = new Map();

  /**
   * @param {string} key
   * @param {() => Promise<void>} job
   */
  async take(key, job) {
    const running = this.#running.get(key);
    if (running) {
      running.again = true;
      return;
    }
    const turn = { again: true };
    this.#running.set(key, turn);
    try {
      while (turn.again) {
        turn.again = false;
        await job();
      }
    } finally {
      this.#running.delete(key);
    }
  }
}
