/**
 * The library against a real server at LOA_URL, whose access tokens must be valid for 64 seconds, and which has the API
 * key LOA_API_KEY. Run by pytest.
 */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { EventSource } from "eventsource";
import { WebSocket } from "ws";

import { Loa } from "../../service/web/client/index.js";
import { createLocks, createStorage } from "./support/browser.js";
import { nextEvent, untilState, untilStatus } from "./support/wait.js";

const server = process.env.LOA_URL;
const password = "correct horse battery";
let userCount = 0;

/** Sign in a new user, or `username` on another device, and resolve when the client is online. */
async function createUser(t, username) {
  const sockets = [];
  class RecordedWebSocket extends WebSocket {
    constructor(url) {
      super(url);
      sockets.push(this);
    }
  }
  const loa = new Loa({
    ...{ server, WebSocket: RecordedWebSocket, EventSource, BroadcastChannel: null, window: undefined },
    ...{ localStorage: createStorage(), sessionStorage: createStorage(), locks: createLocks() },
  });
  t.after(() => loa.stop());
  loa.start();
  const name = `live${process.pid}_${++userCount}`;
  if (username) await loa.session.login(username, password);
  else await loa.session.register(name, password, `User ${userCount}`);
  await Promise.all([untilStatus(loa.socket, "online"), untilStatus(loa.stream, "online")]);
  return { loa, name: username ?? name, id: loa.session.user.id, sockets, snapshot: loa.store.getSnapshot };
}

/** A client whose tokens come from another system: from a sign-in of `username` for each of them. */
function createExternalClient(t, username) {
  const site = { username, asked: [], tokens: [] };
  const sockets = [];
  class RecordedWebSocket extends WebSocket {
    constructor(url) {
      super(url);
      sockets.push(this);
    }
  }
  const getToken = async ({ fresh }) => {
    site.asked.push(fresh);
    if (!site.username) return null;
    const body = JSON.stringify({ username: site.username, password });
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(`${server}/api/v1/auth/login`, { method: "POST", headers, body });
    const { access_token } = await response.json();
    site.tokens.push(access_token);
    return access_token;
  };
  const loa = new Loa({
    ...{ server, getToken, WebSocket: RecordedWebSocket, EventSource, BroadcastChannel: null, window: undefined },
    ...{ localStorage: createStorage(), sessionStorage: createStorage() },
  });
  t.after(() => loa.stop());
  return { loa, site, sockets };
}

before(() => assert.ok(server, "LOA_URL is not set."));

test("two users chat: presence, typing, messages, read marks, edits, reactions, errors", async (t) => {
  const [ann, bob] = [await createUser(t), await createUser(t)];
  const { id } = await ann.loa.api.createConversation([bob.id]);
  await untilState(ann.loa.store, ({ conversationIds }) => conversationIds[0] === id);
  const [one, two] = await Promise.all([ann.loa.socket.send(id, "one"), ann.loa.socket.send(id, " two ")]);
  assert.deepEqual([one.seq, two.seq, two.content], [1, 2, "two"]);
  // With its first message, a direct conversation appears in the other user's list.
  await untilState(bob.loa.store, ({ conversationIds }) => conversationIds[0] === id);
  await untilState(bob.loa.store, ({ conversations }) => conversations[id].unreadCount === 2);
  await bob.loa.store.openConversation(id);

  bob.loa.socket.watchPresence([ann.id]);
  await untilState(bob.loa.store, ({ presence }) => presence[ann.id]?.online);
  ann.loa.socket.typing(id);
  await untilState(bob.loa.store, ({ conversations }) => ann.id in conversations[id].typing);

  bob.loa.store.markRead(id);
  await untilState(ann.loa.store, ({ conversations }) => conversations[id].reads[bob.id] === 2);

  const answer = await bob.loa.socket.send(id, "three", { replyTo: two.id });
  assert.equal(answer.reply_to, two.id);
  await ann.loa.api.editMessage(id, one.id, "eins");
  await ann.loa.api.deleteMessage(id, two.id);
  await bob.loa.api.react(id, one.id, "👍🏽");
  const upToDate = ({ conversations }) => conversations[id].messages[0]?.rev === 6;
  const [hers, his] = await Promise.all([ann, bob].map(({ loa }) => untilState(loa.store, upToDate)));
  assert.deepEqual(hers.conversations[id].messages, his.conversations[id].messages);
  assert.deepEqual(his.conversations[id].messages.map(({ content }) => content), ["eins", "", "three"]);
  assert.deepEqual(his.conversations[id].messages[0].reactions, { "👍🏽": [bob.id] });

  await assert.rejects(ann.loa.socket.send("0".repeat(24), "nowhere"), { code: "not_found" });
  await assert.rejects(bob.loa.api.editMessage(id, one.id, "mine"), { code: "forbidden", status: 403 });
});

test("changes during an interruption arrive after it, and a pending message is sent once", async (t) => {
  const [ann, bob] = [await createUser(t), await createUser(t)];
  const { id } = await ann.loa.api.createConversation([bob.id], "Group");
  await untilState(bob.loa.store, ({ conversationIds }) => conversationIds.includes(id));
  await bob.loa.socket.send(id, "before");
  await untilState(ann.loa.store, ({ conversations }) => conversations[id]?.messages.length === 1);

  ann.sockets.at(-1).terminate();
  await untilStatus(ann.loa.socket, "offline");
  const waiting = ann.loa.socket.send(id, "sent offline");
  for (let count = 0; count < 5; count++) await bob.loa.api.sendMessage(id, `missed ${count}`);
  await ann.loa.api.renameConversation(id, "Renamed");
  await waiting;
  const complete = ({ conversations }) => conversations[id].messages.length === 8;
  const [hers, his] = await Promise.all([ann, bob].map(({ loa }) => untilState(loa.store, complete)));
  assert.deepEqual(hers.conversations[id].messages, his.conversations[id].messages);
  await untilState(ann.loa.store, ({ conversations }) => conversations[id].details.title === "Renamed");
});

test("a second device loads the same history back to the first message", async (t) => {
  const [ann, bob] = [await createUser(t), await createUser(t)];
  const { id } = await ann.loa.api.createConversation([bob.id]);
  for (let count = 1; count <= 60; count++) await ann.loa.api.sendMessage(id, `${count}`);
  const device = await createUser(t, bob.name);
  await untilState(device.loa.store, ({ conversationIds }) => conversationIds[0] === id);
  await device.loa.store.openConversation(id);
  assert.equal(device.snapshot().conversations[id].messages[0].content, "11");
  await device.loa.store.loadOlder(id);
  const { messages, hasOlder } = device.snapshot().conversations[id];
  assert.deepEqual([messages.length, messages[0].content, hasOlder], [60, "1", false]);
});

test("groups of notifications, and those about a post, are marked as read on all devices", async (t) => {
  const [ann, bo] = [await createUser(t), await createUser(t)];
  const phone = await createUser(t, ann.name);
  const [first, second] = [await ann.loa.api.createPost("One"), await ann.loa.api.createPost("Two")];
  for (const { id } of [first, second, first, second]) {
    const { unreadCount } = ann.snapshot().notifications;
    await bo.loa.api.comment(id, "Here");
    await untilState(ann.loa.store, ({ notifications }) => notifications.items.length === unreadCount + 1);
    await untilState(ann.loa.store, ({ notifications }) => notifications.unreadCount === unreadCount + 1);
  }
  const { items: [later, earlier] } = await ann.loa.api.notificationGroups();
  const shown = ({ seq, count, unread_count, sender_count }) => [seq, count, unread_count, sender_count];
  assert.deepEqual([later, earlier].map(shown), [[4, 2, 2, 1], [3, 2, 2, 1]]);
  await ann.loa.store.markGroupRead(earlier);
  const read = () => ann.snapshot().notifications.items.filter(({ data }) => data.read).map(({ seq }) => seq);
  assert.deepEqual(read(), [3, 1]);
  await untilState(phone.loa.store, ({ notifications }) => notifications.unreadCount === 2);
  await ann.loa.store.markPostRead(second.id);
  assert.deepEqual(read(), [4, 3, 2, 1]);
  await untilState(phone.loa.store, ({ notifications }) => notifications.unreadCount === 0);
});

test("notifications arrive, and are marked as read on all devices", async (t) => {
  const [ann, bob] = [await createUser(t), await createUser(t)];
  const phone = await createUser(t, ann.name);
  const post = await ann.loa.api.createPost("Look at this.");
  const comment = await bob.loa.api.comment(post.id, "Nice!");
  await bob.loa.api.comment(post.id, "Really.");
  const received = ({ notifications }) => notifications.items.length === 2 && notifications.unreadCount === 2;
  await Promise.all([ann, phone].map(({ loa }) => untilState(loa.store, received)));
  const [, first] = ann.snapshot().notifications.items;
  assert.deepEqual([first.type, first.data.comment_id, first.data.preview], ["NEW_COMMENT", comment.id, "Nice!"]);
  await ann.loa.store.markNotificationRead(first.data.notification_id);
  await untilState(phone.loa.store, ({ notifications }) => notifications.items[1].data.read);
  assert.equal(phone.snapshot().notifications.unreadCount, 1);
  await phone.loa.store.markNotificationsRead();
  await untilState(ann.loa.store, ({ notifications }) => notifications.items.every(({ data }) => data.read));

  phone.loa.stream.disconnect();
  await bob.loa.api.comment(post.id, "And another.");
  await untilState(ann.loa.store, ({ notifications }) => notifications.unreadCount === 1);
  const missed = nextEvent(phone.loa.stream, ({ type }) => type === "notification");
  phone.loa.stream.connect(phone.loa.session.getTicket, { userId: ann.id });
  assert.deepEqual([(await missed).data.seq, (await missed).data.data.preview], [3, "And another."]);
});

test("an expiring token is renewed without closing the socket", async (t) => {
  const ann = await createUser(t);
  const token = await ann.loa.session.getToken();
  // The server announces the expiry 60 seconds ahead: four seconds after the sign-in.
  const renewed = new Promise((resolve) => {
    ann.sockets[0].addEventListener("message", ({ data }) => {
      const { type, data: answer } = JSON.parse(data);
      if (type === "ack" && answer?.token_expires_at) resolve(answer.token_expires_at);
    });
  });
  assert.ok(Date.parse(await renewed) - Date.now() > 61_000);
  assert.notEqual(await ann.loa.session.getToken(), token);
  assert.deepEqual([ann.loa.socket.status, ann.sockets.length], ["online", 1]);
});

test("a session ended from another device signs this device out", async (t) => {
  const ann = await createUser(t);
  const phone = await createUser(t, ann.name);
  const out = nextEvent(phone.loa.session, ({ type }) => type === "signed-out");
  const { items } = await ann.loa.api.devices();
  await ann.loa.api.endDevice(items.find(({ current }) => !current).id);
  assert.equal((await out).code, "token_revoked");
  assert.equal(phone.loa.session.user, null);
  const { socket } = ann.loa;
  await ann.loa.session.logout();
  assert.equal(socket.status, "idle");
});

test("a device on which a user has been signed in is not held up by others' wrong passwords", async (t) => {
  const ann = await createUser(t);
  await ann.loa.session.logout();
  const guess = () => {
    const body = JSON.stringify({ username: ann.name, password: "a wrong password" });
    return fetch(`${server}/api/v1/auth/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  };
  while ((await guess()).status === 401);
  assert.equal((await guess()).status, 429);
  assert.equal((await ann.loa.session.login(ann.name, password)).id, ann.id);
});

test("with tokens from outside: a conversation can be opened before the user is known", async (t) => {
  const [ann, bob] = [await createUser(t), await createUser(t)];
  const { id } = await bob.loa.api.createConversation([ann.id]);
  await bob.loa.socket.send(id, "hello");
  const { loa } = createExternalClient(t, ann.name);
  loa.start();
  loa.store.openConversation(id);
  const { conversations } = await untilState(loa.store, ({ conversations }) => conversations[id]?.messages.length);
  assert.deepEqual([conversations[id].isOpen, conversations[id].messages[0].content], [true, "hello"]);
});

test("with tokens from outside: connects, renews before the expiry without closing the socket, follows the site", async (t) => {
  const [ann, bob] = [await createUser(t), await createUser(t)];
  const { loa, site, sockets } = createExternalClient(t, ann.name);
  loa.start();
  assert.equal(loa.session.user, null);
  const renewed = new Promise((resolve) => {
    const onMessage = ({ data }) => {
      const { type, data: answer } = JSON.parse(data);
      if (type === "ack" && answer?.token_expires_at) resolve(answer.token_expires_at);
    };
    nextEvent(loa.socket, ({ type }) => type === "hello").then(() => sockets.at(-1).addEventListener("message", onMessage));
  });
  await Promise.all([untilStatus(loa.socket, "online"), untilStatus(loa.stream, "online")]);
  assert.deepEqual([loa.session.user.id, site.asked], [ann.id, [false]]);
  const { id } = await bob.loa.api.createConversation([ann.id]);
  await bob.loa.socket.send(id, "hello");
  await untilState(loa.store, ({ conversationIds }) => conversationIds[0] === id);
  await loa.store.openConversation(id);
  assert.deepEqual(loa.store.getSnapshot().conversations[id].messages.map(({ content }) => content), ["hello"]);

  // The server announces the expiry 60 seconds ahead: four seconds after the sign-in.
  const connections = sockets.length;
  const stream = nextEvent(loa.stream, ({ type }) => type === "hello");
  assert.ok(Date.parse(await renewed) - Date.now() > 61_000);
  assert.ok(Date.parse((await stream).data.token_expires_at) - Date.now() > 61_000);
  assert.deepEqual([loa.socket.status, sockets.length, site.asked], ["online", connections, [false, true]]);

  // Another person signs in on the site, and then out.
  site.username = bob.name;
  await loa.session.refresh();
  await untilState(loa.store, ({ userId, chat }) => userId === bob.id && chat.status === "online");
  site.username = null;
  assert.equal(await loa.session.refresh(), null);
  const { conversationIds, chat, stream: streamState } = loa.store.getSnapshot();
  assert.deepEqual([conversationIds, chat.status, streamState.status], [[], "idle", "idle"]);
});

test("with tokens from outside: a revoked token is replaced, until the site has none", async (t) => {
  const ann = await createUser(t);
  const { loa, site } = createExternalClient(t, ann.name);
  loa.start();
  await Promise.all([untilStatus(loa.socket, "online"), untilStatus(loa.stream, "online")]);
  const revoke = async (token) => {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(`${server}/api/v1/auth/logout`, { method: "POST", headers });
    assert.equal(response.status, 204);
  };
  const reconnected = nextEvent(loa.socket, ({ type }) => type === "hello");
  await revoke(site.tokens.at(-1));
  await reconnected;
  assert.deepEqual([loa.session.user.id, site.asked], [ann.id, [false, true]]);
  site.username = null;
  const out = nextEvent(loa.session, ({ type }) => type === "signed-out");
  await revoke(site.tokens.at(-1));
  await out;
  assert.deepEqual([loa.session.user, loa.socket.status, loa.stream.status], [null, "idle", "idle"]);
});

test("with tokens of the server API: who is revoked, and is still signed in on the site, stays connected", async (t) => {
  const call = async (method, path, body = {}) => {
    const headers = { Authorization: `Bearer ${process.env.LOA_API_KEY}`, "Content-Type": "application/json" };
    const response = await fetch(`${server}/api/v1/server/users/live-1${path}`, {
      ...{ method, headers, body: JSON.stringify(body) },
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? null : response.json();
  };
  await call("PUT", "", { display_name: "Ann of the site" });
  const loa = new Loa({
    ...{ server, WebSocket, EventSource, BroadcastChannel: null, window: undefined },
    ...{ localStorage: createStorage(), sessionStorage: createStorage() },
    getToken: async () => (await call("POST", "/tokens")).access_token,
  });
  t.after(() => loa.stop());
  loa.start();
  await Promise.all([untilStatus(loa.socket, "online"), untilStatus(loa.stream, "online")]);
  assert.equal(loa.session.user.display_name, "Ann of the site");
  const events = [];
  loa.session.subscribe((event) => events.push(event));
  const back = [loa.socket, loa.stream].map((source) => nextEvent(source, ({ type }) => type === "hello"));
  await call("POST", "/revoke");
  await Promise.all(back);
  assert.deepEqual(events, []);
});
