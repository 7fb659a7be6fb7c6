/** The reducers, in cases that a server rarely causes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { reduceChat, withDetails, withHistory, withOpen } from "../../service/web/client/chat-state.js";
import { belongsTo, EMPTY, reduceNotifications, withPage } from "../../service/web/client/notification-state.js";
import { CONVERSATION, ME, message, messageEvent, OTHER } from "./support/chat-server.js";
import { notification } from "./support/stream-server.js";

const START = { userId: ME, conversations: {}, people: {}, presence: {} };

function details(last_seq, more = {}) {
  const unread_count = last_seq - (more.last_read_seq ?? 0);
  const numbers = { last_seq, last_rev: last_seq, last_read_seq: 0, unread_count };
  return { id: CONVERSATION, participants: [], last_message: null, ...numbers, ...more };
}

const seqs = ({ conversations }) => conversations[CONVERSATION].messages.map(({ seq }) => seq);

test("a page of history that would leave a gap is ignored", () => {
  let state = withDetails(START, details(100));
  for (let seq = 101; seq <= 160; seq++) state = reduceChat(state, messageEvent(message(seq)));
  assert.equal(state.conversations[CONVERSATION].loadedFrom, 111);
  const page = [message(99), message(100)];
  assert.equal(withHistory(state, CONVERSATION, page, 101), state);
});

test("an empty page of history means that there is nothing older", () => {
  const state = withHistory(withOpen(withDetails(START, details(3)), CONVERSATION, true), CONVERSATION, [], 4);
  const { loadedFrom, hasOlder } = state.conversations[CONVERSATION];
  assert.deepEqual([loadedFrom, hasOlder], [1, false]);
});

test("the first page of the user's history is not preceded by another, whatever its first seq is", () => {
  const open = withOpen(withDetails(START, details(5)), CONVERSATION, true);
  const page = [message(4), message(5)];
  for (const isFirst of [false, true]) {
    const state = withHistory(open, CONVERSATION, page, 6, isFirst);
    assert.deepEqual([seqs(state), state.conversations[CONVERSATION].hasOlder], [[4, 5], !isFirst]);
  }
});

test("once the last page of notifications is loaded, there are no older ones, though their numbers begin later", () => {
  const page = { items: [notification(9), notification(7)], next: 7 };
  let state = withPage(EMPTY, page);
  assert.equal(state.hasOlder, true);
  state = withPage(state, { items: [notification(5)], next: null }, 7);
  assert.deepEqual([state.items.map(({ seq }) => seq), state.hasOlder], [[9, 7, 5], false]);
  state = withPage(EMPTY, { items: [notification(4)], next: 4 });
  assert.equal(withPage(state, { items: [], next: null }, 4).hasOlder, false);
});

test("an update of a message that is not loaded does not count as new", () => {
  const state = reduceChat(withDetails(START, details(9)), messageEvent(message(4, 10), "message_updated"));
  assert.deepEqual([seqs(state), state.conversations[CONVERSATION].lastSeq], [[], 9]);
});

test("the last message is the one with the largest seq, in its latest version", () => {
  let state = withDetails(START, details(2, { last_message: message(2, 5) }));
  state = withDetails(state, details(2, { last_message: message(2, 4) }));
  assert.equal(state.conversations[CONVERSATION].lastMessage.rev, 5);
  state = reduceChat(state, messageEvent(message(1, 6), "message_updated"));
  assert.equal(state.conversations[CONVERSATION].lastMessage.rev, 5);
  state = reduceChat(state, messageEvent(message(2, 7), "message_updated"));
  assert.equal(state.conversations[CONVERSATION].lastMessage.rev, 7);
});

test("read marks and sequence numbers never decrease", () => {
  let state = reduceChat(withDetails(START, details(9, { last_read_seq: 7 })), {
    ...{ type: "read", conversation_id: CONVERSATION, data: { user_id: OTHER, seq: 8 } },
  });
  state = reduceChat(state, { type: "read", conversation_id: CONVERSATION, data: { user_id: OTHER, seq: 3 } });
  state = withDetails(state, details(5, { last_read_seq: 2 }));
  const { reads, lastSeq, unreadCount } = state.conversations[CONVERSATION];
  assert.deepEqual([reads, lastSeq, unreadCount], [{ [ME]: 7, [OTHER]: 8 }, 9, 2]);
});

const unread = ({ conversations }) => conversations[CONVERSATION].unreadCount;
const tombstone = (seq, rev) => messageEvent(message(seq, rev, { deleted: true, content: "" }), "message_updated");

test("deleted messages are not unread, in whatever order deletions and details arrive", () => {
  // Messages 3, 5 and 6 of 10 were deleted, and the user has read up to 4.
  const loaded = details(10, { last_rev: 13, last_read_seq: 4, unread_count: 4 });
  const earlier = details(10, { last_rev: 12, last_read_seq: 4, unread_count: 5 });
  const before = reduceChat(withDetails(START, earlier), tombstone(6, 13));
  for (const state of [withDetails(START, loaded), before, withDetails(before, loaded), withDetails(before, loaded)]) {
    assert.equal(unread(state), 4);
    // The details count a deletion that comes later, too.
    assert.equal(unread(reduceChat(state, tombstone(6, 13))), 4);
    const deleted = reduceChat(reduceChat(state, tombstone(9, 14)), tombstone(9, 14));
    assert.equal(unread(deleted), 3);
    assert.equal(unread(withDetails(deleted, loaded)), 3);
    const read = { type: "read", conversation_id: CONVERSATION, data: { user_id: ME, seq: 10 } };
    assert.equal(unread(reduceChat(deleted, read)), 0);
    assert.equal(unread(reduceChat(reduceChat(deleted, read), messageEvent(message(11, 15)))), 1);
  }
});

test("unread messages count, also those that are no longer kept", () => {
  let state = withDetails(START, details(3, { last_read_seq: 3 }));
  for (let seq = 4; seq <= 73; seq++) state = reduceChat(state, messageEvent(message(seq)));
  assert.deepEqual([state.conversations[CONVERSATION].messages.length, unread(state)], [50, 70]);
  assert.equal(unread(reduceChat(state, tombstone(5, 80))), 69);
});

test("of loaded messages, deleted and system ones are not unread, wherever the user has read up to", () => {
  const deleted = message(2, 2, { deleted: true });
  const system = message(4, 4, { event: { by: OTHER } });
  const open = withOpen(withDetails(START, details(5, { unread_count: 3 })), CONVERSATION, true);
  const page = [message(1), deleted, message(3), system, message(5)];
  let state = withHistory(open, CONVERSATION, page, 6, true);
  assert.equal(unread(state), 3);
  for (const [seq, left] of [[1, 2], [3, 1]]) {
    state = reduceChat(state, { type: "read", conversation_id: CONVERSATION, data: { user_id: ME, seq } });
    assert.equal(unread(state), left);
  }
  // Announced, but not fetched yet.
  const hello = { type: "hello", user_id: ME, conversations: [{ conversation_id: CONVERSATION, last_seq: 7, last_read_seq: 3 }] };
  assert.equal(unread(reduceChat(state, hello)), 3);
});

test("the read marks of others come with the details", () => {
  let state = withDetails(START, details(9, { read_marks: { [OTHER]: 7 } }));
  assert.deepEqual(state.conversations[CONVERSATION].reads, { [OTHER]: 7 });
  state = withDetails(state, details(9, { read_marks: null }));
  assert.deepEqual(state.conversations[CONVERSATION].reads, { [OTHER]: 7 });
});

test("an event without the user's own numbers leaves them as they are", () => {
  let state = withDetails(START, details(10, { last_rev: 12, last_read_seq: 4, unread_count: 5 }));
  state = reduceChat(state, tombstone(6, 13));
  const announced = details(12, { last_rev: 16, last_read_seq: null, unread_count: null, title: "New" });
  const event = { type: "conversation_updated", conversation_id: CONVERSATION, data: announced };
  state = reduceChat(state, event);
  assert.equal(state.conversations[CONVERSATION].details.title, "New");
  assert.deepEqual([state.conversations[CONVERSATION].lastSeq, unread(state)], [12, 6]);
  // A deletion that was on its way.
  assert.equal(unread(reduceChat(reduceChat(state, tombstone(9, 14)), event)), 5);
  assert.equal(reduceChat(START, event), START);
});

const notificationSeqs = ({ items }) => items.map(({ seq }) => seq);

test("notifications below a gap are dropped", () => {
  let state = withPage(EMPTY, { items: [3, 2, 1].map((seq) => notification(seq)), next: null });
  state = reduceNotifications(state, { type: "reset", data: { reason: "too_far_behind" } });
  state = reduceNotifications(state, { type: "notification", data: notification(2001) });
  assert.deepEqual([notificationSeqs(state), state.hasOlder], [[2001], true]);
  state = withPage(state, { items: [2001, 2000, 1999].map((seq) => notification(seq)), next: 1999 });
  assert.deepEqual(notificationSeqs(state), [2001, 2000, 1999]);
});

test("deleted notifications make no gap, and count as read", () => {
  let state = withPage(EMPTY, { items: [9, 7, 4].map((seq) => notification(seq)), next: 4 });
  assert.deepEqual(notificationSeqs(state), [9, 7, 4]);
  state = withPage(state, { items: [2, 1].map((seq) => notification(seq)), next: null }, 4);
  assert.deepEqual(notificationSeqs(state), [9, 7, 4, 2, 1]);
  state = reduceNotifications(state, { type: "notifications_deleted", data: { seqs: [7, 8] } });
  const { seq, data } = state.items[1];
  assert.deepEqual([seq, data.read, data.deleted, data.preview], [7, true, true, ""]);
  state = reduceNotifications(state, { type: "notification", data: notification(11) });
  assert.deepEqual(notificationSeqs(state), [11]);
});

test("what was deleted while there was no stream goes with the page that lacks it", () => {
  let state = withPage(EMPTY, { items: [9, 8, 7, 6].map((seq) => notification(seq)), next: 6 });
  state = withPage(state, { items: [10, 9, 7].map((seq) => notification(seq)), next: 7 });
  assert.deepEqual(notificationSeqs(state), [10, 9, 7, 6]);
});

test("at most 300 notifications are kept, and a read one stays read", () => {
  let state = EMPTY;
  for (let seq = 1; seq <= 400; seq++) {
    state = reduceNotifications(state, { type: "notification", data: notification(seq, seq === 400) });
  }
  state = withPage(state, { items: [notification(400)], next: 400 });
  const [newest] = state.items;
  assert.deepEqual([state.items.length, newest.seq, newest.data.read, state.hasOlder], [300, 400, true, true]);
});

test("a group has the notifications of its type and subject, from its first to its latest one", () => {
  const custom = (seq, group_key) => ({ type: "ORDER_PAID", seq, data: { ...notification(seq).data, group_key } });
  const without = ({ data: { post_id, ...data }, ...item }) => ({ ...item, data });
  const other = { ...notification(5), data: { ...notification(5).data, post_id: "d00000000000000000000002" } };
  const group = { key: "NEW_COMMENT:d00000000000000000000001:4", latest: notification(7) };
  const belonging = [3, 4, 7, 8].filter((seq) => belongsTo(notification(seq), group));
  assert.deepEqual(belonging, [4, 7]);
  assert.equal(belongsTo(other, group), false);
  assert.equal(belongsTo({ ...notification(5), type: "NEW_REPLY" }, group), false);
  const orders = { key: "ORDER_PAID:a:b:3", latest: without(custom(6, "a:b")) };
  assert.equal(belongsTo(without(custom(4, "a:b")), orders), true);
  assert.equal(belongsTo(without(custom(4, "c")), orders), false);
  const single = { key: "ORDER_PAID:6", latest: without(custom(6, null)) };
  assert.equal(belongsTo(without(custom(6, null)), single), true);
  assert.equal(belongsTo(without(custom(5, null)), single), false);
});
