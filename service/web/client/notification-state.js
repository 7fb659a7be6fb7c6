/** How what happens on the notification stream changes what is known of it. Merged as the chat's state is. */

import { merge, reach, unread } from "./unread.js";

/**
 * @typedef {import("./types.js").Notification} Notification
 * @typedef {import("./types.js").NotificationsState} NotificationsState
 */

/** Notifications held; those that went are loaded again by who scrolls so far. */
const MAX_HELD = 300;

/** @type {NotificationsState} */
export const EMPTY = { items: [], unreadCount: 0, hasOlder: false, seq: 0, readCount: 0 };

/**
 * @param {NotificationsState} state
 * @param {import("./types.js").StreamEvent} event
 * @returns {NotificationsState}
 */
export function foldNotifications(state, event) {
  switch (event.type) {
    case "hello":
    case "unread_count":
      return counted(state, merge(countOf(state), event.data));
    case "notification":
      return counted(
        { ...state, items: merged(state.items, [event.data]).slice(0, MAX_HELD) },
        reach(countOf(state), event.data.seq),
      );
    default:
      return state;
  }
}

/**
 * With a page of the list.
 * @param {NotificationsState} state
 * @param {import("./types.js").Page<Notification>} page
 * @returns {NotificationsState}
 */
export function withPage(state, { items: page }) {
  const items = merged(state.items, page);
  return counted({ ...state, items }, reach(countOf(state), items[0]?.seq ?? 0));
}

/**
 * With these marked as read.
 * @param {NotificationsState} state
 * @param {(notification: Notification) => boolean} which
 * @returns {NotificationsState}
 */
export function withRead(state, which) {
  let changed = 0;
  const items = state.items.map((one) => {
    if (one.data.read || !which(one)) return one;
    changed++;
    return { ...one, data: { ...one.data, read: true } };
  });
  return changed ? { ...state, items } : state;
}

/** @param {NotificationsState} state */
function countOf({ seq, readCount }) {
  return { seq, read: readCount };
}

/**
 * @param {NotificationsState} state
 * @param {import("./unread.js").Count} count
 * @returns {NotificationsState}
 */
function counted(state, count) {
  const unreadCount = unread(count);
  const hasOlder = (state.items.at(-1)?.seq ?? count.seq + 1) > 1;
  const known = { ...state, seq: count.seq, readCount: count.read, unreadCount, hasOlder };
  return unreadCount ? known : withRead(known, ({ seq }) => seq <= count.seq);
}

/**
 * Newest first, each once. What was read stays read, and what lies beyond a hole is let go: it can be loaded again.
 * @param {Notification[]} held
 * @param {Notification[]} more
 */
function merged(held, more) {
  const bySeq = new Map(held.map((one) => [one.seq, one]));
  for (const one of more) if (!bySeq.get(one.seq)?.data.read) bySeq.set(one.seq, one);
  const items = [...bySeq.values()].sort((one, other) => other.seq - one.seq);
  const hole = items.findIndex(({ seq }, place) => seq !== items[0].seq - place);
  return hole < 0 ? items : items.slice(0, hole);
}
