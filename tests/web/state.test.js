/** The corners of the state that no server brings about easily. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { foldChat, withDetails, withHistory, withOpened } from "../../service/web/client/chat-state.js";
import { EMPTY, foldNotifications, withPage } from "../../service/web/client/notification-state.js";
import { ME, message, OTHER, said, TALK } from "./support/chat-server.js";
import { notification } from "./support/stream-server.js";

const START = { userId: ME, conversations: {}, people: {}, presence: {} };

function details(last_seq, more = {}) {
  return { id: TALK, participants: [], last_message: null, last_seq, last_rev: last_seq, last_read_seq: 0, ...more };
}

const seqs = ({ conversations }) => conversations[TALK].messages.map(({ seq }) => seq);

test("a page of history that no longer touches what is held is not taken in", () => {
  let state = withDetails(START, details(100));
  for (let seq = 101; seq <= 160; seq++) state = foldChat(state, said(message(seq)));
  assert.equal(state.conversations[TALK].from, 111);
  const page = [message(99), message(100)];
  assert.equal(withHistory(state, TALK, page, 101), state);
});

test("the first page of an empty conversation ends its history", () => {
  const state = withHistory(withOpened(withDetails(START, details(3)), TALK, true), TALK, [], 4);
  assert.deepEqual([state.conversations[TALK].from, state.conversations[TALK].hasOlder], [1, false]);
});

test("an old message that changes is not taken for a new one", () => {
  const state = foldChat(withDetails(START, details(9)), said(message(4, 10), "message_updated"));
  assert.deepEqual([seqs(state), state.conversations[TALK].lastSeq], [[], 9]);
});

test("the last message is the one with the largest place, in its latest form", () => {
  let state = withDetails(START, details(2, { last_message: message(2, 5) }));
  state = withDetails(state, details(2, { last_message: message(2, 4) }));
  assert.equal(state.conversations[TALK].lastMessage.rev, 5);
  state = foldChat(state, said(message(1, 6), "message_updated"));
  assert.equal(state.conversations[TALK].lastMessage.rev, 5);
  state = foldChat(state, said(message(2, 7), "message_updated"));
  assert.equal(state.conversations[TALK].lastMessage.rev, 7);
});

test("marks and numbers never fall", () => {
  let state = foldChat(withDetails(START, details(9, { last_read_seq: 7 })), {
    ...{ type: "read", conversation_id: TALK, data: { user_id: OTHER, seq: 8 } },
  });
  state = foldChat(state, { type: "read", conversation_id: TALK, data: { user_id: OTHER, seq: 3 } });
  state = withDetails(state, details(5, { last_read_seq: 2 }));
  const { reads, lastSeq, unreadCount } = state.conversations[TALK];
  assert.deepEqual([reads, lastSeq, unreadCount], [{ [ME]: 7, [OTHER]: 8 }, 9, 2]);
});

const listed = ({ items }) => items.map(({ seq }) => seq);

test("notifications beyond a hole are let go, for they can be loaded again", () => {
  let state = withPage(EMPTY, { items: [3, 2, 1].map((seq) => notification(seq)), next: null });
  state = foldNotifications(state, { type: "reset", data: { reason: "too_far_behind" } });
  state = foldNotifications(state, { type: "notification", data: notification(2001) });
  assert.deepEqual([listed(state), state.hasOlder], [[2001], true]);
  state = withPage(state, { items: [2001, 2000, 1999].map((seq) => notification(seq)), next: 1999 });
  assert.deepEqual(listed(state), [2001, 2000, 1999]);
});

test("no more notifications are held than is reasonable, and what was read stays read", () => {
  let state = EMPTY;
  for (let seq = 1; seq <= 400; seq++) {
    state = foldNotifications(state, { type: "notification", data: notification(seq, seq === 400) });
  }
  state = withPage(state, { items: [notification(400)], next: null });
  const [newest] = state.items;
  assert.deepEqual([state.items.length, newest.seq, newest.data.read, state.hasOlder], [300, 400, true, true]);
});
