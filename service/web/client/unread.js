/** How many notifications are unread. */

/**
 * `seq`: the last there is; `read`: how many of them were ever read. Neither ever falls, so of two states that come in
 * the wrong order the truth is the larger of each.
 * @typedef {{seq: number, read: number}} Count
 */

/** @type {Count} */
export const NONE = { seq: 0, read: 0 };

/**
 * @param {Count} count
 * @param {{seq: number, unread_count: number}} told
 * @returns {Count}
 */
export function merge(count, { seq, unread_count }) {
  return { seq: Math.max(count.seq, seq), read: Math.max(count.read, seq - unread_count) };
}

/**
 * There is a notification with this number.
 * @param {Count} count
 * @param {number} seq
 * @returns {Count}
 */
export function reach(count, seq) {
  return { ...count, seq: Math.max(count.seq, seq) };
}

/** @param {Count} count */
export function unread({ seq, read }) {
  return Math.max(0, seq - read);
}
