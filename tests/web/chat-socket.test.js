/** The chat socket, against a real WebSocket peer that does whatever can go wrong. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";

import { ChatSocket, LoaError } from "../../service/web/client/index.js";
import { page, storage } from "./support/browser.js";
import { chatServer, GROUP, ME, message, OTHER, said, standing, TALK } from "./support/chat-server.js";
import { event, settled, status } from "./support/until.js";

const getToken = async () => "token";

async function begin(t, options = {}) {
  const server = await chatServer(t);
  const socket = new ChatSocket({ server: server.url, WebSocket, sessionStorage: storage(), ...options });
  t.after(() => socket.disconnect());
  const heard = [];
  socket.subscribe((event) => heard.push(event));
  /** The messages handed on, as "new 1.2" or "updated 1.2". */
  const messages = () =>
    heard
      .filter(({ type }) => type === "new_message" || type === "message_updated")
      .map(({ type, data }) => `${type === "new_message" ? "new" : "updated"} ${data.seq}.${data.rev}`);
  return { server, socket, heard, messages };
}

/** As `begin`, connected, and greeted with these conversations. */
async function online(t, conversations = [], options = {}) {
  const world = await begin(t, options);
  world.socket.connect(options.getToken ?? getToken);
  const peer = await world.server.peer();
  peer.hello({ conversations });
  await status(world.socket, "online");
  return { ...world, peer };
}

function tick(t, milliseconds) {
  t.mock.timers.tick(milliseconds);
}

function fakeTime(t) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  t.mock.method(Math, "random", () => 0.5);
}

test("connects with the token in the URL, and is online once the server has said hello", async (t) => {
  const { server, socket } = await begin(t);
  socket.connect(async () => "a+b");
  assert.equal(socket.status, "connecting");
  const peer = await server.peer();
  assert.deepEqual([peer.path, peer.query.get("token")], ["/api/v1/ws/chat", "a+b"]);
  assert.equal(socket.status, "connecting");
  const hello = event(socket, ({ type }) => type === "hello");
  peer.hello();
  assert.equal((await hello).user_id, ME);
  assert.equal(socket.status, "online");
});

test("hands on messages in order, and none twice", async (t) => {
  const { peer, messages, socket } = await online(t, [standing(1)]);
  const last = event(socket, ({ type, data }) => type === "message_updated" && data.rev === 4);
  for (const data of [message(1), message(2), message(2), message(3), message(2)]) peer.say(said(data));
  peer.say(said(message(2, 4), "message_updated"));
  await last;
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "updated 2.4"]);
});

test("fills a gap by sync, and hands on what came early in its place", async (t) => {
  const { peer, messages, socket } = await online(t, [standing(1)]);
  peer.say(said(message(4)));
  peer.say(said(message(3)));
  const sync = await peer.hear("sync");
  assert.deepEqual(sync.conversations, { [TALK]: 1 });
  assert.deepEqual(messages(), []);
  const last = event(socket, ({ type, data }) => type === "new_message" && data.rev === 4);
  peer.say({ type: "sync", conversation_id: TALK, data: { messages: [message(2)], last_rev: 2, complete: true } });
  peer.ack(sync);
  await last;
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "new 4.4"]);
});

test("tells new from changed in what a sync brings, whatever its order", async (t) => {
  const { peer, messages, socket } = await online(t, [standing(2)]);
  peer.say(said(message(4, 7)));
  const sync = await peer.hear("sync");
  const missed = [message(4, 4), message(1, 5), message(3, 6), message(4, 7)];
  peer.say({ type: "sync", conversation_id: TALK, data: { messages: missed.slice(1), last_rev: 7, complete: true } });
  peer.ack(sync);
  await event(socket, ({ type, data }) => type === "new_message" && data.rev === 7);
  assert.deepEqual(messages(), ["updated 1.5", "new 3.6", "new 4.7"]);
});

test("pages over REST what is too long for a sync", async (t) => {
  const asked = [];
  const getChanges = async (id, rev) => {
    asked.push([id, rev]);
    return rev === 2 ? { items: [message(3), message(4)], next: 4 } : { items: [message(5)], next: null };
  };
  const { peer, messages, socket } = await online(t, [standing(1)], { getChanges });
  const last = event(socket, ({ type, data }) => type === "new_message" && data.rev === 6);
  peer.say(said(message(6)));
  const sync = await peer.hear("sync");
  peer.say({ type: "sync", conversation_id: TALK, data: { messages: [message(2)], last_rev: 6, complete: false } });
  peer.ack(sync);
  await last;
  assert.deepEqual(asked, [[TALK, 2], [TALK, 4]]);
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "new 4.4", "new 5.5", "new 6.6"]);
});

test("asks the socket for the rest of a long answer where it has no REST", async (t) => {
  const { peer, messages, socket } = await online(t, [standing(1)]);
  peer.say(said(message(4)));
  const first = await peer.hear("sync");
  peer.say({ type: "sync", conversation_id: TALK, data: { messages: [message(2)], last_rev: 4, complete: false } });
  peer.ack(first);
  const second = await peer.hear("sync");
  assert.deepEqual(second.conversations, { [TALK]: 2 });
  const last = event(socket, ({ type, data }) => type === "new_message" && data.rev === 4);
  peer.say({ type: "sync", conversation_id: TALK, data: { messages: [message(3)], last_rev: 3, complete: true } });
  peer.ack(second);
  await last;
  assert.deepEqual(messages(), ["new 2.2", "new 3.3", "new 4.4"]);
});

test("does not ask in a loop for what cannot be read yet", async (t) => {
  fakeTime(t);
  const { peer, socket } = await online(t, [standing(1)]);
  peer.say(said(message(3)));
  for (let round = 0; round < 3; round++) {
    const sync = await peer.hear("sync");
    peer.say({ type: "sync", conversation_id: TALK, data: { messages: [], last_rev: 1, complete: true } });
    peer.ack(sync);
    await settled();
    tick(t, 1000 * 2 ** round - 1);
    await settled();
    assert.equal(peer.unheard, 0);
    tick(t, 1);
  }
  const sync = await peer.hear("sync");
  const last = event(socket, ({ type, data }) => type === "new_message" && data.rev === 3);
  peer.say({ type: "sync", conversation_id: TALK, data: { messages: [message(2)], last_rev: 2, complete: true } });
  peer.ack(sync);
  await last;
});

test("syncs what is behind when it comes back, and what the hello does not mention", async (t) => {
  const { server, socket, peer } = await online(t, [standing(1), standing(5, { conversation_id: GROUP })]);
  socket.setBaseline({ id: "c00000000000000000000003", last_rev: 9, last_seq: 9 });
  peer.close(1012, "restart");
  const again = await server.greeted({ conversations: [standing(3), standing(5, { conversation_id: GROUP })] });
  const sync = await again.hear("sync");
  assert.deepEqual(sync.conversations, { [TALK]: 1, c00000000000000000000003: 9 });
});

test("syncs everything after a reset", async (t) => {
  const { peer } = await online(t, [standing(1), standing(5, { conversation_id: GROUP })]);
  peer.say({ type: "reset", data: { reason: "bus" } });
  const sync = await peer.hear("sync");
  assert.deepEqual(sync.conversations, { [TALK]: 1, [GROUP]: 5 });
});

test("what was loaded before the hello is brought up to date", async (t) => {
  const { server, socket } = await begin(t);
  socket.setBaseline({ id: TALK, last_rev: 4, last_seq: 4 });
  socket.connect(getToken);
  const peer = await server.greeted({ conversations: [standing(6)] });
  assert.deepEqual((await peer.hear("sync")).conversations, { [TALK]: 4 });
});

test("what was loaded before the hello, but arrives after it, is brought up to date too", async (t) => {
  const { peer, socket } = await online(t, [standing(6)]);
  socket.setBaseline({ id: TALK, last_rev: 4, last_seq: 4 });
  assert.deepEqual((await peer.hear("sync")).conversations, { [TALK]: 4 });
});

test("what was loaded since the hello needs no sync", async (t) => {
  const { peer, socket, messages } = await online(t, [standing(6)]);
  const last = event(socket, ({ type }) => type === "new_message");
  peer.say(said(message(7)));
  await last;
  socket.setBaseline({ id: TALK, last_rev: 6, last_seq: 6 });
  socket.markRead(TALK, 7);
  await peer.hear("read");
  assert.deepEqual(messages(), ["new 7.7"]);
});

test("forgets a conversation that one is no longer in", async (t) => {
  const { server, peer, socket } = await online(t, [standing(1)]);
  const removed = event(socket, ({ type }) => type === "conversation_removed");
  peer.say({ type: "conversation_removed", conversation_id: TALK });
  await removed;
  peer.close(1012, "restart");
  const again = await server.greeted();
  socket.markRead(GROUP, 1);
  await again.hear("read");
});

test("follows a new conversation from the word that it exists", async (t) => {
  const { peer, messages, socket } = await online(t);
  peer.say({ type: "conversation_updated", conversation_id: TALK, data: { id: TALK, last_rev: 0, last_seq: 0 } });
  const last = event(socket, ({ type }) => type === "new_message");
  peer.say(said(message(1)));
  await last;
  assert.deepEqual(messages(), ["new 1.1"]);
});

test("a rate-limited sync is asked again when the server said", async (t) => {
  fakeTime(t);
  const { peer } = await online(t, [standing(1)]);
  peer.say(said(message(3)));
  peer.refuse(await peer.hear("sync"), "rate_limited", { retry_after: 8 });
  await settled();
  tick(t, 8000 * 1.125 - 1);
  await settled();
  assert.equal(peer.unheard, 0);
  tick(t, 1);
  await peer.hear("sync");
});

// Sending.

test("a sent message is resolved with what was stored, and handed on once", async (t) => {
  const { peer, socket, messages, heard } = await online(t, [standing(0)]);
  const sending = socket.send(TALK, "  hello ", { replyTo: "0".repeat(24) });
  const frame = await peer.hear("send_message");
  assert.deepEqual([frame.content, frame.reply_to, frame.nonce.length], ["hello", "0".repeat(24), 32]);
  const data = peer.store(frame, { seq: 1 });
  peer.say(said(data));
  assert.deepEqual(await sending, data);
  peer.say(said(message(2)));
  await event(socket, ({ type, data }) => type === "new_message" && data.seq === 2);
  assert.deepEqual(messages(), ["new 1.1", "new 2.2"]);
  assert.deepEqual(
    heard.map(({ type }) => type).filter((type) => ["pending", "sent", "failed"].includes(type)),
    ["pending", "sent"],
  );
  assert.deepEqual(socket.pending, []);
});

test("messages of one conversation are stored in the order of sending", async (t) => {
  const { peer, socket } = await online(t, [standing(0), standing(0, { conversation_id: GROUP })]);
  const sent = [socket.send(TALK, "one"), socket.send(TALK, "two"), socket.send(GROUP, "elsewhere")];
  const first = await peer.hear("send_message");
  const other = await peer.hear("send_message");
  assert.deepEqual([first.content, other.content], ["one", "elsewhere"]);
  peer.store(other, { seq: 1 });
  peer.store(first, { seq: 1 });
  peer.store(await peer.hear("send_message"), { seq: 2 });
  assert.deepEqual((await Promise.all(sent)).map(({ content }) => content), ["one", "two", "elsewhere"]);
});

test("what was not acknowledged is sent again with the same nonce after a reconnect", async (t) => {
  const { server, peer, socket } = await online(t, [standing(0)]);
  const sending = socket.send(TALK, "hello");
  const first = await peer.hear("send_message");
  peer.socket.terminate();
  const again = await server.greeted({ conversations: [standing(0)] });
  const second = await again.hear("send_message");
  assert.equal(second.nonce, first.nonce);
  again.store(second, { seq: 1 });
  assert.equal((await sending).nonce, first.nonce);
});

test("what was sent offline waits, and survives a reload of the tab", async (t) => {
  const sessionStorage = storage();
  const server = await chatServer(t);
  const before = new ChatSocket({ server: "http://127.0.0.1:9", WebSocket, sessionStorage });
  before.connect(getToken, { userId: ME });
  before.send(TALK, "one");
  before.send(TALK, "two");
  before.disconnect();

  const after = new ChatSocket({ server: server.url, WebSocket, sessionStorage });
  t.after(() => after.disconnect());
  after.connect(getToken, { userId: ME });
  assert.deepEqual(after.pending.map(({ content }) => content), ["one", "two"]);
  const peer = await server.greeted({ conversations: [standing(0)] });
  peer.store(await peer.hear("send_message"), { seq: 1 });
  const sent = event(after, ({ type, data }) => type === "sent" && data.seq === 2);
  peer.store(await peer.hear("send_message"), { seq: 2 });
  await sent;
  assert.equal(sessionStorage.length, 0);
});

test("what one person wrote is not sent by the next, but waits for its author", async (t) => {
  const { server, socket, peer } = await online(t);
  const sending = socket.send(TALK, "mine");
  await peer.hear("send_message");
  peer.close(1012, "restart");
  const theirs = await server.greeted({ user_id: OTHER });
  await assert.rejects(sending, { code: "disconnected" });
  assert.deepEqual(socket.pending, []);
  theirs.close(1012, "restart");
  const mine = await server.greeted({ user_id: ME });
  assert.equal((await mine.hear("send_message")).content, "mine");
});

test("a refusal rejects with a typed error, and does not hold up what comes after", async (t) => {
  const { peer, socket } = await online(t, [standing(0)]);
  const refused = socket.send(TALK, "bad");
  const good = socket.send(TALK, "good");
  const failed = event(socket, ({ type }) => type === "failed");
  const frame = await peer.hear("send_message");
  peer.refuse(frame, "validation_failed", { errors: [{ field: "content", message: "No." }] });
  await assert.rejects(refused, (error) => {
    assert.ok(error instanceof LoaError);
    assert.deepEqual([error.code, error.retryable], ["validation_failed", false]);
    assert.equal(error.detail, "It is validation_failed.");
    assert.deepEqual(error.errors, [{ field: "content", message: "No." }]);
    return true;
  });
  assert.equal((await failed).data.nonce, frame.nonce);
  peer.store(await peer.hear("send_message"), { seq: 1 });
  await good;
});

test("a passing refusal is tried again after the time that the server names", async (t) => {
  fakeTime(t);
  const { peer, socket } = await online(t, [standing(0)]);
  const sending = socket.send(TALK, "hello");
  const first = await peer.hear("send_message");
  peer.refuse(first, "unavailable", { retry_after: 2 });
  await settled();
  tick(t, 2000);
  await settled();
  tick(t, 250);
  const second = await peer.hear("send_message");
  assert.equal(second.nonce, first.nonce);
  peer.refuse(second, "rate_limited");
  await settled();
  tick(t, 2250);
  peer.store(await peer.hear("send_message"), { seq: 1 });
  await sending;
});

test("what the server would refuse is refused here, online or not", async (t) => {
  const { socket } = await begin(t);
  for (const content of ["", " \n", "x".repeat(4001)]) {
    await assert.rejects(socket.send(TALK, content), { code: "validation_failed" });
  }
  for (let count = 0; count < 100; count++) socket.send(TALK, "👍".repeat(4000));
  await assert.rejects(socket.send(TALK, "one more"), { code: "outbox_full" });
});

// Reading, typing, presence.

test("a read mark is told once, never moves back, and waits for a connection", async (t) => {
  const { server, socket } = await begin(t);
  socket.markRead(TALK, 3);
  socket.markRead(TALK, 2);
  socket.connect(getToken);
  const peer = await server.greeted();
  const frame = await peer.hear("read");
  assert.deepEqual([frame.conversation_id, frame.seq], [TALK, 3]);
  socket.markRead(TALK, 4);
  socket.markRead(TALK, 5);
  peer.ack(frame);
  assert.equal((await peer.hear("read")).seq, 5);
});

test("typing is told at most every three seconds, and again after a message", async (t) => {
  const { peer, socket } = await online(t, [standing(0)]);
  socket.typing(TALK);
  socket.typing(TALK);
  socket.typing(GROUP);
  socket.send(TALK, "done");
  socket.typing(TALK);
  assert.equal((await peer.hear("typing")).conversation_id, TALK);
  assert.equal((await peer.hear("typing")).conversation_id, GROUP);
  await peer.hear("send_message");
  assert.equal((await peer.hear("typing")).conversation_id, TALK);
});

test("those watched are watched again after a reconnect", async (t) => {
  const { server, peer, socket } = await online(t);
  socket.watchPresence([OTHER, OTHER]);
  assert.deepEqual((await peer.hear("watch_presence")).user_ids, [OTHER]);
  peer.close(1012, "restart");
  const again = await server.greeted();
  assert.deepEqual((await again.hear("watch_presence")).user_ids, [OTHER]);
  assert.throws(() => socket.watchPresence(Array.from({ length: 201 }, (_, place) => `${place}`)), RangeError);
});

// The connection's life.

test("a lost connection is tried again after a random time up to a bound that doubles to 20 seconds", async (t) => {
  fakeTime(t);
  const { server, socket, peer } = await online(t);
  peer.socket.terminate();
  for (const bound of [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000]) {
    await status(socket, "offline");
    assert.equal(socket.retryAt, Date.now() + bound / 2);
    tick(t, bound / 2 - 1);
    await settled();
    assert.equal(server.unseen, 0);
    tick(t, 1);
    (await server.peer()).socket.terminate();
  }
});

test("the waits begin anew once a connection has lasted", async (t) => {
  fakeTime(t);
  const { server, socket, peer } = await online(t);
  peer.socket.terminate();
  await status(socket, "offline");
  tick(t, 250);
  const brief = await server.greeted();
  await status(socket, "online");
  tick(t, 5000);
  brief.socket.terminate();
  await status(socket, "offline");
  assert.equal(socket.retryAt, Date.now() + 500);
  tick(t, 500);
  const lasting = await server.greeted();
  await status(socket, "online");
  tick(t, 10_000);
  lasting.socket.terminate();
  await status(socket, "offline");
  assert.equal(socket.retryAt, Date.now() + 250);
});

for (const [what, wake] of [["the network is back", "online"], ["the page is looked at", "look"]]) {
  test(`a back-off is cut short when ${what}`, async (t) => {
    fakeTime(t);
    const browser = page();
    const { server, socket, peer } = await online(t, [], { window: browser.window });
    peer.socket.terminate();
    await status(socket, "offline");
    browser[wake]();
    tick(t, 0);
    await server.greeted();
    await status(socket, "online");
  });
}

test("a connection that has died unseen is found out by its silence", async (t) => {
  fakeTime(t);
  const { server, socket, peer } = await online(t);
  peer.vanish();
  tick(t, 25_000);
  await settled();
  assert.equal(socket.status, "online");
  tick(t, 25_000);
  tick(t, 9999);
  assert.equal(socket.status, "online");
  tick(t, 1);
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "silent"]);
  tick(t, 250);
  await server.greeted();
  await status(socket, "online");
});

test("a live connection is only asked when it is silent, and kept when it answers", async (t) => {
  fakeTime(t);
  const { socket, peer } = await online(t);
  for (let round = 0; round < 3; round++) {
    tick(t, 25_000);
    const typing = event(socket, ({ type }) => type === "typing");
    peer.say({ type: "typing", conversation_id: TALK, data: { user_id: OTHER, expires_in: 5 } });
    await typing;
  }
  tick(t, 25_000);
  tick(t, 25_000);
  const ping = await peer.hear("ping");
  peer.say({ type: "pong", ref: ping.ref });
  await settled();
  tick(t, 60_000);
  assert.equal(socket.status, "online");
});

test("a connection is asked at once whether it lives when the page wakes up", async (t) => {
  fakeTime(t);
  const browser = page();
  const { socket, peer } = await online(t, [], { window: browser.window });
  browser.online();
  peer.say({ type: "pong", ref: (await peer.hear("ping")).ref });
  await settled();
  tick(t, 10_000);
  assert.equal(socket.status, "online");
  peer.vanish();
  browser.look();
  tick(t, 10_000);
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "silent"]);
});

test("an opening that leads nowhere is given up", async (t) => {
  fakeTime(t);
  const { server, socket } = await begin(t);
  socket.connect(getToken);
  await server.peer();
  tick(t, 15_000);
  assert.deepEqual([socket.status, socket.connectionState.code], ["offline", "silent"]);
});

test("disconnect ends everything, and connect begins again", async (t) => {
  const { server, socket, peer } = await online(t);
  socket.disconnect();
  assert.equal(socket.status, "idle");
  await peer.closed;
  socket.connect(getToken);
  await server.greeted();
  await status(socket, "online");
});

test("a disconnect while the token is fetched opens nothing", async (t) => {
  const { server, socket } = await begin(t);
  let give;
  socket.connect(() => new Promise((resolve) => (give = resolve)));
  socket.disconnect();
  give("token");
  await settled();
  assert.equal(server.unseen, 0);
});

test("connecting twice while the token is fetched opens one connection", async (t) => {
  const { server, socket } = await begin(t);
  const gives = [];
  const getToken = () => new Promise((resolve) => gives.push(resolve));
  socket.connect(getToken);
  socket.connect(getToken);
  gives[0]("first");
  gives[1]("second");
  assert.equal((await server.greeted()).query.get("token"), "second");
  await status(socket, "online");
  await settled();
  assert.equal(server.unseen, 0);
});

// Tokens.

test("an expiring token is renewed without a reconnect", async (t) => {
  fakeTime(t);
  const asked = [];
  const { socket, peer } = await online(t, [], {
    getToken: async (options) => {
      asked.push(options);
      return `token ${asked.length}`;
    },
  });
  const expiring = () => peer.say({ type: "token_expiring", data: { token_expires_at: new Date().toISOString() } });
  tick(t, 5000);
  expiring();
  const frame = await peer.hear("authenticate");
  assert.equal(frame.token, "token 2");
  peer.ack(frame);
  await settled();
  // A server whose tokens expire so soon that it says so at once is not asked again and again.
  expiring();
  await settled();
  assert.deepEqual(asked, [{ fresh: false }, { fresh: true }]);
  assert.equal(socket.status, "online");
});

for (const reason of ["token_expired", "token_invalid"]) {
  test(`1008 ${reason} is tried once with a fresh token, and then needs a sign-in`, async (t) => {
    const { server, socket } = await begin(t);
    const asked = [];
    socket.connect(async ({ fresh }) => {
      asked.push(fresh);
      return "token";
    });
    (await server.peer()).close(1008, reason);
    (await server.peer()).close(1008, reason);
    await status(socket, "signed-out");
    assert.equal(socket.connectionState.code, reason);
    assert.deepEqual(asked, [false, true]);
    await settled();
    assert.equal(server.unseen, 0);
  });
}

test("a token may expire again and again, once the one before was good", async (t) => {
  t.mock.method(Math, "random", () => 0);
  const { server, socket } = await begin(t);
  const asked = [];
  socket.connect(async ({ fresh }) => {
    asked.push(fresh);
    return "token";
  });
  for (let round = 0; round < 3; round++) {
    const peer = await server.greeted();
    await status(socket, "online");
    peer.close(1008, "token_expired");
    await peer.closed;
  }
  await server.greeted();
  await status(socket, "online");
  assert.deepEqual(asked, [false, true, true, true]);
});

for (const reason of ["token_revoked", "token_missing"]) {
  test(`1008 ${reason} needs a sign-in at once`, async (t) => {
    const { server, socket, peer } = await online(t);
    peer.close(1008, reason);
    await status(socket, "signed-out");
    assert.equal(socket.connectionState.code, reason);
    assert.equal(server.unseen, 0);
  });
}

test("a token that cannot be had needs a sign-in, or is tried again, as its error says", async (t) => {
  fakeTime(t);
  const { server, socket } = await begin(t);
  const errors = [
    new LoaError("network", "Gone."),
    new LoaError("rate_limited", "Slow.", { retryAfter: 60 }),
    new TypeError("Who knows."),
    new LoaError("token_revoked", "Out."),
  ];
  socket.connect(async () => {
    throw errors.shift();
  });
  await status(socket, "offline");
  assert.deepEqual([socket.connectionState.code, socket.retryAt], ["network", Date.now() + 250]);
  tick(t, 250);
  await settled();
  assert.deepEqual([socket.connectionState.code, socket.retryAt], ["rate_limited", Date.now() + 60_500]);
  tick(t, 60_500);
  await settled();
  assert.equal(socket.status, "offline");
  tick(t, 1000);
  await status(socket, "signed-out");
  assert.equal(socket.connectionState.code, "token_revoked");
  assert.equal(server.unseen, 0);
});

// Close codes.

for (const code of [1002, 1003, 1007, 1009]) {
  test(`${code} is our own mistake, which is not repeated`, async (t) => {
    fakeTime(t);
    const { server, socket, peer } = await online(t);
    peer.close(code, "mistake");
    await status(socket, "failed");
    assert.equal(socket.connectionState.code, "mistake");
    tick(t, 600_000);
    await settled();
    assert.equal(server.unseen, 0);
  });
}

for (const [code, reason] of [[1011, "internal_error"], [1013, "slow_consumer"], [1001, ""]]) {
  test(`${code} backs off, and then syncs what was missed`, async (t) => {
    fakeTime(t);
    const { server, socket, peer } = await online(t, [standing(1)]);
    peer.close(code, reason);
    await status(socket, "offline");
    assert.equal(socket.retryAt, Date.now() + 250);
    tick(t, 250);
    const again = await server.greeted({ conversations: [standing(2)] });
    await again.hear("sync");
  });
}

test("1008 rate_limited stays away for a while", async (t) => {
  fakeTime(t);
  const browser = page();
  const { socket, peer } = await online(t, [], { window: browser.window });
  peer.close(1008, "rate_limited");
  await status(socket, "offline");
  assert.equal(socket.retryAt, Date.now() + 10_250);
  browser.online();
  assert.equal(socket.retryAt, Date.now() + 10_250);
});

test("a restarting server is waited for as long as it said, and not shorter", async (t) => {
  fakeTime(t);
  const browser = page();
  const { server, socket, peer } = await online(t, [], { window: browser.window });
  peer.say({ type: "draining", data: { reconnect_after_ms: 7000 } });
  peer.close(1012, "restart");
  await status(socket, "offline");
  assert.deepEqual([socket.retryAt, socket.connectionState.code], [Date.now() + 7000, "restart"]);
  browser.online();
  tick(t, 6999);
  await settled();
  assert.equal(server.unseen, 0);
  tick(t, 1);
  await server.peer();
});

test("one subscriber's mistake keeps nothing from the others", async (t) => {
  const { peer, socket, heard } = await online(t, [standing(0)]);
  const reported = t.mock.fn();
  globalThis.reportError = reported;
  t.after(() => delete globalThis.reportError);
  socket.subscribe(() => {
    throw new Error("a view's mistake");
  });
  const last = event(socket, ({ type }) => type === "new_message");
  peer.say(said(message(1)));
  await last;
  assert.equal(reported.mock.calls.at(-1).arguments[0].message, "a view's mistake");
  assert.equal(heard.at(-1).type, "new_message");
});
