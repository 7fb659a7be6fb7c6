/** The notification stream, against a real server of event streams, alone and among the tabs of one browser. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";

import { LoaError, NotificationStream } from "../../service/web/client/index.js";
import { locks, page, storage } from "./support/browser.js";
import { streamServer } from "./support/stream-server.js";
import { event, settled, status } from "./support/until.js";

const ME = "0000000000000000000000aa";

/** One browser: its tabs share locks, channel and storage. */
async function browser(t, options = {}) {
  // No waiting: the back-off is a random part of its bound.
  t.mock.method(Math, "random", () => 0);
  const server = await streamServer(t);
  const shared = { server: server.url, EventSource, localStorage: storage(), locks: locks(), BroadcastChannel };
  let tickets = 0;
  const tab = (own = {}) => {
    const stream = new NotificationStream({ ...shared, ...options, ...own });
    t.after(() => stream.disconnect());
    const heard = [];
    stream.subscribe((event) => heard.push(event));
    const connect = (getTicket = async () => `ticket ${++tickets}`) => stream.connect(getTicket, { userId: ME });
    const seqs = () => heard.filter(({ type }) => type === "notification").map(({ data }) => data.seq);
    return { stream, heard, connect, seqs };
  };
  return { server, tab, localStorage: shared.localStorage };
}

function notified(stream, seq) {
  return event(stream, ({ type, data }) => type === "notification" && data.seq === seq);
}

test("opens with a ticket, is online after the hello, and hands on notifications", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect, seqs } = tab();
  connect();
  const peer = await server.greeted({ seq: 4, unread_count: 2 });
  assert.deepEqual([peer.path, peer.ticket, peer.after], ["/api/v1/notifications/stream", "ticket 1", null]);
  await status(stream, "online");
  const last = notified(stream, 6);
  peer.notify(5, 6);
  assert.equal((await last).data.data.preview, "comment 6");
  assert.deepEqual(seqs(), [5, 6]);
  assert.equal(stream.unreadCount, 4);
});

test("of unread counts that come in the wrong order the truth is kept", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect } = tab();
  connect();
  const peer = await server.greeted({ seq: 4, unread_count: 4 });
  const last = event(stream, ({ type, data }) => type === "unread_count" && data.seq === 4);
  peer.say("unread_count", { unread_count: 3, seq: 5 });
  peer.say("unread_count", { unread_count: 4, seq: 4 });
  await last;
  assert.equal(stream.unreadCount, 3);
});

test("a lost stream is opened again with a new ticket, after the last notification", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect, seqs } = tab();
  connect();
  const first = await server.greeted({ seq: 4 });
  const last = notified(stream, 5);
  first.notify(5);
  await last;
  first.end();
  const second = await server.greeted({ seq: 7 });
  assert.deepEqual([second.ticket, second.after], ["ticket 2", "5"]);
  const replayed = notified(stream, 7);
  second.notify(5, 6, 7);
  await replayed;
  assert.deepEqual(seqs(), [5, 6, 7]);
});

test("a refused stream is opened again with a new ticket", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect } = tab();
  connect();
  (await server.peer()).refuse(401);
  (await server.peer()).refuse(503);
  const peer = await server.greeted();
  assert.equal(peer.ticket, "ticket 3");
  await status(stream, "online");
});

test("waits longer with each failure, and at random", async (t) => {
  const { server, tab } = await browser(t);
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  t.mock.method(Math, "random", () => 0.5);
  const { stream, connect } = tab();
  const asked = [];
  connect(async () => {
    asked.push(Date.now());
    throw new LoaError("network", "Gone.");
  });
  for (const wait of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
    await status(stream, "offline");
    assert.equal(stream.retryAt, Date.now() + wait);
    t.mock.timers.tick(wait);
  }
  assert.equal(asked.length, 9);
  assert.equal(server.unseen, 0);
});

test("a reload goes on after the last notification that the browser was told of", async (t) => {
  const { server, tab } = await browser(t);
  const before = tab();
  before.connect();
  const first = await server.greeted({ seq: 4 });
  const last = notified(before.stream, 5);
  first.notify(5);
  await last;
  before.stream.disconnect();
  await first.closed;

  const after = tab();
  after.connect();
  const second = await server.greeted({ seq: 6 });
  assert.equal(second.after, "5");
  const missed = notified(after.stream, 6);
  second.notify(6);
  await missed;
});

test("what one person was told is nothing to the next", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect } = tab();
  connect();
  await server.greeted({ seq: 40 });
  await status(stream, "online");
  stream.connect(async () => "theirs", { userId: "0000000000000000000000bb" });
  const theirs = await server.greeted({ seq: 2, unread_count: 1 });
  assert.equal(theirs.after, null);
  await status(stream, "online");
  assert.equal(stream.unreadCount, 1);
});

test("a reset begins anew where the server stands", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect, heard } = tab();
  connect();
  const first = await server.greeted({ seq: 5 });
  first.end();
  const second = await server.greeted({ seq: 2000, unread_count: 7 });
  assert.equal(second.after, "5");
  const last = notified(stream, 2001);
  second.say("reset", { reason: "too_far_behind" });
  second.notify(2001);
  await last;
  assert.deepEqual(heard.map(({ type }) => type).slice(-2), ["reset", "notification"]);
  assert.equal(stream.unreadCount, 8);
});

test("an expiring token is followed by a stream with a new ticket", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { server, tab } = await browser(t);
  const { stream, connect, seqs } = tab();
  connect();
  const first = await server.greeted({ seq: 1 });
  const expiring = () => first.say("token_expiring", { token_expires_at: new Date().toISOString() });
  await status(stream, "online");
  // Not of a server whose tokens expire so soon that it says so at once: the next would say the same.
  expiring();
  await settled();
  assert.equal(server.unseen, 0);
  t.mock.timers.tick(5000);
  expiring();
  await first.closed;
  const second = await server.greeted({ seq: 1 });
  assert.deepEqual([second.ticket, second.after], ["ticket 2", "1"]);
  const last = notified(stream, 2);
  second.notify(2);
  await last;
  assert.deepEqual(seqs(), [2]);
});

test("a draining server is waited for as long as it said", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect } = tab();
  connect();
  const peer = await server.greeted();
  const draining = event(stream, ({ type }) => type === "draining");
  peer.say("draining", { reconnect_after_ms: 60_000 });
  await draining;
  const before = Date.now();
  peer.end();
  await status(stream, "offline");
  assert.ok(stream.retryAt - before >= 60_000 && stream.retryAt - before < 61_000);
});

test("a person who has to sign in is not asked for again and again", async (t) => {
  const { server, tab } = await browser(t);
  const { stream, connect } = tab();
  connect(async () => {
    throw new LoaError("token_revoked", "Out.");
  });
  await status(stream, "signed-out");
  assert.equal(stream.connectionState.code, "token_revoked");
  assert.equal(server.unseen, 0);
});

test("a silent stream counts as dead after a quarter of an hour, or when the network comes back", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const woken = page();
  const { server, tab } = await browser(t);
  const { stream, connect } = tab({ window: woken.window });
  connect();
  const first = await server.greeted();
  await status(stream, "online");
  woken.online();
  await settled();
  assert.equal(server.unseen, 0);
  t.mock.timers.tick(11_000);
  woken.online();
  await first.closed;
  const second = await server.greeted();
  await status(stream, "online");
  const silent = event(stream, ({ type, data }) => type === "status" && data.code === "silent");
  t.mock.timers.tick(15 * 60_000);
  await silent;
  await second.closed;
});

// Tabs.

test("all tabs share one stream, and each is told everything once", async (t) => {
  const { server, tab } = await browser(t);
  const tabs = [tab(), tab(), tab()];
  for (const { connect } of tabs) connect();
  const peer = await server.greeted({ seq: 0, unread_count: 0 });
  await Promise.all(tabs.map(({ stream }) => status(stream, "online")));
  const all = tabs.map(({ stream }) => notified(stream, 3));
  peer.notify(1, 2, 3);
  peer.say("unread_count", { unread_count: 3, seq: 3 });
  await Promise.all(all);
  for (const { seqs, stream } of tabs) {
    assert.deepEqual(seqs(), [1, 2, 3]);
    assert.equal(stream.unreadCount, 3);
  }
  assert.equal(server.unseen, 0);
});

test("a new tab learns how things are from the one that leads", async (t) => {
  const { server, tab } = await browser(t);
  const first = tab();
  first.connect();
  const peer = await server.greeted({ seq: 4, unread_count: 2 });
  const last = notified(first.stream, 5);
  peer.notify(5);
  await last;
  const second = tab();
  const hello = event(second.stream, ({ type }) => type === "hello");
  second.connect();
  assert.deepEqual([(await hello).data.seq, second.stream.unreadCount, second.stream.status], [5, 3, "online"]);
  const next = notified(second.stream, 6);
  peer.notify(6);
  await next;
  assert.deepEqual(second.seqs(), [6]);
  assert.equal(server.unseen, 0);
});

test("when the tab that leads is closed another goes on, and nothing is lost or told twice", async (t) => {
  const { server, tab } = await browser(t);
  const [first, second, third] = [tab(), tab(), tab()];
  for (const { connect } of [first, second, third]) connect();
  const one = await server.greeted();
  await Promise.all([first, second, third].map(({ stream }) => status(stream, "online")));
  const told = [first, second, third].map(({ stream }) => notified(stream, 2));
  one.notify(1, 2);
  await Promise.all(told);
  first.stream.disconnect();
  await one.closed;
  const two = await server.greeted({ seq: 3 });
  assert.equal(two.after, "2");
  const retold = [second, third].map(({ stream }) => notified(stream, 4));
  two.notify(3, 4);
  await Promise.all(retold);
  second.stream.disconnect();
  const three = await server.greeted({ seq: 5 });
  assert.equal(three.after, "4");
  const last = notified(third.stream, 5);
  three.notify(5);
  await last;
  assert.deepEqual([first.seqs(), second.seqs(), third.seqs()], [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5]]);
});

test("a tab that has missed a word of the leader's gets it all the same", async (t) => {
  class Lossy extends BroadcastChannel {
    postMessage(message) {
      if (message.event?.data?.seq !== 2) super.postMessage(message);
    }
  }
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { server, tab } = await browser(t);
  const [first, second] = [tab({ BroadcastChannel: Lossy }), tab()];
  first.connect();
  const one = await server.greeted();
  await status(first.stream, "online");
  second.connect();
  await status(second.stream, "online");
  const told = notified(first.stream, 3);
  one.notify(1, 2, 3);
  await told;
  await settled();
  t.mock.timers.tick(3000);
  const two = await server.greeted({ seq: 3 });
  assert.equal(two.after, "1");
  first.stream.disconnect();
  await two.closed;
  const three = await server.greeted({ seq: 3 });
  assert.equal(three.after, "1");
  const last = notified(second.stream, 3);
  three.notify(2, 3);
  await last;
  assert.deepEqual([first.seqs(), second.seqs()], [[1, 2, 3], [1, 2, 3]]);
});

test("the other tabs know where the leader's connection stands", async (t) => {
  const { server, tab } = await browser(t);
  const [first, second] = [tab(), tab()];
  let refuse;
  const tickets = [async () => "ticket", () => new Promise((_, reject) => (refuse = reject))];
  const revoked = new LoaError("token_revoked", "Out.");
  const getTicket = () => (tickets.length ? tickets.shift()() : Promise.reject(revoked));
  first.connect(getTicket);
  const peer = await server.greeted();
  await status(first.stream, "online");
  second.connect(getTicket);
  await status(second.stream, "online");
  const offline = status(second.stream, "offline");
  peer.end();
  await offline;
  await status(second.stream, "connecting");
  refuse(revoked);
  await status(second.stream, "signed-out");
  assert.equal(second.stream.connectionState.code, "token_revoked");
  await settled();
  assert.equal(server.unseen, 0);
});

for (const missing of ["locks", "BroadcastChannel"]) {
  test(`without ${missing}, every tab has its own stream`, async (t) => {
    const { server, tab } = await browser(t, { [missing]: null });
    const tabs = [tab(), tab()];
    for (const { connect } of tabs) connect();
    const peers = [await server.greeted(), await server.greeted()];
    await Promise.all(tabs.map(({ stream }) => status(stream, "online")));
    const told = tabs.map(({ stream }) => notified(stream, 1));
    for (const peer of peers) peer.notify(1);
    await Promise.all(told);
    assert.deepEqual(tabs.map(({ seqs }) => seqs()), [[1], [1]]);
  });
}
