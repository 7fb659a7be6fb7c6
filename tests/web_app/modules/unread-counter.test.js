/** Counts of unread messages, from what the store and the socket tell. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { UnreadCounter } from "../../../service/web/app/unread-counter.js";

const head = (conversation_id, last_seq, last_read_seq) => ({ conversation_id, last_seq, last_rev: last_seq, last_read_seq });
const message = (seq, fields = {}) => ({ seq, rev: seq, sender_id: "bob", deleted: false, ...fields });
const details = (last_seq, last_read_seq, unread_count) => ({ last_seq, last_rev: last_seq, last_read_seq, unread_count });
const conversation = (fields) => ({ id: "c", details: null, messages: [], loadedFrom: Infinity, lastSeq: 0, reads: {}, ...fields });

function counter(...heads) {
  const unread = new UnreadCounter("ann");
  unread.onEvent({ type: "hello", conversations: heads });
  return unread;
}

test("conversations that are not loaded count as in the last hello", () => {
  const unread = counter(head("a", 5, 2), head("b", 1, 0), head("c", 4, 4));
  assert.equal(unread.total({}), 4);
  // Another device has read `a`; the store then knows only the read mark.
  assert.equal(unread.total({ a: conversation({ id: "a", reads: { ann: 5 } }) }), 1);
  unread.onEvent({ type: "conversation_removed", conversation_id: "b" });
  assert.equal(unread.total({}), 3);
});

test("of loaded messages, the user's own and deleted ones do not count", () => {
  const messages = [message(1), message(2, { deleted: true }), message(3, { sender_id: "ann" }), message(4, { kind: "joined", event: { by: "bob" } })];
  assert.equal(counter().count(conversation({ messages, loadedFrom: 1, lastSeq: 4 })), 1);
});

test("messages that are announced but not fetched yet count", () => {
  assert.equal(counter().count(conversation({ messages: [message(1)], loadedFrom: 1, lastSeq: 3, reads: { ann: 1 } })), 2);
});

test("without the messages, the server's count is continued", () => {
  const unread = counter(head("c", 9, 4));
  const loaded = { details: details(9, 4, 3), loadedFrom: 10, lastSeq: 9, reads: { ann: 4 } };
  assert.equal(unread.count(conversation(loaded)), 3);
  assert.equal(unread.count(conversation({ ...loaded, messages: [message(10)], lastSeq: 10 })), 4);
  assert.equal(unread.count(conversation({ ...loaded, lastSeq: 10 })), 4);
  assert.equal(unread.count(conversation({ ...loaded, reads: { ann: 9 } })), 0);
});

test("a message that is deleted before it was seen no longer counts", () => {
  const unread = counter(head("c", 9, 4));
  const loaded = conversation({ details: details(9, 4, 5), loadedFrom: 10, lastSeq: 9, reads: { ann: 4 } });
  const deletion = (fields) => ({ type: "message_updated", conversation_id: "c", data: message(6, { deleted: true, ...fields }) });
  assert.equal(unread.count(loaded), 5);
  unread.onEvent(deletion({ rev: 8 }));
  assert.equal(unread.count(loaded), 5, "the server's count is from after this deletion");
  unread.onEvent(deletion({ rev: 10 }));
  unread.onEvent(deletion({ rev: 10 }));
  assert.equal(unread.count(loaded), 4);
  assert.equal(unread.count({ ...loaded, reads: { ann: 6 } }), 3);
});
