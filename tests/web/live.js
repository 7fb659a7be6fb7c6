/** The library against the real server, which LOA_URL names; its access tokens last 64 seconds. Run by pytest. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { EventSource } from "eventsource";
import { WebSocket } from "ws";

import { Loa } from "../../service/web/client/index.js";
import { locks, storage } from "./support/browser.js";
import { event, state, status } from "./support/until.js";

const server = process.env.LOA_URL;
const password = "correct horse battery";
let people = 0;

/** A new person, or another device of one, signed in and online. */
async function someone(t, username) {
  const sockets = [];
  class Watched extends WebSocket {
    constructor(url) {
      super(url);
      sockets.push(this);
    }
  }
  const loa = new Loa({
    ...{ server, WebSocket: Watched, EventSource, BroadcastChannel: null, window: undefined },
    ...{ localStorage: storage(), sessionStorage: storage(), locks: locks() },
  });
  t.after(() => loa.stop());
  loa.start();
  const name = `live${process.pid}_${++people}`;
  if (username) await loa.session.login(username, password);
  else await loa.session.register(name, password, `Person ${people}`);
  await Promise.all([status(loa.socket, "online"), status(loa.stream, "online")]);
  return { loa, name: username ?? name, id: loa.session.user.id, sockets, snapshot: loa.store.getSnapshot };
}

before(() => assert.ok(server, "LOA_URL is not set."));

test("a conversation, from its beginning to its end", async (t) => {
  const [ann, bob] = [await someone(t), await someone(t)];
  const { id } = await ann.loa.api.createConversation([bob.id]);
  for (const { loa } of [ann, bob]) await state(loa.store, ({ conversationIds }) => conversationIds[0] === id);

  bob.loa.socket.watchPresence([ann.id]);
  await state(bob.loa.store, ({ presence }) => presence[ann.id]?.online);
  ann.loa.socket.typing(id);
  await state(bob.loa.store, ({ conversations }) => ann.id in conversations[id].typing);

  const [one, two] = await Promise.all([ann.loa.socket.send(id, "one"), ann.loa.socket.send(id, " two ")]);
  assert.deepEqual([one.seq, two.seq, two.content], [1, 2, "two"]);
  await state(bob.loa.store, ({ conversations }) => conversations[id].unreadCount === 2);
  bob.loa.store.markRead(id);
  await state(ann.loa.store, ({ conversations }) => conversations[id].reads[bob.id] === 2);

  const answer = await bob.loa.socket.send(id, "three", { replyTo: two.id });
  assert.equal(answer.reply_to, two.id);
  await ann.loa.api.editMessage(id, one.id, "eins");
  await ann.loa.api.deleteMessage(id, two.id);
  await bob.loa.api.react(id, one.id, "👍🏽");
  const same = ({ conversations }) => conversations[id].messages[0]?.rev === 6;
  const [hers, his] = await Promise.all([ann, bob].map(({ loa }) => state(loa.store, same)));
  assert.deepEqual(hers.conversations[id].messages, his.conversations[id].messages);
  assert.deepEqual(his.conversations[id].messages.map(({ content }) => content), ["eins", "", "three"]);
  assert.deepEqual(his.conversations[id].messages[0].reactions, { "👍🏽": [bob.id] });

  await assert.rejects(ann.loa.socket.send("0".repeat(24), "nowhere"), { code: "not_found" });
  await assert.rejects(bob.loa.api.editMessage(id, one.id, "mine"), { code: "forbidden", status: 403 });
});

test("what happens while the connection is gone is there when it is back, and is sent once", async (t) => {
  const [ann, bob] = [await someone(t), await someone(t)];
  const { id } = await ann.loa.api.createConversation([bob.id], "Group");
  await state(bob.loa.store, ({ conversationIds }) => conversationIds.includes(id));
  await bob.loa.socket.send(id, "before");
  await state(ann.loa.store, ({ conversations }) => conversations[id]?.messages.length === 1);

  ann.sockets.at(-1).terminate();
  await status(ann.loa.socket, "offline");
  const waiting = ann.loa.socket.send(id, "from the tunnel");
  for (let count = 0; count < 5; count++) await bob.loa.api.sendMessage(id, `missed ${count}`);
  await ann.loa.api.renameConversation(id, "Renamed");
  await waiting;
  const all = ({ conversations }) => conversations[id].messages.length === 7;
  const [hers, his] = await Promise.all([ann, bob].map(({ loa }) => state(loa.store, all)));
  assert.deepEqual(hers.conversations[id].messages, his.conversations[id].messages);
  await state(ann.loa.store, ({ conversations }) => conversations[id].details.title === "Renamed");
});

test("a second device has the same history, and pages back to the first message", async (t) => {
  const [ann, bob] = [await someone(t), await someone(t)];
  const { id } = await ann.loa.api.createConversation([bob.id]);
  for (let count = 1; count <= 60; count++) await ann.loa.api.sendMessage(id, `${count}`);
  const device = await someone(t, bob.name);
  await state(device.loa.store, ({ conversationIds }) => conversationIds[0] === id);
  await device.loa.store.openConversation(id);
  assert.equal(device.snapshot().conversations[id].messages[0].content, "11");
  await device.loa.store.loadOlder(id);
  const { messages, hasOlder } = device.snapshot().conversations[id];
  assert.deepEqual([messages.length, messages[0].content, hasOlder], [60, "1", false]);
});

test("the bell rings, and what is read on one device is read on all", async (t) => {
  const [ann, bob] = [await someone(t), await someone(t)];
  const phone = await someone(t, ann.name);
  const post = await ann.loa.api.createPost("Look at this.");
  const comment = await bob.loa.api.comment(post.id, "Nice!");
  await bob.loa.api.comment(post.id, "Really.");
  const rung = ({ notifications }) => notifications.items.length === 2 && notifications.unreadCount === 2;
  await Promise.all([ann, phone].map(({ loa }) => state(loa.store, rung)));
  const [, first] = ann.snapshot().notifications.items;
  assert.deepEqual([first.type, first.data.comment_id, first.data.preview], ["NEW_COMMENT", comment.id, "Nice!"]);
  await ann.loa.store.markNotificationRead(first.data.notification_id);
  await state(phone.loa.store, ({ notifications }) => notifications.items[1].data.read);
  assert.equal(phone.snapshot().notifications.unreadCount, 1);
  await phone.loa.store.markNotificationsRead();
  await state(ann.loa.store, ({ notifications }) => notifications.items.every(({ data }) => data.read));

  phone.loa.stream.disconnect();
  await bob.loa.api.comment(post.id, "And another.");
  await state(ann.loa.store, ({ notifications }) => notifications.unreadCount === 1);
  const missed = event(phone.loa.stream, ({ type }) => type === "notification");
  phone.loa.stream.connect(phone.loa.session.getTicket, { userId: ann.id });
  assert.deepEqual([(await missed).data.seq, (await missed).data.data.preview], [3, "And another."]);
});

test("a token that expires is renewed without the socket being closed", async (t) => {
  const ann = await someone(t);
  const token = await ann.loa.session.getToken();
  // Four seconds after the sign-in: the token lasts 64, and one is told 60 ahead.
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

test("a session that is ended from another device signs this one out", async (t) => {
  const ann = await someone(t);
  const phone = await someone(t, ann.name);
  const out = event(phone.loa.session, ({ type }) => type === "signed-out");
  const { items } = await ann.loa.api.devices();
  await ann.loa.api.endDevice(items.find(({ current }) => !current).id);
  assert.equal((await out).code, "token_revoked");
  assert.equal(phone.loa.session.user, null);
  const { socket } = ann.loa;
  await ann.loa.session.logout();
  assert.equal(socket.status, "idle");
});
