/** Counts of the unread messages of all conversations, from what the store and the socket tell. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { UnreadCounter } from "../../../service/web/app/unread-counter.js";

const head = (conversation_id, last_seq, last_read_seq) => ({ conversation_id, last_seq, last_rev: last_seq, last_read_seq });
const conversation = (fields) => ({ details: null, lastSeq: 0, reads: {}, unreadCount: 0, ...fields });
const state = (conversations) => ({ userId: "ann", conversations });

test("conversations that are not loaded count as in the last hello", () => {
  const unread = new UnreadCounter();
  unread.onEvent({ type: "hello", conversations: [head("a", 5, 2), head("b", 1, 0), head("c", 4, 4)] });
  assert.equal(unread.total(state({})), 4);
  // Another device has read `a`; the store then knows only the read mark.
  assert.equal(unread.total(state({ a: conversation({ reads: { ann: 5 } }) })), 1);
  // Its details are on their way.
  assert.equal(unread.total(state({ c: conversation({ lastSeq: 6, unreadCount: 6 }) })), 6);
  unread.onEvent({ type: "conversation_removed", conversation_id: "b" });
  assert.equal(unread.total(state({})), 3);
});

test("loaded conversations count as in the store", () => {
  const unread = new UnreadCounter();
  unread.onEvent({ type: "hello", conversations: [head("a", 5, 2)] });
  assert.equal(unread.total(state({ a: conversation({ details: {}, lastSeq: 5, unreadCount: 1 }) })), 1);
  assert.equal(unread.total(state({ a: conversation({ details: {}, unreadCount: 2 }), b: conversation({ details: {}, unreadCount: 70 }) })), 72);
});
