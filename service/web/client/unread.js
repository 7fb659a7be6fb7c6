/** The count of unread notifications, mergeable from events that arrive out of order. */

/**
 * `seq`: the number of the last notification; `read`: how many notifications have ever been read. Neither ever
 * decreases, so two states are merged by taking the maximum of each, in any order.
 * @typedef {{seq: number, read: number}} UnreadCounter
 */

/** @type {UnreadCounter} */
export const ZERO = { seq: 0, read: 0 };

/**
 * Merge a count that the server reported.
 * @param {UnreadCounter} counter
 * @param {{seq: number, unread_count: number}} reported
 * @returns {UnreadCounter}
 */
export function mergeCount(counter, { seq, unread_count }) {
  return { seq: Math.max(counter.seq, seq), read: Math.max(counter.read, seq - unread_count) };
}

/**
 * Advance the counter to at least the notification number `seq`.
 * @param {UnreadCounter} counter
 * @param {number} seq
 * @returns {UnreadCounter}
 */
export function advanceTo(counter, seq) {
  return { ...counter, seq: Math.max(counter.seq, seq) };
}

/** @param {UnreadCounter} counter */
export function unreadCount({ seq, read }) {
  return Math.max(0, seq - read);
}
