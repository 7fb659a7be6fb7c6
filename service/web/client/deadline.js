/** A limit on how long an operation may take. */

import { LoaError } from "./errors.js";

/**
 * Run `task`. If it takes longer than `milliseconds`, abort it and reject with the retryable LoaError `network`: a
 * network that drops packets reports no error for minutes, or never.
 * @template T
 * @param {number} milliseconds
 * @param {(signal: AbortSignal) => Promise<T>} task its result is ignored after the deadline, even if it ignores
 *   `signal`
 * @returns {Promise<T>}
 */
export async function withDeadline(milliseconds, task) {
  const controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<never>} */
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new LoaError("network", "The server did not answer in time."));
      controller.abort();
    }, milliseconds);
  });
  try {
    return await Promise.race([task(controller.signal), deadline]);
  } finally {
    clearTimeout(timer);
  }
}
