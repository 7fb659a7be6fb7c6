/** ChatSocket against a real WebSocket server that simulates failures. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";

import { ChatSocket, LoaError } from "../../service/web/client/index.js";
import { createPage, createStorage } from "./support/browser.js";
import {
  CONVERSATION,
  GROUP,
  head,
  ME,
  message,
  messageEvent,
  OTHER,
  startChatServer,
  syncFrame,
} from "./support/chat-server.js";
import { flushEventLoop, nextEvent, Queue, untilStatus } from "./support/wait.js";

const getToken = async () => "token";

/** A socket that is not connected yet, its server, and the events it has emitted. */
async function createSocket(t, options = {}) {
  const server = await startChatServer(t);
  const socket = new ChatSocket({ server: server.url, WebSocket, sessionStorage: createStorage(), ...options });
  t.after(() => socket.disconnect());
  const events = [];
  socket.subscribe((event) => events.push(event));
  /** The emitted messages, as "new seq.rev" or "updated seq.rev". */
  const messages = () =>
    events
      .filter(({ type }) => type === "new_message" || type === "message_updated")
      .map(({ type, data }) => `${type === "new_message" ? "new" : "updated"} ${data.seq}.${data.rev}`);
  return { server, socket, events, messages };
}

/** Like `createSocket`, connected, after a hello with these conversations. */
async function connectedSocket(t, conversations = [], options = {}) {
  const created = await createSocket(t, options);
  created.socket.connect(options.getToken ?? getToken);
  const peer = await created.server.nextPeer();
  peer.hello({ conversations });
  await untilStatus(created.socket, "online");
  return { ...created, peer };
}

function useFakeTime(t) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  t.mock.method(Math, "random", () => 0.5);
}

test("connects with the token in the URL, and is online after the hello", async (t) => {
  const { server, socket } = await createSocket(t);
  socket.connect(async () => "a+b");
  assert.equal(socket.status, "connecting");
  const peer = await server.nextPeer();
  assert.deepEqual([peer.path, peer.query.get("token")], ["/api/v1/ws/chat", "a+b"]);
  assert.equal(socket.status, "connecting");
  const hello = nextEvent(socket, ({ type }) => type === "hello");
  peer.hello();
  assert.equal((await hello).user_id, ME);
  assert.equal(socket.status, "online");
});

test("emits messages in order, each once", async (t) => {
  const { peer, messages, socket } = await connectedSocket(t, [head(1)]);
  const last = nextEvent(socket, ({ type, data }) => type === "message_updated" && data.rev === 4);
  for (const data of [message(1), message(2), message(2), message(3), message(2)]) peer.send(messageEvent(data));
  peer.send(messageEvent(message(2, 4), "message_updated"));
  await last;
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "updated 2.4"]);
});

test("emits the other events of the server as they are", async (t) => {
  const { peer, socket, events } = await connectedSocket(t);
  const frames = [
    { type: "typing", conversation_id: CONVERSATION, data: { user_id: OTHER, expires_in: 5 } },
    { type: "presence", data: { user_id: OTHER, online: true, last_seen: null } },
    { type: "profile_updated", data: { id: ME, username: "an", display_name: "An", avatar: null } },
    { type: "block_updated", data: { user_id: OTHER, blocked: true } },
    { type: "history_cleared", conversation_id: CONVERSATION, data: { seq: 7 } },
    { type: "announcement", data: { message: "maintenance" } },
  ];
  const last = nextEvent(socket, ({ type }) => type === "announcement");
  for (const frame of frames) peer.send(frame);
  await last;
  assert.deepEqual(events.slice(-frames.length), frames);
});

test("fills a gap by sync, and emits early messages in their place", async (t) => {
  const { peer, messages, socket } = await connectedSocket(t, [head(1)]);
  peer.send(messageEvent(message(4)));
  peer.send(messageEvent(message(3)));
  const sync = await peer.receive("sync");
  assert.deepEqual(sync.conversations, { [CONVERSATION]: 1 });
  assert.deepEqual(messages(), []);
  const last = nextEvent(socket, ({ type, data }) => type === "new_message" && data.rev === 4);
  peer.send(syncFrame([message(2)], 2));
  peer.ack(sync);
  await last;
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "new 4.4"]);
});

test("distinguishes new from updated messages in a sync answer", async (t) => {
  const { peer, messages, socket } = await connectedSocket(t, [head(2)]);
  peer.send(messageEvent(message(4, 7)));
  const sync = await peer.receive("sync");
  const missed = [message(1, 5), message(3, 6), message(4, 7)];
  peer.send(syncFrame(missed, 7));
  peer.ack(sync);
  await nextEvent(socket, ({ type, data }) => type === "new_message" && data.rev === 7);
  assert.deepEqual(messages(), ["updated 1.5", "new 3.6", "new 4.7"]);
});

test("fetches the rest of a long sync answer over REST", async (t) => {
  const calls = [];
  const getChanges = async (id, rev) => {
    calls.push([id, rev]);
    return rev === 2 ? { items: [message(3), message(4)], next: 4 } : { items: [message(5)], next: null };
  };
  const { peer, messages, socket } = await connectedSocket(t, [head(1)], { getChanges });
  const last = nextEvent(socket, ({ type, data }) => type === "new_message" && data.rev === 6);
  peer.send(messageEvent(message(6)));
  const sync = await peer.receive("sync");
  peer.send(syncFrame([message(2)], 6, { complete: false }));
  peer.ack(sync);
  await last;
  assert.deepEqual(calls, [[CONVERSATION, 2], [CONVERSATION, 4]]);
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "new 4.4", "new 5.5", "new 6.6"]);
});

test("without getChanges, repeats the sync for the rest of a long answer", async (t) => {
  const { peer, messages, socket } = await connectedSocket(t, [head(1)]);
  peer.send(messageEvent(message(4)));
  const first = await peer.receive("sync");
  peer.send(syncFrame([message(2)], 4, { complete: false }));
  peer.ack(first);
  const second = await peer.receive("sync");
  assert.deepEqual(second.conversations, { [CONVERSATION]: 2 });
  const last = nextEvent(socket, ({ type, data }) => type === "new_message" && data.rev === 4);
  peer.send(syncFrame([message(3)], 3));
  peer.ack(second);
  await last;
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "new 4.4"]);
});

test("repeats a sync that filled no gap with increasing delays", async (t) => {
  useFakeTime(t);
  const { peer, socket } = await connectedSocket(t, [head(1)]);
  peer.send(messageEvent(message(3)));
  for (let round = 0; round < 3; round++) {
    const sync = await peer.receive("sync");
    peer.send(syncFrame([], 1));
    peer.ack(sync);
    await flushEventLoop();
    t.mock.timers.tick(1000 * 2 ** round - 1);
    await flushEventLoop();
    assert.equal(peer.waitingFrames, 0);
    t.mock.timers.tick(1);
  }
  const sync = await peer.receive("sync");
  const last = nextEvent(socket, ({ type, data }) => type === "new_message" && data.rev === 3);
  peer.send(syncFrame([message(2)], 2));
  peer.ack(sync);
  await last;
});

test("after a reconnect, syncs conversations that are behind or missing in the hello", async (t) => {
  const { server, socket, peer } = await connectedSocket(t, [head(1), head(5, { conversation_id: GROUP })]);
  socket.setBaseline({ id: "c00000000000000000000003", last_rev: 9, last_seq: 9 });
  peer.close(1012, "restart");
  const again = await server.greetedPeer({ conversations: [head(3), head(5, { conversation_id: GROUP })] });
  const sync = await again.receive("sync");
  assert.deepEqual(sync.conversations, { [CONVERSATION]: 1, c00000000000000000000003: 9 });
});

test("syncs all conversations after a reset", async (t) => {
  const { peer } = await connectedSocket(t, [head(1), head(5, { conversation_id: GROUP })]);
  peer.send({ type: "reset", data: { reason: "bus" } });
  const sync = await peer.receive("sync");
  assert.deepEqual(sync.conversations, { [CONVERSATION]: 1, [GROUP]: 5 });
});

test("a reset while a sync is under way is followed by another sync", async (t) => {
  const { peer, socket, messages } = await connectedSocket(t, [head(5)]);
  peer.send({ type: "reset", data: { reason: "bus" } });
  const first = await peer.receive("sync");
  const reset = nextEvent(socket, ({ type }) => type === "reset");
  peer.send({ type: "reset", data: { reason: "bus" } });
  await reset;
  // Read by the server before the change 6, whose event was lost in the second interruption.
  peer.send(syncFrame([], 5));
  peer.ack(first);
  const second = await peer.receive("sync");
  assert.deepEqual(second.conversations, { [CONVERSATION]: 5 });
  const last = nextEvent(socket, ({ type }) => type === "new_message");
  peer.send(syncFrame([message(6)], 6));
  peer.ack(second);
  await last;
  assert.deepEqual(messages(), ["new 6.6"]);
});

test("a conversation loaded before the hello is synced", async (t) => {
  const { server, socket } = await createSocket(t);
  socket.setBaseline({ id: CONVERSATION, last_rev: 4, last_seq: 4 });
  socket.connect(getToken);
  const peer = await server.greetedPeer({ conversations: [head(6)] });
  assert.deepEqual((await peer.receive("sync")).conversations, { [CONVERSATION]: 4 });
});

test("a conversation whose response is older than the hello is synced", async (t) => {
  const { peer, socket } = await connectedSocket(t, [head(6)]);
  socket.setBaseline({ id: CONVERSATION, last_rev: 4, last_seq: 4 });
  assert.deepEqual((await peer.receive("sync")).conversations, { [CONVERSATION]: 4 });
});

test("a conversation loaded after the hello is not synced", async (t) => {
  const { peer, socket, messages } = await connectedSocket(t, [head(6)]);
  const last = nextEvent(socket, ({ type }) => type === "new_message");
  peer.send(messageEvent(message(7)));
  await last;
  socket.setBaseline({ id: CONVERSATION, last_rev: 6, last_seq: 6 });
  socket.markRead(CONVERSATION, 7);
  await peer.receive("read");
  assert.deepEqual(messages(), ["new 7.7"]);
});

test("stops tracking a removed conversation", async (t) => {
  const { server, peer, socket } = await connectedSocket(t, [head(1)]);
  const removed = nextEvent(socket, ({ type }) => type === "conversation_removed");
  peer.send({ type: "conversation_removed", conversation_id: CONVERSATION });
  await removed;
  peer.close(1012, "restart");
  const again = await server.greetedPeer();
  socket.markRead(GROUP, 1);
  await again.receive("read");
});

test("tracks a new conversation from its first event", async (t) => {
  const { peer, messages, socket } = await connectedSocket(t);
  const data = { id: CONVERSATION, last_rev: 0, last_seq: 0 };
  peer.send({ type: "conversation_updated", conversation_id: CONVERSATION, data });
  const last = nextEvent(socket, ({ type }) => type === "new_message");
  peer.send(messageEvent(message(1)));
  await last;
  assert.deepEqual(messages(), ["new 1.1"]);
});

test("a rate-limited sync is repeated after the server's retry_after", async (t) => {
  useFakeTime(t);
  const { peer } = await connectedSocket(t, [head(1)]);
  peer.send(messageEvent(message(3)));
  peer.sendError(await peer.receive("sync"), "rate_limited", { retry_after: 8 });
  await flushEventLoop();
  t.mock.timers.tick(8000 * 1.125 - 1);
  await flushEventLoop();
  assert.equal(peer.waitingFrames, 0);
  t.mock.timers.tick(1);
  await peer.receive("sync");
});

// Sending.

test("send resolves with the stored message, which is emitted once", async (t) => {
  const { peer, socket, messages, events } = await connectedSocket(t, [head(0)]);
  const sending = socket.send(CONVERSATION, "  hello ", { replyTo: "0".repeat(24) });
  const frame = await peer.receive("send_message");
  assert.deepEqual([frame.content, frame.reply_to, frame.nonce.length], ["hello", "0".repeat(24), 32]);
  const data = peer.ackStored(frame, { seq: 1 });
  peer.send(messageEvent(data));
  assert.deepEqual(await sending, data);
  peer.send(messageEvent(message(2)));
  await nextEvent(socket, ({ type, data }) => type === "new_message" && data.seq === 2);
  assert.deepEqual(messages(), ["new 1.1", "new 2.2"]);
  assert.deepEqual(
    events.map(({ type }) => type).filter((type) => ["pending", "sent", "failed"].includes(type)),
    ["pending", "sent"],
  );
  assert.deepEqual(socket.pending, []);
});

test("messages of one conversation are stored in the order of sending", async (t) => {
  const { peer, socket } = await connectedSocket(t, [head(0), head(0, { conversation_id: GROUP })]);
  const sent = [socket.send(CONVERSATION, "one"), socket.send(CONVERSATION, "two"), socket.send(GROUP, "elsewhere")];
  const first = await peer.receive("send_message");
  const other = await peer.receive("send_message");
  assert.deepEqual([first.content, other.content], ["one", "elsewhere"]);
  peer.ackStored(other, { seq: 1 });
  peer.ackStored(first, { seq: 1 });
  peer.ackStored(await peer.receive("send_message"), { seq: 2 });
  assert.deepEqual((await Promise.all(sent)).map(({ content }) => content), ["one", "two", "elsewhere"]);
});

test("an unacknowledged message is sent again with the same nonce after a reconnect", async (t) => {
  const { server, peer, socket } = await connectedSocket(t, [head(0)]);
  const sending = socket.send(CONVERSATION, "hello");
  const first = await peer.receive("send_message");
  peer.socket.terminate();
  const again = await server.greetedPeer({ conversations: [head(0)] });
  const second = await again.receive("send_message");
  assert.equal(second.nonce, first.nonce);
  again.ackStored(second, { seq: 1 });
  assert.equal((await sending).nonce, first.nonce);
});

test("a message sent offline waits, and survives a reload of the tab", async (t) => {
  const sessionStorage = createStorage();
  const server = await startChatServer(t);
  const before = new ChatSocket({ server: "http://127.0.0.1:9", WebSocket, sessionStorage });
  before.connect(getToken, { userId: ME });
  before.send(CONVERSATION, "one");
  before.send(CONVERSATION, "two");
  before.disconnect();

  const after = new ChatSocket({ server: server.url, WebSocket, sessionStorage });
  t.after(() => after.disconnect());
  after.connect(getToken, { userId: ME });
  assert.deepEqual(after.pending.map(({ content }) => content), ["one", "two"]);
  const peer = await server.greetedPeer({ conversations: [head(0)] });
  peer.ackStored(await peer.receive("send_message"), { seq: 1 });
  const sent = nextEvent(after, ({ type, data }) => type === "sent" && data.seq === 2);
  peer.ackStored(await peer.receive("send_message"), { seq: 2 });
  await sent;
  assert.equal(sessionStorage.length, 0);
});

test("a pending message is not sent by another user, but kept for its author", async (t) => {
  const { server, socket, peer } = await connectedSocket(t);
  const sending = socket.send(CONVERSATION, "mine");
  await peer.receive("send_message");
  peer.close(1012, "restart");
  const theirs = await server.greetedPeer({ user_id: OTHER });
  await assert.rejects(sending, { code: "disconnected" });
  assert.deepEqual(socket.pending, []);
  theirs.close(1012, "restart");
  const mine = await server.greetedPeer({ user_id: ME });
  assert.equal((await mine.receive("send_message")).content, "mine");
});

test("a rejected message rejects with a LoaError, and does not block the next", async (t) => {
  const { peer, socket } = await connectedSocket(t, [head(0)]);
  const refused = socket.send(CONVERSATION, "bad");
  const good = socket.send(CONVERSATION, "good");
  const failed = nextEvent(socket, ({ type }) => type === "failed");
  const frame = await peer.receive("send_message");
  peer.sendError(frame, "validation_failed", { errors: [{ field: "content", message: "Invalid." }] });
  await assert.rejects(refused, (error) => {
    assert.ok(error instanceof LoaError);
    assert.deepEqual([error.code, error.retryable], ["validation_failed", false]);
    assert.equal(error.detail, "The code is validation_failed.");
    assert.deepEqual(error.errors, [{ field: "content", message: "Invalid." }]);
    return true;
  });
  assert.equal((await failed).data.nonce, frame.nonce);
  peer.ackStored(await peer.receive("send_message"), { seq: 1 });
  await good;
});

test("a retryable rejection is retried after the server's retry_after", async (t) => {
  useFakeTime(t);
  const { peer, socket } = await connectedSocket(t, [head(0)]);
  const sending = socket.send(CONVERSATION, "hello");
  const first = await peer.receive("send_message");
  peer.sendError(first, "unavailable", { retry_after: 2 });
  await flushEventLoop();
  t.mock.timers.tick(2000);
  await flushEventLoop();
  t.mock.timers.tick(250);
  const second = await peer.receive("send_message");
  assert.equal(second.nonce, first.nonce);
  peer.sendError(second, "rate_limited");
  await flushEventLoop();
  t.mock.timers.tick(2250);
  peer.ackStored(await peer.receive("send_message"), { seq: 1 });
  await sending;
});

test("a rejected message is kept with its error until it is dismissed, even after a reload", async (t) => {
  const sessionStorage = createStorage();
  const { server, peer, socket } = await connectedSocket(t, [head(0)], { sessionStorage });
  const refused = socket.send(CONVERSATION, "bad");
  peer.sendError(await peer.receive("send_message"), "forbidden");
  await assert.rejects(refused, { code: "forbidden" });
  socket.disconnect();

  const after = new ChatSocket({ server: server.url, WebSocket, sessionStorage });
  t.after(() => after.disconnect());
  const pending = nextEvent(after, ({ type }) => type === "pending");
  after.connect(getToken, { userId: ME });
  const { data } = await pending;
  assert.ok(data.error instanceof LoaError);
  assert.deepEqual([data.content, data.error.code, data.error.detail], ["bad", "forbidden", "The code is forbidden."]);
  const again = await server.greetedPeer();
  after.send(CONVERSATION, "good");
  assert.equal((await again.receive("send_message")).content, "good");
  after.dismiss(after.pending[1].nonce);
  after.dismiss(data.nonce);
  assert.deepEqual(after.pending.map(({ content }) => content), ["good"]);
});

// Edits and deletions.

/** A `changeMessage` whose calls the test answers: `next()` is the next one, with `store` and `fail`. */
function createChanges() {
  const calls = new Queue();
  const changeMessage = (change) =>
    new Promise((resolve, reject) => {
      const { kind, content } = change;
      const store = (rev) => resolve(message(1, rev, { content, deleted: kind === "delete" }));
      calls.put({ change, store, fail: (code) => reject(new LoaError(code, `The code is ${code}.`)) });
    });
  return { changeMessage, next: () => calls.next(), calls };
}

test("edits and deletions are stored in order, and emitted", async (t) => {
  const changes = createChanges();
  const { socket, messages, events } = await connectedSocket(t, [head(1)], changes);
  const stored = [socket.edit(CONVERSATION, "m1", " one "), socket.remove(CONVERSATION, "m1")];
  const waiting = socket.pendingChanges.map(({ kind, content }) => [kind, content]);
  assert.deepEqual(waiting, [["edit", "one"], ["delete", ""]]);
  (await changes.next()).store(2);
  const second = await changes.next();
  assert.equal(changes.calls.size, 0);
  second.store(3);
  assert.deepEqual((await Promise.all(stored)).map(({ rev, deleted }) => [rev, deleted]), [[2, false], [3, true]]);
  assert.deepEqual(messages(), ["updated 1.2", "updated 1.3"]);
  const counts = events.filter(({ type }) => type === "changes").map(({ data }) => data.length);
  assert.deepEqual(counts, [1, 2, 1, 0]);
});

test("an edit made offline waits, survives a reload, and is stored after the reconnect", async (t) => {
  const sessionStorage = createStorage();
  const changes = createChanges();
  const server = await startChatServer(t);
  const before = new ChatSocket({ server: "http://127.0.0.1:9", WebSocket, sessionStorage, ...changes });
  before.connect(getToken, { userId: ME });
  before.edit(CONVERSATION, "m1", "one");
  before.remove(GROUP, "m2");
  before.disconnect();
  assert.equal(changes.calls.size, 0);

  const after = new ChatSocket({ server: server.url, WebSocket, sessionStorage, ...changes });
  t.after(() => after.disconnect());
  const restored = nextEvent(after, ({ type }) => type === "changes");
  after.connect(getToken, { userId: ME });
  assert.deepEqual((await restored).data.map(({ message_id, content }) => [message_id, content]), [["m1", "one"]]);
  await server.greetedPeer({ conversations: [head(1)] });
  for (const expected of ["m1", "m2"]) {
    const { change, store } = await changes.next();
    assert.equal(change.message_id, expected);
    store(2);
  }
  await nextEvent(after, ({ type }) => type === "changes");
  while (after.pendingChanges.length) await flushEventLoop();
  assert.equal(sessionStorage.length, 0);
});

test("an edit whose answer was lost is repeated", async (t) => {
  useFakeTime(t);
  const changes = createChanges();
  const { socket } = await connectedSocket(t, [head(1)], changes);
  const stored = socket.edit(CONVERSATION, "m1", "one");
  (await changes.next()).fail("network");
  await flushEventLoop();
  t.mock.timers.tick(1125);
  (await changes.next()).store(2);
  assert.equal((await stored).content, "one");
});

test("a rejected edit is kept with its error until it is dismissed or replaced", async (t) => {
  const sessionStorage = createStorage();
  const changes = createChanges();
  const { socket } = await connectedSocket(t, [head(1)], { ...changes, sessionStorage });
  const [refused, good] = [socket.edit(CONVERSATION, "m1", "bad"), socket.edit(CONVERSATION, "m2", "good")];
  (await changes.next()).fail("forbidden");
  await assert.rejects(refused, { code: "forbidden" });
  (await changes.next()).store(2);
  await good;
  assert.deepEqual(socket.pendingChanges.map(({ content, error }) => [content, error.code]), [["bad", "forbidden"]]);
  const reloaded = new ChatSocket({ server: "http://127.0.0.1:9", WebSocket, sessionStorage, ...changes });
  t.after(() => reloaded.disconnect());
  reloaded.connect(getToken, { userId: ME });
  assert.ok(reloaded.pendingChanges[0].error instanceof LoaError);
  socket.edit(CONVERSATION, "m1", "better");
  assert.deepEqual(socket.pendingChanges.map(({ content }) => content), ["better"]);
  (await changes.next()).fail("not_found");
  await nextEvent(socket, ({ type, data }) => type === "changes" && data[0].error);
  socket.dismissChange(CONVERSATION, "m1");
  assert.deepEqual(socket.pendingChanges, []);
});

test("an invalid edit is rejected locally", async (t) => {
  const { socket } = await createSocket(t, createChanges());
  for (const content of ["", " ", "x".repeat(4001)]) {
    await assert.rejects(socket.edit(CONVERSATION, "m1", content), { code: "validation_failed" });
  }
  for (let count = 0; count < 100; count++) socket.edit(CONVERSATION, "m1", "👍".repeat(4000));
  await assert.rejects(socket.remove(CONVERSATION, "m1"), { code: "outbox_full" });
});

test("a request without a reply ends the connection after a minute", async (t) => {
  useFakeTime(t);
  const { server, peer, socket } = await connectedSocket(t, [head(1)]);
  const sending = socket.send(CONVERSATION, "hello");
  await peer.receive("send_message");
  for (let seconds = 0; seconds < 60; seconds += 20) {
    const typing = nextEvent(socket, ({ type }) => type === "typing");
    peer.send({ type: "typing", conversation_id: CONVERSATION, data: { user_id: OTHER, expires_in: 5 } });
    await typing;
    assert.equal(socket.status, "online");
    t.mock.timers.tick(20_000);
  }
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "no_reply"]);
  t.mock.timers.tick(250);
  const again = await server.greetedPeer({ conversations: [head(1)] });
  again.ackStored(await again.receive("send_message"), { seq: 2 });
  await sending;
});

test("a token that never comes is requested again", async (t) => {
  useFakeTime(t);
  const { server, socket } = await createSocket(t);
  const requests = [() => new Promise(() => {}), async () => "second"];
  socket.connect(() => requests.shift()());
  t.mock.timers.tick(60_000);
  await untilStatus(socket, "offline");
  assert.equal(socket.connectionState.code, "network");
  t.mock.timers.tick(250);
  assert.equal((await server.nextPeer()).query.get("token"), "second");
});

test("an invalid message is rejected locally, online or offline", async (t) => {
  const { socket } = await createSocket(t);
  for (const content of ["", " \n", "x".repeat(4001)]) {
    await assert.rejects(socket.send(CONVERSATION, content), { code: "validation_failed" });
  }
  for (let count = 0; count < 100; count++) socket.send(CONVERSATION, "👍".repeat(4000));
  await assert.rejects(socket.send(CONVERSATION, "one more"), { code: "outbox_full" });
});

// Reading, typing, presence.

test("a read mark is sent once, never moves back, and waits for a connection", async (t) => {
  const { server, socket } = await createSocket(t);
  socket.markRead(CONVERSATION, 3);
  socket.markRead(CONVERSATION, 2);
  socket.connect(getToken);
  const peer = await server.greetedPeer();
  const frame = await peer.receive("read");
  assert.deepEqual([frame.conversation_id, frame.seq], [CONVERSATION, 3]);
  socket.markRead(CONVERSATION, 4);
  socket.markRead(CONVERSATION, 5);
  peer.ack(frame);
  assert.equal((await peer.receive("read")).seq, 5);
});

test("typing is sent at most every three seconds, and again after a message", async (t) => {
  const { peer, socket } = await connectedSocket(t, [head(0)]);
  socket.typing(CONVERSATION);
  socket.typing(CONVERSATION);
  socket.typing(GROUP);
  socket.send(CONVERSATION, "done");
  socket.typing(CONVERSATION);
  assert.equal((await peer.receive("typing")).conversation_id, CONVERSATION);
  assert.equal((await peer.receive("typing")).conversation_id, GROUP);
  await peer.receive("send_message");
  assert.equal((await peer.receive("typing")).conversation_id, CONVERSATION);
});

test("the end of typing is sent once, and only after typing", async (t) => {
  const { peer, socket } = await connectedSocket(t, [head(0)]);
  socket.typing(CONVERSATION, false);
  socket.typing(CONVERSATION);
  socket.typing(CONVERSATION, false);
  socket.typing(CONVERSATION, false);
  socket.typing(CONVERSATION);
  socket.send(CONVERSATION, "done");
  socket.typing(CONVERSATION, false);
  socket.typing(GROUP);
  const sent = [];
  for (let count = 0; count < 3; count++) sent.push(await peer.receive("typing"));
  await peer.receive("send_message");
  sent.push(await peer.receive("typing"));
  assert.deepEqual(sent.map(({ conversation_id, active }) => [conversation_id, active]), [
    [CONVERSATION, undefined],
    [CONVERSATION, false],
    [CONVERSATION, undefined],
    [GROUP, undefined],
  ]);
});

test("watched users are watched again after a reconnect", async (t) => {
  const { server, peer, socket } = await connectedSocket(t);
  socket.watchPresence([OTHER, OTHER]);
  assert.deepEqual((await peer.receive("watch_presence")).user_ids, [OTHER]);
  peer.close(1012, "restart");
  const again = await server.greetedPeer();
  assert.deepEqual((await again.receive("watch_presence")).user_ids, [OTHER]);
  assert.throws(() => socket.watchPresence(Array.from({ length: 201 }, (_, index) => `${index}`)), RangeError);
});

test("watched posts are watched again after a reconnect and a reset, and each time it says so", async (t) => {
  const { server, peer, socket } = await connectedSocket(t);
  const events = [];
  socket.subscribe((event) => events.push(event));
  socket.watchPosts(["feed", OTHER, OTHER]);
  const watched = await peer.receive("watch_posts");
  assert.deepEqual(watched.post_ids, ["feed", OTHER]);
  peer.send({ type: "ack", ref: watched.ref });
  peer.send({ type: "post_created", data: { id: OTHER } });
  peer.send({ type: "reset", data: { reason: "bus_interrupted" } });
  assert.deepEqual((await peer.receive("watch_posts")).post_ids, ["feed", OTHER]);
  assert.deepEqual(
    new Set(events.map(({ type }) => type).filter((type) => type === "watching" || type === "post_created")),
    new Set(["watching", "post_created"]),
  );
  peer.close(1012, "restart");
  const again = await server.greetedPeer();
  assert.deepEqual((await again.receive("watch_posts")).post_ids, ["feed", OTHER]);
  assert.throws(() => socket.watchPosts(Array.from({ length: 51 }, (_, index) => `${index}`)), RangeError);
});

// Connecting and reconnecting.

test("reconnects after a random delay with a bound that doubles up to 20 seconds", async (t) => {
  useFakeTime(t);
  const { server, socket, peer } = await connectedSocket(t);
  peer.socket.terminate();
  for (const bound of [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]) {
    await untilStatus(socket, "offline");
    assert.equal(socket.retryAt, Date.now() + bound / 2);
    t.mock.timers.tick(bound / 2 - 1);
    await flushEventLoop();
    assert.equal(server.waitingPeers, 0);
    t.mock.timers.tick(1);
    (await server.nextPeer()).socket.terminate();
  }
});

test("the back-off is reset after a stable connection", async (t) => {
  useFakeTime(t);
  const { server, socket, peer } = await connectedSocket(t);
  peer.socket.terminate();
  await untilStatus(socket, "offline");
  t.mock.timers.tick(250);
  const short = await server.greetedPeer();
  await untilStatus(socket, "online");
  t.mock.timers.tick(5000);
  short.socket.terminate();
  await untilStatus(socket, "offline");
  assert.equal(socket.retryAt, Date.now() + 500);
  t.mock.timers.tick(500);
  const stable = await server.greetedPeer();
  await untilStatus(socket, "online");
  t.mock.timers.tick(10_000);
  stable.socket.terminate();
  await untilStatus(socket, "offline");
  assert.equal(socket.retryAt, Date.now() + 250);
});

for (const [what, wake] of [["the browser is online", "goOnline"], ["the page is visible", "becomeVisible"]]) {
  test(`retries at once when ${what} again`, async (t) => {
    useFakeTime(t);
    const browser = createPage();
    const { server, socket, peer } = await connectedSocket(t, [], { window: browser.window });
    peer.socket.terminate();
    await untilStatus(socket, "offline");
    browser[wake]();
    t.mock.timers.tick(0);
    await server.greetedPeer();
    await untilStatus(socket, "online");
  });
}

test("a half-open connection is detected by its silence", async (t) => {
  useFakeTime(t);
  const { server, socket, peer } = await connectedSocket(t);
  peer.freeze();
  t.mock.timers.tick(25_000);
  await flushEventLoop();
  assert.equal(socket.status, "online");
  t.mock.timers.tick(25_000);
  t.mock.timers.tick(9999);
  assert.equal(socket.status, "online");
  t.mock.timers.tick(1);
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "silent"]);
  t.mock.timers.tick(250);
  await server.greetedPeer();
  await untilStatus(socket, "online");
});

test("a silent connection is pinged, and kept if it answers", async (t) => {
  useFakeTime(t);
  const { socket, peer } = await connectedSocket(t);
  for (let round = 0; round < 3; round++) {
    t.mock.timers.tick(25_000);
    const typing = nextEvent(socket, ({ type }) => type === "typing");
    peer.send({ type: "typing", conversation_id: CONVERSATION, data: { user_id: OTHER, expires_in: 5 } });
    await typing;
  }
  t.mock.timers.tick(25_000);
  t.mock.timers.tick(25_000);
  const ping = await peer.receive("ping");
  peer.send({ type: "pong", ref: ping.ref });
  await flushEventLoop();
  t.mock.timers.tick(60_000);
  assert.equal(socket.status, "online");
});

test("a connection is pinged at once when the page wakes up", async (t) => {
  useFakeTime(t);
  const browser = createPage();
  const { socket, peer } = await connectedSocket(t, [], { window: browser.window });
  browser.goOnline();
  peer.send({ type: "pong", ref: (await peer.receive("ping")).ref });
  await flushEventLoop();
  t.mock.timers.tick(10_000);
  assert.equal(socket.status, "online");
  peer.freeze();
  browser.becomeVisible();
  t.mock.timers.tick(10_000);
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "silent"]);
});

test("a connection attempt without a hello times out", async (t) => {
  useFakeTime(t);
  const { server, socket } = await createSocket(t);
  socket.connect(getToken);
  await server.nextPeer();
  t.mock.timers.tick(15_000);
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "silent"]);
});

test("disconnect closes the connection, and connect opens a new one", async (t) => {
  const { server, socket, peer } = await connectedSocket(t);
  socket.disconnect();
  assert.equal(socket.status, "idle");
  await peer.closed;
  socket.connect(getToken);
  await server.greetedPeer();
  await untilStatus(socket, "online");
});

test("a disconnect while the token is fetched cancels the attempt", async (t) => {
  const { server, socket } = await createSocket(t);
  let resolveToken;
  socket.connect(() => new Promise((resolve) => (resolveToken = resolve)));
  socket.disconnect();
  resolveToken("token");
  await flushEventLoop();
  assert.equal(server.waitingPeers, 0);
});

test("connecting twice while the token is fetched opens one connection", async (t) => {
  const { server, socket } = await createSocket(t);
  const resolvers = [];
  const getToken = () => new Promise((resolve) => resolvers.push(resolve));
  socket.connect(getToken);
  socket.connect(getToken);
  resolvers[0]("first");
  resolvers[1]("second");
  assert.equal((await server.greetedPeer()).query.get("token"), "second");
  await untilStatus(socket, "online");
  await flushEventLoop();
  assert.equal(server.waitingPeers, 0);
});

// Tokens.

test("an expiring token is renewed without a reconnect", async (t) => {
  useFakeTime(t);
  const requests = [];
  const { socket, peer } = await connectedSocket(t, [], {
    getToken: async (options) => {
      requests.push(options);
      return `token ${requests.length}`;
    },
  });
  const expiring = () => peer.send({ type: "token_expiring", data: { token_expires_at: new Date().toISOString() } });
  t.mock.timers.tick(5000);
  expiring();
  const frame = await peer.receive("authenticate");
  assert.equal(frame.token, "token 2");
  peer.ack(frame);
  await flushEventLoop();
  // The new token expires at once, too: renewing it again would not help.
  expiring();
  await flushEventLoop();
  assert.deepEqual(requests, [{ fresh: false }, { fresh: true }]);
  assert.equal(socket.status, "online");
});

for (const reason of ["token_expired", "token_invalid"]) {
  test(`1008 ${reason} is retried once with a fresh token, and then needs a sign-in`, async (t) => {
    const { server, socket } = await createSocket(t);
    const requests = [];
    socket.connect(async ({ fresh }) => {
      requests.push(fresh);
      return "token";
    });
    (await server.nextPeer()).close(1008, reason);
    (await server.nextPeer()).close(1008, reason);
    await untilStatus(socket, "signed-out");
    assert.equal(socket.connectionState.code, reason);
    assert.deepEqual(requests, [false, true]);
    await flushEventLoop();
    assert.equal(server.waitingPeers, 0);
  });
}

test("each accepted token allows another refresh", async (t) => {
  t.mock.method(Math, "random", () => 0);
  const { server, socket } = await createSocket(t);
  const requests = [];
  socket.connect(async ({ fresh }) => {
    requests.push(fresh);
    return "token";
  });
  for (let round = 0; round < 3; round++) {
    const peer = await server.greetedPeer();
    await untilStatus(socket, "online");
    peer.close(1008, "token_expired");
    await peer.closed;
  }
  await server.greetedPeer();
  await untilStatus(socket, "online");
  assert.deepEqual(requests, [false, true, true, true]);
});

for (const reason of ["token_revoked", "token_missing"]) {
  test(`1008 ${reason} needs a sign-in at once`, async (t) => {
    const { server, socket, peer } = await connectedSocket(t);
    peer.close(1008, reason);
    await untilStatus(socket, "signed-out");
    assert.equal(socket.connectionState.code, reason);
    assert.equal(server.waitingPeers, 0);
  });
}

test("a failing getToken is retried, unless its error needs a sign-in", async (t) => {
  useFakeTime(t);
  const { server, socket } = await createSocket(t);
  const errors = [
    new LoaError("network", "Unreachable."),
    new LoaError("rate_limited", "Too many requests.", { retryAfter: 60 }),
    new TypeError("Unexpected."),
    new LoaError("token_revoked", "Revoked."),
  ];
  socket.connect(async () => {
    throw errors.shift();
  });
  await untilStatus(socket, "offline");
  assert.deepEqual([socket.connectionState.code, socket.retryAt], ["network", Date.now() + 250]);
  t.mock.timers.tick(250);
  await flushEventLoop();
  assert.deepEqual([socket.connectionState.code, socket.retryAt], ["rate_limited", Date.now() + 60_500]);
  t.mock.timers.tick(60_500);
  await flushEventLoop();
  assert.equal(socket.status, "offline");
  t.mock.timers.tick(1000);
  await untilStatus(socket, "signed-out");
  assert.equal(socket.connectionState.code, "token_revoked");
  assert.equal(server.waitingPeers, 0);
});

// Close codes.

for (const code of [1002, 1003, 1007, 1009]) {
  test(`${code} is a client error, after which it does not reconnect`, async (t) => {
    useFakeTime(t);
    const { server, socket, peer } = await connectedSocket(t);
    peer.close(code, "client_error");
    await untilStatus(socket, "failed");
    assert.equal(socket.connectionState.code, "client_error");
    t.mock.timers.tick(600_000);
    await flushEventLoop();
    assert.equal(server.waitingPeers, 0);
  });
}

for (const [code, reason] of [[1011, "internal_error"], [1013, "slow_consumer"], [1001, ""]]) {
  test(`${code} reconnects with back-off, and syncs missed changes`, async (t) => {
    useFakeTime(t);
    const { server, socket, peer } = await connectedSocket(t, [head(1)]);
    peer.close(code, reason);
    await untilStatus(socket, "offline");
    assert.equal(socket.retryAt, Date.now() + 250);
    t.mock.timers.tick(250);
    const again = await server.greetedPeer({ conversations: [head(2)] });
    await again.receive("sync");
  });
}

test("1008 rate_limited waits at least ten seconds, even if the page wakes up", async (t) => {
  useFakeTime(t);
  const browser = createPage();
  const { socket, peer } = await connectedSocket(t, [], { window: browser.window });
  peer.close(1008, "rate_limited");
  await untilStatus(socket, "offline");
  assert.equal(socket.retryAt, Date.now() + 10_250);
  browser.goOnline();
  assert.equal(socket.retryAt, Date.now() + 10_250);
});

test("a reconnect waits as long as a draining server announced", async (t) => {
  useFakeTime(t);
  const browser = createPage();
  const { server, socket, peer } = await connectedSocket(t, [], { window: browser.window });
  peer.send({ type: "draining", data: { reconnect_after_ms: 7000 } });
  peer.close(1012, "restart");
  await untilStatus(socket, "offline");
  assert.deepEqual([socket.retryAt, socket.connectionState.code], [Date.now() + 7000, "restart"]);
  browser.goOnline();
  t.mock.timers.tick(6999);
  await flushEventLoop();
  assert.equal(server.waitingPeers, 0);
  t.mock.timers.tick(1);
  await server.nextPeer();
});

test("an error in one subscriber does not affect the others", async (t) => {
  const { peer, socket, events } = await connectedSocket(t, [head(0)]);
  const reported = t.mock.fn();
  globalThis.reportError = reported;
  t.after(() => delete globalThis.reportError);
  socket.subscribe(() => {
    throw new Error("error in a view");
  });
  const last = nextEvent(socket, ({ type }) => type === "new_message");
  peer.send(messageEvent(message(1)));
  await last;
  assert.equal(reported.mock.calls.at(-1).arguments[0].message, "error in a view");
  assert.equal(events.at(-1).type, "new_message");
});
