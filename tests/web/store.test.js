/** Store: the state it builds, and that clients that received the same events have the same state. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";

import { reduceChat } from "../../service/web/client/chat-state.js";
import { Loa } from "../../service/web/client/loa.js";
import { RevisionTracker } from "../../service/web/client/revision-tracker.js";
import { CONVERSATION, message, messageEvent, OTHER } from "./support/chat-server.js";
import { createStorage } from "./support/browser.js";
import { browserPlatform, signedInClient } from "./support/client.js";
import { startLoaServer, user } from "./support/loa-server.js";
import { flushEventLoop, nextEvent, untilState } from "./support/wait.js";

const [ANN, BOB, EVE] = [0, 1, 2].map((index) => user(index).id);

/** Ann, signed in, and her conversation with Bob, in which he has sent some messages. */
async function startConversation(t, { sent = 0 } = {}) {
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  for (let count = 1; count <= sent; count++) server.sendMessage(id, BOB, `${count}`);
  const ann = await signedInClient(t, server, 0);
  // The list is there before the connection is.
  await untilState(ann.store, ({ conversationIds, chat }) => conversationIds.length === 1 && chat.status === "online");
  const conversation = () => ann.store.getSnapshot().conversations[id];
  /** Wait until the conversation's state matches. */
  const until = (matches) => untilState(ann.store, ({ conversations }) => matches(conversations[id]));
  return { server, id, ann, conversation, until };
}

const contents = ({ messages }) => messages.map(({ content }) => content);

test("the list is shown while the socket still connects", async (t) => {
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  server.sendMessage(id, BOB, "1");
  class NeverOpening extends EventTarget {
    close() {}
  }
  const ann = new Loa({ server: server.url, ...browserPlatform({ WebSocket: NeverOpening }) });
  t.after(() => ann.stop());
  ann.start();
  assert.equal(ann.store.getSnapshot().conversationsLoaded, false);
  await ann.session.login("user0", "right");
  await untilState(ann.store, ({ conversationsLoaded }) => conversationsLoaded);
  const { conversations, chat } = ann.store.getSnapshot();
  assert.deepEqual([conversations[id].unreadCount, chat.status], [1, "connecting"]);
});

test("after the sign-in, the state holds conversations, counts and profiles", async (t) => {
  const { ann, id, conversation } = await startConversation(t, { sent: 3 });
  const { userId, conversationIds, people } = ann.store.getSnapshot();
  assert.deepEqual([userId, conversationIds, people[BOB].username], [ANN, [id], "user1"]);
  const { unreadCount, lastMessage, messages } = conversation();
  assert.deepEqual([unreadCount, lastMessage.content, messages], [3, "3", []]);
});

test("a new message appears, counts as unread, and ends the typing indicator", async (t) => {
  const { server, id, conversation, until } = await startConversation(t);
  server.sendTyping(id, BOB);
  await until(({ typing }) => BOB in typing);
  server.sendMessage(id, BOB, "hello");
  await until(({ messages }) => messages.length);
  assert.deepEqual([contents(conversation()), conversation().unreadCount, conversation().typing], [["hello"], 1, {}]);
});

test("the user's own message is pending until it is stored, and counts as read", async (t) => {
  const { ann, id, conversation, until } = await startConversation(t);
  const sending = ann.socket.send(id, "hello");
  assert.deepEqual(conversation().pending.map(({ content, error }) => [content, error]), [["hello", null]]);
  const stored = await sending;
  await until(({ messages }) => messages.length);
  assert.deepEqual([conversation().messages, conversation().pending, conversation().unreadCount], [[stored], [], 0]);
});

test("a rejected message stays with its error until it is dismissed", async (t) => {
  const { server, ann, id, conversation, until } = await startConversation(t);
  server.sendMessage = () => assert.fail();
  const [connection] = server.connections;
  connection.socket.removeAllListeners("message");
  connection.socket.on("message", (data) => {
    const { ref } = JSON.parse(String(data));
    connection.send({ type: "error", ref, code: "forbidden", detail: "Forbidden." });
  });
  await assert.rejects(ann.socket.send(id, "hello"), { code: "forbidden" });
  await until(({ pending }) => pending[0].error);
  assert.equal(conversation().pending[0].error.detail, "Forbidden.");
  ann.store.dismiss(id, conversation().pending[0].nonce);
  assert.deepEqual(conversation().pending, []);
});

test("edits, deletions and reactions update the message in place", async (t) => {
  const { server, id, conversation, until } = await startConversation(t);
  for (const content of ["one", "two", "three"]) server.sendMessage(id, BOB, content);
  server.updateMessage(id, 2, { content: "zwei" });
  server.updateMessage(id, 3, { content: "", deleted: true });
  server.updateMessage(id, 1, { reactions: { "👍": [ANN] } });
  await until(({ messages }) => messages[0]?.rev === 6);
  assert.deepEqual(contents(conversation()), ["one", "zwei", ""]);
  assert.deepEqual([conversation().lastMessage.deleted, conversation().messages[0].reactions], [true, { "👍": [ANN] }]);
});

test("openConversation loads the latest page, and loadOlder the earlier ones", async (t) => {
  const { ann, id, conversation, server } = await startConversation(t, { sent: 10 });
  await ann.store.openConversation(id);
  assert.deepEqual([contents(conversation()), conversation().hasOlder], [["7", "8", "9", "10"], true]);
  await Promise.all([ann.store.loadOlder(id), ann.store.loadOlder(id)]);
  assert.deepEqual(contents(conversation()), ["3", "4", "5", "6", "7", "8", "9", "10"]);
  await ann.store.loadOlder(id);
  assert.deepEqual([contents(conversation()).length, conversation().hasOlder], [10, false]);
  const calls = server.calls.length;
  await ann.store.loadOlder(id);
  assert.equal(server.calls.length, calls);
});

test("messages that arrive while a page is fetched are in order", async (t) => {
  const { ann, id, conversation, server, until } = await startConversation(t, { sent: 4 });
  const opening = ann.store.openConversation(id);
  for (const content of ["5", "6"]) server.sendMessage(id, BOB, content);
  await opening;
  await until(({ lastSeq }) => lastSeq === 6);
  assert.deepEqual(contents(conversation()), ["1", "2", "3", "4", "5", "6"]);
});

test("markRead moves the user's own mark at once; others' marks move with their events", async (t) => {
  const { ann, id, conversation, server, until } = await startConversation(t, { sent: 3 });
  const stored = nextEvent(ann.socket, ({ type }) => type === "read");
  ann.store.markRead(id);
  assert.equal(conversation().unreadCount, 0);
  await stored;
  server.sendMessage(id, BOB, "4");
  await until(({ unreadCount }) => unreadCount === 1);
  assert.deepEqual([server.details(id, ANN).last_read_seq, conversation().reads[BOB]], [3, 4]);
  server.markRead(id, ANN, 4);
  await until(({ unreadCount }) => unreadCount === 0);
});

test("a typing indicator ends when the other user empties the field", async (t) => {
  const { server, id, until, conversation } = await startConversation(t);
  server.sendTyping(id, BOB);
  await until(({ typing }) => BOB in typing);
  server.sendTyping(id, BOB, 0);
  await until(({ typing }) => !(BOB in typing));
  assert.deepEqual(conversation().typing, {});
});

test("a typing indicator expires", async (t) => {
  const { server, id, until, conversation } = await startConversation(t);
  server.sendTyping(id, BOB, 0.05);
  await until(({ typing }) => BOB in typing);
  await until(({ typing }) => !(BOB in typing));
  assert.deepEqual(conversation().typing, {});
});

test("conversations are paged, and sorted by their latest activity", async (t) => {
  const server = await startLoaServer(t);
  const ids = Array.from({ length: 6 }, () => server.createConversation(ANN, BOB));
  const { store } = await signedInClient(t, server, 0);
  await untilState(store, ({ conversationIds }) => conversationIds.length === 4);
  assert.equal(store.getSnapshot().hasMoreConversations, true);
  await store.loadMoreConversations();
  assert.deepEqual([...store.getSnapshot().conversationIds].sort(), ids);
  assert.equal(store.getSnapshot().hasMoreConversations, false);
  server.sendMessage(ids[2], BOB, "hello");
  await untilState(store, ({ conversationIds }) => conversationIds[0] === ids[2]);
});

test("new, renamed and removed conversations change the list at once", async (t) => {
  const { server, ann, id } = await startConversation(t);
  const another = server.createConversation(BOB, ANN);
  await untilState(ann.store, ({ conversationIds }) => conversationIds.includes(another));
  server.rename(another, "Plans");
  await untilState(ann.store, ({ conversations }) => conversations[another].details.title === "Plans");
  server.removeParticipant(another, ANN);
  await untilState(ann.store, ({ conversations }) => !conversations[another]);
  assert.deepEqual(ann.store.getSnapshot().conversationIds, [id]);
});

test("a message in a conversation that is not loaded adds it to the list", async (t) => {
  const server = await startLoaServer(t);
  const ids = Array.from({ length: 6 }, () => server.createConversation(ANN, BOB));
  const { store } = await signedInClient(t, server, 0);
  await untilState(store, ({ conversationIds }) => conversationIds.length === 4);
  assert.equal(store.getSnapshot().conversations[ids[0]], undefined);
  server.sendMessage(ids[0], BOB, "hello");
  await untilState(store, ({ conversationIds }) => conversationIds[0] === ids[0]);
  assert.deepEqual(contents(store.getSnapshot().conversations[ids[0]]), ["hello"]);
});

/** Hold back the responses to one call. `requested` resolves when it arrives; `release` sends the responses. */
function holdResponses(server, call) {
  const held = [];
  const requested = new Promise((resolve) => {
    server.beforeResponse = (received) =>
      received === call ? new Promise((respond) => (held.push(respond), resolve())) : Promise.resolve();
  });
  const release = () => {
    server.beforeResponse = async () => {};
    for (const respond of held.splice(0)) respond();
  };
  return { requested, release };
}

test("a large group that is not loaded is fetched when it is announced, and again if that was before", async (t) => {
  const server = await startLoaServer(t);
  const ids = Array.from({ length: 6 }, () => server.createConversation(ANN, BOB));
  const { store } = await signedInClient(t, server, 0);
  await untilState(store, ({ conversationIds }) => conversationIds.length === 4);
  const { requested, release } = holdResponses(server, `GET /conversations/${ids[0]}`);
  server.announceLarge(ids[0]);
  await requested;
  server.conversations.get(ids[0]).title = "Plans";
  server.announceLarge(ids[0]);
  // It comes after the announcement.
  server.sendTyping(ids[1], BOB);
  await untilState(store, ({ conversations }) => conversations[ids[1]]?.typing[BOB]);
  release();
  await untilState(store, ({ conversations }) => conversations[ids[0]]?.details?.title === "Plans");
  assert.equal(server.calls.filter((call) => call === `GET /conversations/${ids[0]}`).length, 2);
});

test("a response older than an event does not overwrite it", async (t) => {
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  const { requested, release } = holdResponses(server, "GET /conversations");
  const ann = await signedInClient(t, server, 0);
  await requested;
  server.rename(id, "Later");
  await untilState(ann.store, ({ conversations }) => conversations[id]?.details.title === "Later");
  release();
  server.sendMessage(id, BOB, "hello");
  await untilState(ann.store, ({ conversations }) => conversations[id].messages.length);
  await flushEventLoop();
  assert.equal(ann.store.getSnapshot().conversations[id].details.title, "Later");
});

test("a response from before a reconnect does not overwrite newer state", async (t) => {
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  const { requested, release } = holdResponses(server, "GET /conversations");
  const ann = await signedInClient(t, server, 0);
  await requested;
  server.beforeResponse = async () => {};
  server.networkFault = () => "drop";
  server.rename(id, "Later");
  server.networkFault = () => "deliver";
  server.closeSockets(1012, "restart");
  await untilState(ann.store, ({ conversations }) => conversations[id]?.details?.title === "Later");
  release();
  await flushEventLoop();
  assert.equal(ann.store.getSnapshot().conversations[id].details.title, "Later");
});

test("a conversation whose details arrive after the next hello is loaded all the same", async (t) => {
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  server.sendMessage(id, BOB, "hello");
  const list = holdResponses(server, "GET /conversations");
  const ann = await signedInClient(t, server, 0);
  await list.requested;
  const details = holdResponses(server, `GET /conversations/${id}`);
  const opening = ann.store.openConversation(id);
  await details.requested;
  const nextList = holdResponses(server, "GET /conversations");
  server.closeSockets(1012, "restart");
  await nextList.requested;
  details.release();
  await opening;
  const { details: loaded, messages } = ann.store.getSnapshot().conversations[id];
  assert.deepEqual([loaded.id, contents({ messages })], [id, ["hello"]]);
  list.release();
  nextList.release();
});

for (const [what, changes] of [["deleted", { content: "", deleted: true }], ["edited", { content: "later" }]]) {
  test(`a message that is ${what} while its page of history is fetched stays so`, async (t) => {
    const { server, ann, id, conversation } = await startConversation(t, { sent: 3 });
    const { requested, release } = holdResponses(server, `GET /conversations/${id}/messages`);
    const opening = ann.store.openConversation(id);
    await requested;
    const arrived = nextEvent(ann.socket, ({ type, data }) => type === "message_updated" && data.seq === 2);
    server.updateMessage(id, 2, changes);
    await arrived;
    release();
    await opening;
    assert.deepEqual(contents(conversation()), ["1", changes.content, "3"]);
    assert.deepEqual(conversation().messages, server.conversations.get(id).messages);
  });
}

test("a page of history does not bring back a conversation that was removed meanwhile", async (t) => {
  const { server, ann, id } = await startConversation(t, { sent: 3 });
  const { requested, release } = holdResponses(server, `GET /conversations/${id}/messages`);
  const opening = ann.store.openConversation(id);
  await requested;
  server.removeParticipant(id, ANN);
  await untilState(ann.store, ({ conversations }) => !conversations[id]);
  release();
  await opening;
  assert.deepEqual(ann.store.getSnapshot().conversations, {});
});

test("an edit is part of the state until it is stored, and a rejected one until it is dismissed", async (t) => {
  const { server, ann, id, conversation, until } = await startConversation(t);
  const { id: messageId } = await ann.socket.send(id, "first");
  const editing = ann.socket.edit(id, messageId, "second");
  assert.deepEqual([conversation().changes[messageId].content, contents(conversation())], ["second", ["first"]]);
  await editing;
  await until(({ messages, changes }) => messages[0].content === "second" && !changes[messageId]);
  server.conversations.get(id).messages[0].sender_id = BOB;
  await assert.rejects(ann.socket.remove(id, messageId), { code: "forbidden" });
  await until(({ changes }) => changes[messageId].error);
  assert.equal(conversation().changes[messageId].kind, "delete");
  ann.store.dismissChange(id, messageId);
  assert.deepEqual(conversation().changes, {});
});

test("changes made while offline appear after the reconnect", async (t) => {
  const { server, id, ann, conversation, until } = await startConversation(t, { sent: 2 });
  await ann.store.openConversation(id);
  server.networkFault = () => "drop";
  for (let count = 3; count <= 12; count++) server.sendMessage(id, BOB, `${count}`);
  server.updateMessage(id, 1, { content: "eins" });
  server.rename(id, "Later");
  const gone = server.createConversation(ANN, EVE);
  server.removeParticipant(gone, ANN);
  server.networkFault = () => "deliver";
  server.closeSockets(1012, "restart");
  await until(({ messages, details }) => messages.length === 12 && details.title === "Later");
  assert.deepEqual(contents(conversation()), ["eins", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]);
  assert.equal(conversation().unreadCount, 12);
});

test("a conversation removed while offline is gone after the reconnect", async (t) => {
  const { server, id, ann } = await startConversation(t, { sent: 2 });
  server.networkFault = () => "drop";
  server.removeParticipant(id, ANN);
  server.networkFault = () => "deliver";
  server.closeSockets(1012, "restart");
  await untilState(ann.store, ({ conversations }) => !conversations[id]);
});

test("of a conversation that is not open, only the latest page is kept", async (t) => {
  const { server, id, ann, conversation, until } = await startConversation(t);
  for (let count = 1; count <= 60; count++) server.sendMessage(id, BOB, `${count}`);
  await until(({ lastSeq }) => lastSeq === 60);
  const { messages, loadedFrom, hasOlder } = conversation();
  assert.deepEqual([messages.length, loadedFrom, hasOlder], [50, 11, true]);
  ann.store.openConversation(id);
  server.sendMessage(id, BOB, "61");
  await until(({ lastSeq }) => lastSeq === 61);
  assert.equal(conversation().messages.length, 51);
  ann.store.closeConversation(id);
  assert.equal(conversation().messages.length, 50);
});

test("a sign-out clears the state, and the next user sees none of it", async (t) => {
  const { ann } = await startConversation(t, { sent: 2 });
  await ann.session.logout();
  const { userId, conversations, notifications, chat } = ann.store.getSnapshot();
  assert.deepEqual([userId, conversations, notifications.items, chat.status], [null, {}, [], "idle"]);
  await ann.session.login("user2", "right");
  await untilState(ann.store, ({ userId, chat }) => userId === EVE && chat.status === "online");
  assert.deepEqual(ann.store.getSnapshot().conversations, {});
});

test("the end of an old session reconnects with the new one, in which another tab has signed in", async (t) => {
  const { server, ann } = await startConversation(t);
  const shared = { localStorage: createStorage() };
  const first = await signedInClient(t, server, 1, shared);
  const second = await signedInClient(t, server, 1, shared);
  const signedOut = t.mock.fn();
  for (const { session } of [first, second]) session.subscribe(signedOut);
  // As after a sign-in of the same user in the second tab, while the first was frozen.
  const stored = JSON.parse(shared.localStorage.getItem("loa:session"));
  shared.localStorage.setItem("loa:session", JSON.stringify({ ...stored, access_token: `${BOB}#2` }));
  const connecting = untilState(first.store, ({ chat }) => chat.status === "connecting");
  server.closeSockets(1008, "token_revoked", BOB);
  await connecting;
  await untilState(first.store, ({ chat }) => chat.status === "online");
  assert.deepEqual([first.session.user.id, signedOut.mock.callCount()], [BOB, 0]);
  assert.equal(ann.session.user.id, ANN);
});

test("a session revoked on the server signs this tab out", async (t) => {
  const { server, ann } = await startConversation(t);
  const signedOut = new Promise((resolve) => ann.session.subscribe(resolve));
  server.closeSockets(1008, "token_revoked");
  assert.deepEqual(await signedOut, { type: "signed-out", code: "token_revoked" });
  assert.equal(ann.session.user, null);
});

test("snapshots are immutable and share unchanged parts", async (t) => {
  const { server, id, ann, until } = await startConversation(t);
  const other = server.createConversation(ANN, EVE);
  await untilState(ann.store, ({ conversationIds }) => conversationIds.includes(other));
  const before = ann.store.getSnapshot();
  const copy = structuredClone(before);
  server.sendMessage(id, BOB, "hello");
  await until(({ messages }) => messages.length);
  const after = ann.store.getSnapshot();
  assert.deepEqual(before, copy);
  assert.notEqual(after, before);
  assert.equal(after.conversations[other], before.conversations[other]);
  assert.equal(after.people, before.people);
});

test("subscribers are called once for several changes", async (t) => {
  const { server, id, ann, until } = await startConversation(t);
  const handler = t.mock.fn();
  ann.store.subscribe(handler);
  server.networkFault = () => "drop";
  for (let count = 0; count < 3; count++) server.sendMessage(id, BOB, `${count}`);
  server.networkFault = () => "deliver";
  server.sendReset();
  await until(({ messages }) => messages.length === 3);
  const counts = handler.mock.calls.map(({ arguments: [{ conversations }] }) => conversations[id].messages.length);
  assert.deepEqual([...new Set(counts)], [0, 3]);
});

// Notifications.

test("notifications are listed, counted, paged and marked as read", async (t) => {
  const server = await startLoaServer(t);
  for (let count = 0; count < 6; count++) server.notify(ANN);
  const { store } = await signedInClient(t, server, 0);
  const notifications = () => store.getSnapshot().notifications;
  const seqs = () => notifications().items.map(({ seq }) => seq);
  await untilState(store, ({ notifications }) => notifications.items.length === 4);
  assert.deepEqual([seqs(), notifications().unreadCount, notifications().hasOlder], [[6, 5, 4, 3], 6, true]);
  await store.loadOlderNotifications();
  assert.deepEqual([seqs(), notifications().hasOlder], [[6, 5, 4, 3, 2, 1], false]);
  server.notify(ANN);
  await untilState(store, ({ notifications }) => notifications.unreadCount === 7);
  assert.deepEqual(seqs(), [7, 6, 5, 4, 3, 2, 1]);
  await store.markNotificationRead(notifications().items[0].data.notification_id);
  await untilState(store, ({ notifications }) => notifications.unreadCount === 6);
  const readSeqs = notifications().items.filter(({ data }) => data.read).map(({ seq }) => seq);
  assert.deepEqual(readSeqs, [7]);
  await store.markNotificationsRead();
  await untilState(store, ({ notifications }) => notifications.unreadCount === 0);
  assert.ok(notifications().items.every(({ data }) => data.read));
});

test("a notification read on another device is marked as read", async (t) => {
  const server = await startLoaServer(t);
  for (let count = 0; count < 3; count++) server.notify(ANN);
  const { store } = await signedInClient(t, server, 0);
  await untilState(store, ({ notifications }) => notifications.items.length === 3);
  server.markNotifications(ANN, ({ seq }) => seq === 2);
  await untilState(store, ({ notifications }) => notifications.items[1].data.read);
  assert.deepEqual(store.getSnapshot().notifications.items.map(({ data }) => data.read), [false, true, false]);
  server.markNotifications(ANN, () => true);
  await untilState(store, ({ notifications }) => notifications.items.every(({ data }) => data.read));
});

// Convergence.

/** The lasting part of a conversation's state, which must not depend on the order of events. */
function lastingState({ messages, lastMessage, lastSeq, unreadCount, reads, loadedFrom }) {
  return { messages, lastMessage, lastSeq, unreadCount, reads, loadedFrom };
}

test("the same events in any order and repetition give the same state", () => {
  const change = fc.record({ isNew: fc.boolean(), pick: fc.nat(), own: fc.boolean() });
  const schedule = fc.record({
    changes: fc.array(change, { minLength: 1, maxLength: 30 }),
    deliveryOrders: fc.array(fc.array(fc.nat(29), { maxLength: 60 }), { minLength: 2, maxLength: 2 }),
    marks: fc.array(fc.record({ own: fc.boolean(), seq: fc.nat(30) }), { maxLength: 6 }),
  });
  fc.assert(
    fc.property(schedule, ({ changes, deliveryOrders, marks }) => {
      const messages = [];
      const events = changes.map(({ isNew, pick, own }, index) => {
        const isFirst = isNew || !messages.length;
        const seq = isFirst ? messages.length + 1 : 1 + (pick % messages.length);
        const sender_id = isFirst ? (own ? ANN : OTHER) : messages[seq - 1].sender_id;
        messages[seq - 1] = message(seq, index + 1, { sender_id });
        return messageEvent(messages[seq - 1], isFirst ? "new_message" : "message_updated");
      });
      const reads = marks.map(({ own, seq }) => ({
        ...{ type: "read", conversation_id: CONVERSATION, data: { user_id: own ? ANN : OTHER, seq } },
      }));
      const readOrders = [[...reads, ...reads].reverse(), reads];
      const states = deliveryOrders.map((order, client) => {
        const tracker = new RevisionTracker();
        const start = { userId: ANN, conversations: {}, people: {}, presence: {} };
        const numbers = { last_seq: 0, last_rev: 0, last_read_seq: 0 };
        const data = { id: CONVERSATION, participants: [], last_message: null, ...numbers };
        let state = reduceChat(start, { type: "conversation_updated", conversation_id: CONVERSATION, data });
        tracker.setLastKnown(CONVERSATION, 0, 0);
        const reduce = (event) => (state = reduceChat(state, event));
        for (const index of order) if (events[index]) tracker.receive(events[index]).forEach(reduce);
        tracker.setLastKnown(CONVERSATION, events.length, 0);
        const deliveredRev = tracker.deliveredRev(CONVERSATION);
        const missed = messages.filter(({ rev }) => rev > deliveredRev).sort((a, b) => a.rev - b.rev);
        tracker.backfill(CONVERSATION, missed, events.length).forEach(reduce);
        readOrders[client].forEach(reduce);
        return lastingState(state.conversations[CONVERSATION]);
      });
      assert.deepEqual(states[0], states[1]);
      assert.deepEqual(states[0].messages, messages);
    }),
    { numRuns: 300 },
  );
});

const TITLE = "clients on networks that drop, duplicate, reorder and disconnect end in the same state";
test(TITLE, { timeout: 60_000 }, async (t) => {
  t.mock.method(Math, "random", () => 0);
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  const clients = [];
  for (const userIndex of [0, 0, 1]) clients.push(await signedInClient(t, server, userIndex));
  for (const { store } of clients) {
    await untilState(store, ({ conversationIds }) => conversationIds.includes(id));
    await store.openConversation(id);
  }
  const action = fc.record({
    client: fc.nat(2),
    kind: fc.constantFrom("send", "send", "edit", "delete", "react", "read"),
    pick: fc.nat(),
  });
  const deliveries = ["deliver", "deliver", "deliver", "deliver"];
  const faults = fc.infiniteStream(fc.constantFrom(...deliveries, "drop", "duplicate", "delay", "disconnect"));
  let counter = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), faults, async (actions, fault) => {
      server.networkFault = () => fault.next().value;
      const sending = [];
      for (const { client, kind, pick } of actions) {
        const { messages } = server.conversations.get(id);
        const seq = messages.length && 1 + (pick % messages.length);
        if (kind === "send") sending.push(clients[client].socket.send(id, `${++counter}`));
        else if (kind === "read") clients[client].store.markRead(id);
        else if (!seq) continue;
        else if (kind === "edit") server.updateMessage(id, seq, { content: `edited ${++counter}` });
        else if (kind === "delete") server.updateMessage(id, seq, { content: "", deleted: true });
        else server.updateMessage(id, seq, { reactions: { "👍": [BOB] } });
        if (pick % 3 === 0) await flushEventLoop(3);
      }
      server.networkFault = () => "deliver";
      await Promise.all(sending);
      server.sendReset();
      const { messages } = server.conversations.get(id);
      // If the clients do not converge, the test fails by its timeout.
      const converged = ({ conversations }) => isDeepStrictEqual(conversations[id].messages, messages);
      await Promise.all(clients.map(({ store }) => untilState(store, converged)));
    }),
    // All runs share one conversation, so a failing schedule cannot be replayed and shrunk.
    { numRuns: 25, endOnFailure: true },
  );
  for (const { store, socket } of clients) {
    assert.deepEqual([socket.pending, store.getSnapshot().conversations[id].pending], [[], []]);
  }
  const nonces = server.conversations.get(id).messages.map(({ nonce }) => nonce);
  assert.equal(new Set(nonces).size, nonces.length);
});
