/** NotificationStream against a real SSE server, in one tab and in several tabs of one browser. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";

import { LoaError, NotificationStream } from "../../service/web/client/index.js";
import { createLocks, createPage, createStorage } from "./support/browser.js";
import { startStreamServer } from "./support/stream-server.js";
import { flushEventLoop, nextEvent, untilStatus } from "./support/wait.js";

const ME = "0000000000000000000000aa";

/** One browser, whose tabs share locks, channel and storage. */
async function createBrowser(t, options = {}) {
  // Reconnect without delay: the back-off is a random fraction of its bound.
  t.mock.method(Math, "random", () => 0);
  const server = await startStreamServer(t);
  const platform = { EventSource, BroadcastChannel, localStorage: createStorage(), locks: createLocks() };
  const shared = { server: server.url, ...platform };
  let tickets = 0;
  const openTab = (own = {}) => {
    const stream = new NotificationStream({ ...shared, ...options, ...own });
    t.after(() => stream.disconnect());
    const events = [];
    stream.subscribe((event) => events.push(event));
    const connect = (getTicket = async () => `ticket ${++tickets}`) => stream.connect(getTicket, { userId: ME });
    const seqs = () => events.filter(({ type }) => type === "notification").map(({ data }) => data.seq);
    return { stream, events, connect, seqs };
  };
  return { server, openTab };
}

function untilNotification(stream, seq) {
  return nextEvent(stream, ({ type, data }) => type === "notification" && data.seq === seq);
}

test("opens with a ticket, is online after the hello, and emits notifications", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, seqs } = openTab();
  connect();
  const peer = await server.greetedPeer({ seq: 4, unread_count: 2 });
  assert.deepEqual([peer.path, peer.ticket, peer.after], ["/api/v1/notifications/stream", "ticket 1", null]);
  await untilStatus(stream, "online");
  const last = untilNotification(stream, 6);
  peer.notify(5, 6);
  assert.equal((await last).data.data.preview, "comment 6");
  assert.deepEqual(seqs(), [5, 6]);
  assert.equal(stream.unreadCount, 4);
});

test("unread counts that arrive out of order are merged", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab();
  connect();
  const peer = await server.greetedPeer({ seq: 4, unread_count: 4 });
  const last = nextEvent(stream, ({ type, data }) => type === "unread_count" && data.seq === 4);
  peer.send("unread_count", { unread_count: 3, seq: 5 });
  peer.send("unread_count", { unread_count: 4, seq: 4 });
  await last;
  assert.equal(stream.unreadCount, 3);
});

test("a lost stream is resumed with a new ticket after the last notification", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, seqs } = openTab();
  connect();
  const first = await server.greetedPeer({ seq: 4 });
  const last = untilNotification(stream, 5);
  first.notify(5);
  await last;
  first.end();
  const second = await server.greetedPeer({ seq: 7 });
  assert.deepEqual([second.ticket, second.after], ["ticket 2", "5"]);
  const replayed = untilNotification(stream, 7);
  second.notify(5, 6, 7);
  await replayed;
  assert.deepEqual(seqs(), [5, 6, 7]);
});

test("a rejected stream is retried with a new ticket", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab();
  connect();
  (await server.nextPeer()).reject(401);
  (await server.nextPeer()).reject(503);
  const peer = await server.greetedPeer();
  assert.equal(peer.ticket, "ticket 3");
  await untilStatus(stream, "online");
});

test("retries after a random delay with a bound that doubles", async (t) => {
  const { server, openTab } = await createBrowser(t);
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  t.mock.method(Math, "random", () => 0.5);
  const { stream, connect } = openTab();
  const requests = [];
  connect(async () => {
    requests.push(Date.now());
    throw new LoaError("network", "Unreachable.");
  });
  for (const wait of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
    await untilStatus(stream, "offline");
    assert.equal(stream.retryAt, Date.now() + wait);
    t.mock.timers.tick(wait);
  }
  assert.equal(requests.length, 9);
  assert.equal(server.waitingPeers, 0);
});

test("after a reload, resumes after the last notification that the browser received", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const before = openTab();
  before.connect();
  const first = await server.greetedPeer({ seq: 4 });
  const last = untilNotification(before.stream, 5);
  first.notify(5);
  await last;
  before.stream.disconnect();
  await first.closed;

  const after = openTab();
  after.connect();
  const second = await server.greetedPeer({ seq: 6 });
  assert.equal(second.after, "5");
  const missed = untilNotification(after.stream, 6);
  second.notify(6);
  await missed;
});

test("another user starts without the previous user's position and count", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab();
  connect();
  await server.greetedPeer({ seq: 40 });
  await untilStatus(stream, "online");
  stream.connect(async () => "theirs", { userId: "0000000000000000000000bb" });
  const theirs = await server.greetedPeer({ seq: 2, unread_count: 1 });
  assert.equal(theirs.after, null);
  await untilStatus(stream, "online");
  assert.equal(stream.unreadCount, 1);
});

test("a reset continues at the server's position", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, events } = openTab();
  connect();
  const first = await server.greetedPeer({ seq: 5 });
  first.end();
  const second = await server.greetedPeer({ seq: 2000, unread_count: 7 });
  assert.equal(second.after, "5");
  const last = untilNotification(stream, 2001);
  second.send("reset", { reason: "too_far_behind" });
  second.notify(2001);
  await last;
  assert.deepEqual(events.map(({ type }) => type).slice(-2), ["reset", "notification"]);
  assert.equal(stream.unreadCount, 8);
});

test("before the token expires, opens a stream with a new ticket", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, seqs } = openTab();
  connect();
  const first = await server.greetedPeer({ seq: 1 });
  const expiring = () => first.send("token_expiring", { token_expires_at: new Date().toISOString() });
  await untilStatus(stream, "online");
  // A token that expires right after it was issued is not renewed: the next one would expire as fast.
  expiring();
  await flushEventLoop();
  assert.equal(server.waitingPeers, 0);
  t.mock.timers.tick(5000);
  expiring();
  await first.closed;
  const second = await server.greetedPeer({ seq: 1 });
  assert.deepEqual([second.ticket, second.after], ["ticket 2", "1"]);
  const last = untilNotification(stream, 2);
  second.notify(2);
  await last;
  assert.deepEqual(seqs(), [2]);
});

test("a reconnect waits as long as a draining server announced", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab();
  connect();
  const peer = await server.greetedPeer();
  const draining = nextEvent(stream, ({ type }) => type === "draining");
  peer.send("draining", { reconnect_after_ms: 60_000 });
  await draining;
  const before = Date.now();
  peer.end();
  await untilStatus(stream, "offline");
  assert.ok(stream.retryAt - before >= 60_000 && stream.retryAt - before < 61_000);
});

test("an error that needs a sign-in stops the retries", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab();
  connect(async () => {
    throw new LoaError("token_revoked", "Revoked.");
  });
  await untilStatus(stream, "signed-out");
  assert.equal(stream.connectionState.code, "token_revoked");
  assert.equal(server.waitingPeers, 0);
});

test("a silent stream is reopened after 15 minutes, or when the browser is online again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const browserPage = createPage();
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab({ window: browserPage.window });
  connect();
  const first = await server.greetedPeer();
  await untilStatus(stream, "online");
  browserPage.goOnline();
  await flushEventLoop();
  assert.equal(server.waitingPeers, 0);
  t.mock.timers.tick(11_000);
  browserPage.goOnline();
  await first.closed;
  const second = await server.greetedPeer();
  await untilStatus(stream, "online");
  const silent = nextEvent(stream, ({ type, data }) => type === "status" && data.code === "silent");
  t.mock.timers.tick(15 * 60_000);
  await silent;
  await second.closed;
});

// Tabs.

test("all tabs share one stream, and each receives every notification once", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const tabs = [openTab(), openTab(), openTab()];
  for (const { connect } of tabs) connect();
  const peer = await server.greetedPeer({ seq: 0, unread_count: 0 });
  await Promise.all(tabs.map(({ stream }) => untilStatus(stream, "online")));
  const all = tabs.map(({ stream }) => untilNotification(stream, 3));
  peer.notify(1, 2, 3);
  peer.send("unread_count", { unread_count: 3, seq: 3 });
  await Promise.all(all);
  for (const { seqs, stream } of tabs) {
    assert.deepEqual(seqs(), [1, 2, 3]);
    assert.equal(stream.unreadCount, 3);
  }
  assert.equal(server.waitingPeers, 0);
});

test("a new tab receives the current state from the leader", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const first = openTab();
  first.connect();
  const peer = await server.greetedPeer({ seq: 4, unread_count: 2 });
  const last = untilNotification(first.stream, 5);
  peer.notify(5);
  await last;
  const second = openTab();
  const hello = nextEvent(second.stream, ({ type }) => type === "hello");
  second.connect();
  assert.deepEqual([(await hello).data.seq, second.stream.unreadCount, second.stream.status], [5, 3, "online"]);
  const next = untilNotification(second.stream, 6);
  peer.notify(6);
  await next;
  assert.deepEqual(second.seqs(), [6]);
  assert.equal(server.waitingPeers, 0);
});

test("when the leader closes, another tab takes over without loss or repetition", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const [first, second, third] = [openTab(), openTab(), openTab()];
  for (const { connect } of [first, second, third]) connect();
  const one = await server.greetedPeer();
  await Promise.all([first, second, third].map(({ stream }) => untilStatus(stream, "online")));
  const received = [first, second, third].map(({ stream }) => untilNotification(stream, 2));
  one.notify(1, 2);
  await Promise.all(received);
  first.stream.disconnect();
  await one.closed;
  const two = await server.greetedPeer({ seq: 3 });
  assert.equal(two.after, "2");
  const receivedLater = [second, third].map(({ stream }) => untilNotification(stream, 4));
  two.notify(3, 4);
  await Promise.all(receivedLater);
  second.stream.disconnect();
  const three = await server.greetedPeer({ seq: 5 });
  assert.equal(three.after, "4");
  const last = untilNotification(third.stream, 5);
  three.notify(5);
  await last;
  assert.deepEqual([first.seqs(), second.seqs(), third.seqs()], [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5]]);
});

test("a tab that missed a message of the leader recovers it", async (t) => {
  class Lossy extends BroadcastChannel {
    postMessage(message) {
      if (message.event?.data?.seq !== 2) super.postMessage(message);
    }
  }
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { server, openTab } = await createBrowser(t);
  const [first, second] = [openTab({ BroadcastChannel: Lossy }), openTab()];
  first.connect();
  const one = await server.greetedPeer();
  await untilStatus(first.stream, "online");
  second.connect();
  await untilStatus(second.stream, "online");
  const received = untilNotification(first.stream, 3);
  one.notify(1, 2, 3);
  await received;
  await flushEventLoop();
  t.mock.timers.tick(3000);
  const two = await server.greetedPeer({ seq: 3 });
  assert.equal(two.after, "1");
  first.stream.disconnect();
  await two.closed;
  const three = await server.greetedPeer({ seq: 3 });
  assert.equal(three.after, "1");
  const last = untilNotification(second.stream, 3);
  three.notify(2, 3);
  await last;
  assert.deepEqual([first.seqs(), second.seqs()], [[1, 2, 3], [1, 2, 3]]);
});

test("the other tabs mirror the leader's connection state", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const [first, second] = [openTab(), openTab()];
  let rejectTicket;
  const tickets = [async () => "ticket", () => new Promise((_, reject) => (rejectTicket = reject))];
  const revoked = new LoaError("token_revoked", "Revoked.");
  const getTicket = () => (tickets.length ? tickets.shift()() : Promise.reject(revoked));
  first.connect(getTicket);
  const peer = await server.greetedPeer();
  await untilStatus(first.stream, "online");
  second.connect(getTicket);
  await untilStatus(second.stream, "online");
  const offline = untilStatus(second.stream, "offline");
  peer.end();
  await offline;
  await untilStatus(second.stream, "connecting");
  rejectTicket(revoked);
  await untilStatus(second.stream, "signed-out");
  assert.equal(second.stream.connectionState.code, "token_revoked");
  await flushEventLoop();
  assert.equal(server.waitingPeers, 0);
});

for (const missing of ["locks", "BroadcastChannel"]) {
  test(`without ${missing}, every tab opens its own stream`, async (t) => {
    const { server, openTab } = await createBrowser(t, { [missing]: null });
    const tabs = [openTab(), openTab()];
    for (const { connect } of tabs) connect();
    const peers = [await server.greetedPeer(), await server.greetedPeer()];
    await Promise.all(tabs.map(({ stream }) => untilStatus(stream, "online")));
    const received = tabs.map(({ stream }) => untilNotification(stream, 1));
    for (const peer of peers) peer.notify(1);
    await Promise.all(received);
    assert.deepEqual(tabs.map(({ seqs }) => seqs()), [[1], [1]]);
  });
}
