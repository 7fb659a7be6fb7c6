/** The reducer of the notification state. Like the chat's, its results do not depend on the order of events. */

import { advanceTo, mergeCount, unreadCount } from "./unread.js";

/**
 * @typedef {import("./types.js").Notification} Notification
 * @typedef {import("./types.js").NotificationsState} NotificationsState
 */

/** Notifications kept in memory. Older ones are dropped, and loaded again when the user scrolls back to them. */
const MAX_ITEMS = 300;

/** @type {NotificationsState} */
export const EMPTY = { items: [], deleted: new Set(), first: 1, unreadCount: 0, hasOlder: false, seq: 0, readCount: 0 };

/**
 * Return the state after `event`.
 * @param {NotificationsState} state
 * @param {import("./types.js").StreamEvent} event
 * @returns {NotificationsState}
 */
export function reduceNotifications(state, event) {
  switch (event.type) {
    case "hello":
    case "unread_count":
      return withCounter(state, mergeCount(counterOf(state), event.data));
    case "notification":
      return withCounter(
        { ...state, items: mergeItems(state, [event.data]).slice(0, MAX_ITEMS) },
        advanceTo(counterOf(state), event.data.seq),
      );
    case "notifications_deleted":
      return { ...state, items: withDeleted(state.items, new Set(event.data.seqs)) };
    default:
      return state;
  }
}

/**
 * Add a page of the list. Numbers that are missing in it have been deleted, also those that are loaded.
 * @param {NotificationsState} state
 * @param {import("./types.js").Page<Notification>} page
 * @param {number} [before] the page has notifications below this number; by default, the newest ones
 * @returns {NotificationsState}
 */
export function withPage(state, { items: page, next }, before) {
  const deleted = new Set(state.deleted);
  let expected = before ?? (page[0]?.seq ?? 0) + 1;
  for (const { seq } of page) {
    for (let missing = expected - 1; missing > seq; missing--) deleted.add(missing);
    expected = seq;
  }
  const kept = state.items.filter(({ seq }) => !deleted.has(seq));
  const items = mergeItems({ ...state, items: kept, deleted }, page);
  // Everything below the last page has been deleted.
  const first = next === null ? Math.max(state.first, page.at(-1)?.seq ?? before ?? state.seq + 1) : state.first;
  return withCounter({ ...state, deleted, first, items }, advanceTo(counterOf(state), items[0]?.seq ?? 0));
}

/**
 * Mark the notifications that match as read.
 * @param {NotificationsState} state
 * @param {(notification: Notification) => boolean} matches
 * @returns {NotificationsState}
 */
export function withRead(state, matches) {
  let changed = 0;
  const items = state.items.map((item) => {
    if (item.data.read || !matches(item)) return item;
    changed++;
    return { ...item, data: { ...item.data, read: true } };
  });
  return changed ? { ...state, items } : state;
}

/**
 * Return whether a notification belongs to a group, as far as the group was loaded.
 * @param {Notification} notification
 * @param {import("./types.js").NotificationGroup} group
 */
export function belongsTo({ type, seq, data }, { key, latest }) {
  const first = Number(key.slice(key.lastIndexOf(":") + 1));
  return type === latest.type && seq >= first && seq <= latest.seq && (seq === latest.seq || sameSubject(data, latest));
}

/** @param {Notification["data"]} data @param {Notification} latest */
function sameSubject(data, { data: other }) {
  if ("post_id" in data) return "post_id" in other && data.post_id === other.post_id;
  return data.group_key !== null && "group_key" in other && data.group_key === other.group_key;
}

/** @param {NotificationsState} state */
function counterOf({ seq, readCount }) {
  return { seq, read: readCount };
}

/**
 * @param {NotificationsState} state
 * @param {import("./unread.js").UnreadCounter} counter
 * @returns {NotificationsState}
 */
function withCounter(state, counter) {
  const unread = unreadCount(counter);
  const hasOlder = (state.items.at(-1)?.seq ?? counter.seq + 1) > state.first;
  const counted = { ...state, seq: counter.seq, readCount: counter.read, unreadCount: unread, hasOlder };
  return unread ? counted : withRead(counted, ({ seq }) => seq <= counter.seq);
}

/**
 * Mark the notifications with these numbers as deleted.
 * @param {Notification[]} items
 * @param {Set<number>} seqs
 */
function withDeleted(items, seqs) {
  return items.map((item) =>
    seqs.has(item.seq)
      ? /** @type {Notification} */ ({ ...item, data: { ...item.data, preview: "", read: true, deleted: true } })
      : item,
  );
}

/**
 * Merge two lists, newest first and without duplicates. A notification that was read stays read. Items below a gap are
 * dropped, since they can be loaded again; numbers that have been deleted make no gap.
 * @param {NotificationsState} state
 * @param {Notification[]} added
 */
function mergeItems({ items: existing, deleted }, added) {
  const bySeq = new Map(existing.map((item) => [item.seq, item]));
  for (const item of added) if (!bySeq.get(item.seq)?.data.read) bySeq.set(item.seq, item);
  const items = [...bySeq.values()].sort((a, b) => b.seq - a.seq);
  let expected = items[0]?.seq;
  const gap = items.findIndex(({ seq }) => {
    while (expected > seq && deleted.has(expected)) expected--;
    return seq !== expected--;
  });
  return gap < 0 ? items : items.slice(0, gap);
}
