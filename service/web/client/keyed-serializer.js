/**
 * Runs at most one job per key at a time. Requests for a key whose job is running are coalesced into one more run after
 * it. A job therefore must read what there is to do when it starts.
 */
export class KeyedSerializer {
  /** @type {Map<string, {rerun: boolean}>} */
  #running = new Map();

  /**
   * Run `job`, or mark the running job of this key to be run again. Rejects with the error of `job`.
   * @param {string} key
   * @param {() => Promise<void>} job
   */
  async run(key, job) {
    const running = this.#running.get(key);
    if (running) {
      running.rerun = true;
      return;
    }
    const current = { rerun: true };
    this.#running.set(key, current);
    try {
      while (current.rerun) {
        current.rerun = false;
        await job();
      }
    } finally {
      this.#running.delete(key);
    }
  }
}
