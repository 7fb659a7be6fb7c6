/** The state that views render: what is in it, and that all who were told the same things have the same. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";

import { foldChat } from "../../service/web/client/chat-state.js";
import { Revs } from "../../service/web/client/revs.js";
import { message, OTHER, said, TALK } from "./support/chat-server.js";
import { client } from "./support/client.js";
import { loaServer, user } from "./support/loa-server.js";
import { settled, state } from "./support/until.js";

const [ANN, BOB, EVE] = [0, 1, 2].map((place) => user(place).id);

/** Ann in a conversation with Bob, and the server. */
async function talk(t, { said = 0 } = {}) {
  const server = await loaServer(t);
  const id = server.begin(ANN, BOB);
  for (let count = 1; count <= said; count++) server.say(id, BOB, `${count}`);
  const ann = await client(t, server, 0);
  await state(ann.store, ({ conversationIds }) => conversationIds.length === 1);
  const here = () => ann.store.getSnapshot().conversations[id];
  /** Waits until the conversation is such. */
  const until = (matches) => state(ann.store, ({ conversations }) => matches(conversations[id]));
  return { server, id, ann, here, until };
}

const contents = ({ messages }) => messages.map(({ content }) => content);

test("after the sign-in the state holds the conversations, the counts and the people", async (t) => {
  const { ann, id, here } = await talk(t, { said: 3 });
  const { userId, conversationIds, people } = ann.store.getSnapshot();
  assert.deepEqual([userId, conversationIds, people[BOB].username], [ANN, [id], "user1"]);
  assert.deepEqual([here().unreadCount, here().lastMessage.content, here().messages], [3, "3", []]);
});

test("what is said appears, counts, and ends the typing", async (t) => {
  const { server, id, here, until } = await talk(t);
  server.type(id, BOB);
  await until(({ typing }) => BOB in typing);
  server.say(id, BOB, "hello");
  await until(({ messages }) => messages.length);
  assert.deepEqual([contents(here()), here().unreadCount, here().typing], [["hello"], 1, {}]);
});

test("a message of one's own is pending until it is stored, and counts as read", async (t) => {
  const { ann, id, here, until } = await talk(t);
  const sending = ann.socket.send(id, "hello");
  assert.deepEqual(here().pending.map(({ content, error }) => [content, error]), [["hello", null]]);
  const stored = await sending;
  await until(({ messages }) => messages.length);
  assert.deepEqual([here().messages, here().pending, here().unreadCount], [[stored], [], 0]);
});

test("a message that is refused stays with its reason until it is dismissed", async (t) => {
  const { server, ann, id, here, until } = await talk(t);
  server.say = () => assert.fail();
  const [connection] = server.connections;
  connection.socket.removeAllListeners("message");
  connection.socket.on("message", (data) => {
    const { ref } = JSON.parse(String(data));
    connection.send({ type: "error", ref, code: "forbidden", detail: "No." });
  });
  await assert.rejects(ann.socket.send(id, "hello"), { code: "forbidden" });
  await until(({ pending }) => pending[0].error);
  assert.equal(here().pending[0].error.detail, "No.");
  ann.store.dismiss(id, here().pending[0].nonce);
  assert.deepEqual(here().pending, []);
});

test("edits, deletions and reactions change the message in its place", async (t) => {
  const { server, id, here, until } = await talk(t);
  for (const content of ["one", "two", "three"]) server.say(id, BOB, content);
  server.change(id, 2, { content: "zwei" });
  server.change(id, 3, { content: "", deleted: true });
  server.change(id, 1, { reactions: { "👍": [ANN] } });
  await until(({ messages }) => messages[0]?.rev === 6);
  assert.deepEqual(contents(here()), ["one", "zwei", ""]);
  assert.deepEqual([here().lastMessage.deleted, here().messages[0].reactions], [true, { "👍": [ANN] }]);
});

test("opening loads the latest page, and older ones follow until the first message", async (t) => {
  const { ann, id, here, server } = await talk(t, { said: 10 });
  await ann.store.openConversation(id);
  assert.deepEqual([contents(here()), here().hasOlder], [["7", "8", "9", "10"], true]);
  await Promise.all([ann.store.loadOlder(id), ann.store.loadOlder(id)]);
  assert.deepEqual(contents(here()), ["3", "4", "5", "6", "7", "8", "9", "10"]);
  await ann.store.loadOlder(id);
  assert.deepEqual([contents(here()).length, here().hasOlder], [10, false]);
  const calls = server.calls.length;
  await ann.store.loadOlder(id);
  assert.equal(server.calls.length, calls);
});

test("what is said while a page is fetched is in its place", async (t) => {
  const { ann, id, here, server, until } = await talk(t, { said: 4 });
  const opening = ann.store.openConversation(id);
  for (const content of ["5", "6"]) server.say(id, BOB, content);
  await opening;
  await until(({ lastSeq }) => lastSeq === 6);
  assert.deepEqual(contents(here()), ["1", "2", "3", "4", "5", "6"]);
});

test("reading moves one's own mark at once, and others' when they are told", async (t) => {
  const { ann, id, here, server, until } = await talk(t, { said: 3 });
  ann.store.markRead(id);
  assert.equal(here().unreadCount, 0);
  server.say(id, BOB, "4");
  await until(({ unreadCount }) => unreadCount === 1);
  assert.deepEqual([server.details(id, ANN).last_read_seq, here().reads[BOB]], [3, 4]);
  server.read(id, ANN, 4);
  await until(({ unreadCount }) => unreadCount === 0);
});

test("who stops typing is no longer shown to be", async (t) => {
  const { server, id, until, here } = await talk(t);
  server.type(id, BOB, 0.05);
  await until(({ typing }) => BOB in typing);
  await until(({ typing }) => !(BOB in typing));
  assert.deepEqual(here().typing, {});
});

test("conversations are listed by their latest activity, and page by page", async (t) => {
  const server = await loaServer(t);
  const ids = Array.from({ length: 6 }, () => server.begin(ANN, BOB));
  const { store } = await client(t, server, 0);
  await state(store, ({ conversationIds }) => conversationIds.length === 4);
  assert.equal(store.getSnapshot().hasMoreConversations, true);
  await store.loadMoreConversations();
  assert.deepEqual([...store.getSnapshot().conversationIds].sort(), ids);
  assert.equal(store.getSnapshot().hasMoreConversations, false);
  server.say(ids[2], BOB, "hello");
  await state(store, ({ conversationIds }) => conversationIds[0] === ids[2]);
});

test("a conversation that begins, is renamed or is left shows at once", async (t) => {
  const { server, ann, id } = await talk(t);
  const another = server.begin(BOB, ANN);
  await state(ann.store, ({ conversationIds }) => conversationIds.includes(another));
  server.rename(another, "Plans");
  await state(ann.store, ({ conversations }) => conversations[another].details.title === "Plans");
  server.expel(another, ANN);
  await state(ann.store, ({ conversations }) => !conversations[another]);
  assert.deepEqual(ann.store.getSnapshot().conversationIds, [id]);
});

test("a message in a conversation that is not listed brings it in", async (t) => {
  const server = await loaServer(t);
  const ids = Array.from({ length: 6 }, () => server.begin(ANN, BOB));
  const { store } = await client(t, server, 0);
  await state(store, ({ conversationIds }) => conversationIds.length === 4);
  assert.equal(store.getSnapshot().conversations[ids[0]], undefined);
  server.say(ids[0], BOB, "hello");
  await state(store, ({ conversationIds }) => conversationIds[0] === ids[0]);
  assert.deepEqual(contents(store.getSnapshot().conversations[ids[0]]), ["hello"]);
});

/** Makes the server's answers to this call wait; `let go` sends them. */
function held(server, call) {
  const waiting = [];
  const asked = new Promise((resolve) => {
    server.delay = (made) =>
      made === call ? new Promise((release) => (waiting.push(release), resolve())) : Promise.resolve();
  });
  const letGo = () => {
    server.delay = async () => {};
    for (const release of waiting.splice(0)) release();
  };
  return { asked, letGo };
}

test("what an event has told is not undone by an answer that was made up before it", async (t) => {
  const server = await loaServer(t);
  const id = server.begin(ANN, BOB);
  const { asked, letGo } = held(server, "GET /conversations");
  const ann = await client(t, server, 0);
  await asked;
  server.rename(id, "Later");
  await state(ann.store, ({ conversations }) => conversations[id]?.details.title === "Later");
  letGo();
  server.say(id, BOB, "hello");
  await state(ann.store, ({ conversations }) => conversations[id].messages.length);
  await settled();
  assert.equal(ann.store.getSnapshot().conversations[id].details.title, "Later");
});

test("nor is what was learnt after a reconnect by an answer from before it", async (t) => {
  const server = await loaServer(t);
  const id = server.begin(ANN, BOB);
  const { asked, letGo } = held(server, "GET /conversations");
  const ann = await client(t, server, 0);
  await asked;
  server.delay = async () => {};
  server.fate = () => "lose";
  server.rename(id, "Later");
  server.fate = () => "pass";
  server.close(1012, "restart");
  await state(ann.store, ({ conversations }) => conversations[id]?.details?.title === "Later");
  letGo();
  await settled();
  assert.equal(ann.store.getSnapshot().conversations[id].details.title, "Later");
});

test("what changed while one was away is there after the reconnect", async (t) => {
  const { server, id, ann, here, until } = await talk(t, { said: 2 });
  await ann.store.openConversation(id);
  server.fate = () => "lose";
  for (let count = 3; count <= 12; count++) server.say(id, BOB, `${count}`);
  server.change(id, 1, { content: "eins" });
  server.rename(id, "Later");
  const gone = server.begin(ANN, EVE);
  server.expel(gone, ANN);
  server.fate = () => "pass";
  server.close(1012, "restart");
  await until(({ messages, details }) => messages.length === 12 && details.title === "Later");
  assert.deepEqual(contents(here()), ["eins", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"]);
  assert.equal(here().unreadCount, 12);
});

test("a conversation that one was taken out of while away is gone after the reconnect", async (t) => {
  const { server, id, ann } = await talk(t, { said: 2 });
  server.fate = () => "lose";
  server.expel(id, ANN);
  server.fate = () => "pass";
  server.close(1012, "restart");
  await state(ann.store, ({ conversations }) => !conversations[id]);
});

test("of a conversation that is not on the screen only the latest page is held", async (t) => {
  const { server, id, ann, here, until } = await talk(t);
  for (let count = 1; count <= 60; count++) server.say(id, BOB, `${count}`);
  await until(({ lastSeq }) => lastSeq === 60);
  assert.deepEqual([here().messages.length, here().from, here().hasOlder], [50, 11, true]);
  ann.store.openConversation(id);
  server.say(id, BOB, "61");
  await until(({ lastSeq }) => lastSeq === 61);
  assert.equal(here().messages.length, 51);
  ann.store.closeConversation(id);
  assert.equal(here().messages.length, 50);
});

test("signing out forgets everything, and the next person sees none of it", async (t) => {
  const { ann } = await talk(t, { said: 2 });
  await ann.session.logout();
  const { userId, conversations, notifications, chat } = ann.store.getSnapshot();
  assert.deepEqual([userId, conversations, notifications.items, chat.status], [null, {}, [], "idle"]);
  await ann.session.login("user2", "right");
  await state(ann.store, ({ userId, chat }) => userId === EVE && chat.status === "online");
  assert.deepEqual(ann.store.getSnapshot().conversations, {});
});

test("a session that is revoked elsewhere signs this tab out", async (t) => {
  const { server, ann } = await talk(t);
  const signedOut = new Promise((resolve) => ann.session.subscribe(resolve));
  server.close(1008, "token_revoked");
  assert.deepEqual(await signedOut, { type: "signed-out", code: "token_revoked" });
  assert.equal(ann.session.user, null);
});

test("a snapshot never changes, and what has not changed stays the same object", async (t) => {
  const { server, id, ann, until } = await talk(t);
  const other = server.begin(ANN, EVE);
  await state(ann.store, ({ conversationIds }) => conversationIds.includes(other));
  const before = ann.store.getSnapshot();
  const copy = structuredClone(before);
  server.say(id, BOB, "hello");
  await until(({ messages }) => messages.length);
  const after = ann.store.getSnapshot();
  assert.deepEqual(before, copy);
  assert.notEqual(after, before);
  assert.equal(after.conversations[other], before.conversations[other]);
  assert.equal(after.people, before.people);
});

test("subscribers are told once for all that comes together", async (t) => {
  const { server, id, ann, until } = await talk(t);
  const told = t.mock.fn();
  ann.store.subscribe(told);
  server.fate = () => "lose";
  for (let count = 0; count < 3; count++) server.say(id, BOB, `${count}`);
  server.fate = () => "pass";
  server.reset();
  await until(({ messages }) => messages.length === 3);
  const seen = told.mock.calls.map(({ arguments: [{ conversations }] }) => conversations[id].messages.length);
  assert.deepEqual([...new Set(seen)], [0, 3]);
});

// The bell.

test("notifications are listed, counted, paged and marked", async (t) => {
  const server = await loaServer(t);
  for (let count = 0; count < 6; count++) server.notify(ANN);
  const { store } = await client(t, server, 0);
  const bell = () => store.getSnapshot().notifications;
  const seqs = () => bell().items.map(({ seq }) => seq);
  await state(store, ({ notifications }) => notifications.items.length === 4);
  assert.deepEqual([seqs(), bell().unreadCount, bell().hasOlder], [[6, 5, 4, 3], 6, true]);
  await store.loadOlderNotifications();
  assert.deepEqual([seqs(), bell().hasOlder], [[6, 5, 4, 3, 2, 1], false]);
  server.notify(ANN);
  await state(store, ({ notifications }) => notifications.unreadCount === 7);
  assert.deepEqual(seqs(), [7, 6, 5, 4, 3, 2, 1]);
  await store.markNotificationRead(bell().items[0].data.notification_id);
  await state(store, ({ notifications }) => notifications.unreadCount === 6);
  assert.deepEqual(bell().items.map(({ data }) => data.read), [true, false, false, false, false, false, false]);
  await store.markNotificationsRead();
  await state(store, ({ notifications }) => notifications.unreadCount === 0);
  assert.ok(bell().items.every(({ data }) => data.read));
});

test("what is read on another device shows as read here", async (t) => {
  const server = await loaServer(t);
  for (let count = 0; count < 3; count++) server.notify(ANN);
  const { store } = await client(t, server, 0);
  await state(store, ({ notifications }) => notifications.items.length === 3);
  server.markNotifications(ANN, ({ seq }) => seq === 2);
  await state(store, ({ notifications }) => notifications.items[1].data.read);
  assert.deepEqual(store.getSnapshot().notifications.items.map(({ data }) => data.read), [false, true, false]);
  server.markNotifications(ANN, () => true);
  await state(store, ({ notifications }) => notifications.items.every(({ data }) => data.read));
});

// Convergence.

/** What lasts of a conversation, which must not depend on how it was told. */
function lasting({ messages, lastMessage, lastSeq, unreadCount, reads, from }) {
  return { messages, lastMessage, lastSeq, unreadCount, reads, from };
}

test("whoever is told the same things, in whatever order and however often, has the same state", () => {
  const change = fc.record({ isNew: fc.boolean(), pick: fc.nat(), mine: fc.boolean() });
  const schedule = fc.record({
    changes: fc.array(change, { minLength: 1, maxLength: 30 }),
    tellings: fc.array(fc.array(fc.nat(29), { maxLength: 60 }), { minLength: 2, maxLength: 2 }),
    marks: fc.array(fc.record({ mine: fc.boolean(), seq: fc.nat(30) }), { maxLength: 6 }),
  });
  fc.assert(
    fc.property(schedule, ({ changes, tellings, marks }) => {
      const messages = [];
      const events = changes.map(({ isNew, pick, mine }, index) => {
        const isFirst = isNew || !messages.length;
        const seq = isFirst ? messages.length + 1 : 1 + (pick % messages.length);
        const sender_id = isFirst ? (mine ? ANN : OTHER) : messages[seq - 1].sender_id;
        messages[seq - 1] = message(seq, index + 1, { sender_id });
        return said(messages[seq - 1], isFirst ? "new_message" : "message_updated");
      });
      const reads = marks.map(({ mine, seq }) => ({
        ...{ type: "read", conversation_id: TALK, data: { user_id: mine ? ANN : OTHER, seq } },
      }));
      const states = tellings.map((order, teller) => {
        const revs = new Revs();
        const start = { userId: ANN, conversations: {}, people: {}, presence: {} };
        const begun = { id: TALK, participants: [], last_message: null, last_seq: 0, last_rev: 0, last_read_seq: 0 };
        let known = foldChat(start, { type: "conversation_updated", conversation_id: TALK, data: begun });
        revs.reach(TALK, 0, 0);
        const tell = (event) => (known = foldChat(known, event));
        for (const place of order) if (events[place]) revs.take(events[place]).forEach(tell);
        revs.reach(TALK, events.length, 0);
        const missed = messages.filter(({ rev }) => rev > revs.at(TALK)).sort((one, other) => one.rev - other.rev);
        revs.fill(TALK, missed, events.length).forEach(tell);
        (teller ? reads : [...reads, ...reads].reverse()).forEach(tell);
        return lasting(known.conversations[TALK]);
      });
      assert.deepEqual(states[0], states[1]);
      assert.deepEqual(states[0].messages, messages);
    }),
    { numRuns: 300 },
  );
});

test("over networks that lose, repeat, swap and cut, all end in the same state", { timeout: 60_000 }, async (t) => {
  t.mock.method(Math, "random", () => 0);
  const server = await loaServer(t);
  const id = server.begin(ANN, BOB);
  const devices = [await client(t, server, 0), await client(t, server, 0), await client(t, server, 1)];
  for (const { store } of devices) {
    await state(store, ({ conversationIds }) => conversationIds.includes(id));
    await store.openConversation(id);
  }
  const act = fc.record({
    who: fc.nat(2),
    what: fc.constantFrom("send", "send", "edit", "delete", "react", "read"),
    pick: fc.nat(),
  });
  const fates = fc.infiniteStream(fc.constantFrom("pass", "pass", "pass", "pass", "lose", "repeat", "late", "cut"));
  let turn = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 12 }), fates, async (acts, fate) => {
      server.fate = () => fate.next().value;
      const sending = [];
      for (const { who, what, pick } of acts) {
        const { messages } = server.conversations.get(id);
        const seq = messages.length && 1 + (pick % messages.length);
        if (what === "send") sending.push(devices[who].socket.send(id, `${++turn}`));
        else if (what === "read") devices[who].store.markRead(id);
        else if (!seq) continue;
        else if (what === "edit") server.change(id, seq, { content: `edited ${++turn}` });
        else if (what === "delete") server.change(id, seq, { content: "", deleted: true });
        else server.change(id, seq, { reactions: { "👍": [BOB] } });
        if (pick % 3 === 0) await settled(3);
      }
      server.fate = () => "pass";
      await Promise.all(sending);
      server.reset();
      const { messages } = server.conversations.get(id);
      // It ends in time or it does not end: then the test's own time limit tells.
      const same = ({ conversations }) => isDeepStrictEqual(conversations[id].messages, messages);
      await Promise.all(devices.map(({ store }) => state(store, same)));
    }),
    // One conversation all along: a schedule that fails cannot be tried again.
    { numRuns: 25, endOnFailure: true },
  );
  for (const { store, socket } of devices) {
    assert.deepEqual([socket.pending, store.getSnapshot().conversations[id].pending], [[], []]);
  }
  const nonces = server.conversations.get(id).messages.map(({ nonce }) => nonce);
  assert.equal(new Set(nonces).size, nonces.length);
});
