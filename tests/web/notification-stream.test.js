/** NotificationStream against a real SSE server, in one tab and in several tabs of one browser. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";

import { LoaError, NotificationStream } from "../../service/web/client/index.js";
import { createPage, createStorage } from "./support/browser.js";
import { startStreamServer } from "./support/stream-server.js";
import { flushEventLoop, nextEvent, untilStatus } from "./support/wait.js";

const ME = "0000000000000000000000aa";

/** One browser, whose tabs share channel and storage. Without `BroadcastChannel`, a tab connects at once. */
async function createBrowser(t, options = {}) {
  // Reconnect without delay: the back-off is a random fraction of its bound.
  t.mock.method(Math, "random", () => 0);
  const server = await startStreamServer(t);
  const platform = { EventSource, BroadcastChannel: null, localStorage: createStorage() };
  const shared = { server: server.url, ...platform };
  let tickets = 0;
  const openTab = (own = {}) => {
    const stream = new NotificationStream({ ...shared, ...options, ...own });
    t.after(() => stream.disconnect());
    const events = [];
    stream.subscribe((event) => events.push(event));
    const ticketOptions = [];
    const nextTicket = async (options) => (ticketOptions.push(options), `ticket ${++tickets}`);
    const connect = (getTicket = nextTicket) => stream.connect(getTicket, { userId: ME });
    const seqs = () => events.filter(({ type }) => type === "notification").map(({ data }) => data.seq);
    return { stream, events, connect, seqs, ticketOptions };
  };
  return { server, openTab };
}

/** The codes with which the connection was lost. */
function lossCodes(events) {
  return events.filter(({ type, data }) => type === "status" && data.status === "offline").map(({ data }) => data.code);
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
  const { stream, connect, seqs, ticketOptions } = openTab();
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
  assert.deepEqual(ticketOptions.map(({ expiring }) => expiring), [false, true]);
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

/** A tab with an open stream and fake time. */
async function openStream(t, options = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { server, openTab } = await createBrowser(t);
  const tab = openTab(options);
  tab.connect();
  const peer = await server.greetedPeer({ seq: 4 });
  await untilStatus(tab.stream, "online");
  return { server, peer, ...tab };
}

test("a stream that is silent for 45 seconds is half-open, and is resumed with a new ticket", async (t) => {
  const { server, peer, stream, events, ticketOptions } = await openStream(t);
  t.mock.timers.tick(44_999);
  assert.deepEqual(lossCodes(events), []);
  t.mock.timers.tick(1);
  assert.deepEqual(lossCodes(events), ["silent"]);
  await peer.closed;
  const again = await server.greetedPeer({ seq: 5 });
  assert.deepEqual([again.ticket, again.after], ["ticket 2", "4"]);
  await untilStatus(stream, "online");
  again.end();
  await untilStatus(stream, "offline");
  t.mock.timers.tick(0);
  await server.nextPeer();
  assert.deepEqual(ticketOptions.map(({ afterSilence }) => afterSilence), [false, true, false]);
});

test("heartbeats keep the stream, and are not emitted", async (t) => {
  const { server, peer, stream, events } = await openStream(t);
  for (let round = 0; round < 6; round++) {
    t.mock.timers.tick(20_000);
    const received = nextEvent(stream, ({ type }) => type === "unread_count");
    peer.send("heartbeat", { server_time: new Date().toISOString() });
    if (round === 5) peer.send("unread_count", { unread_count: 0, seq: 4 });
    if (round === 5) await received;
    else await flushEventLoop();
  }
  assert.equal(stream.status, "online");
  assert.equal(server.waitingPeers, 0);
  assert.equal(events.some(({ type }) => type === "heartbeat"), false);
});

for (const wake of ["goOnline", "becomeVisible"]) {
  test(`a page that wakes up (${wake}) reopens a stream whose heartbeat is overdue`, async (t) => {
    const page = createPage();
    const { server, peer } = await openStream(t, { window: page.window });
    page[wake]();
    await flushEventLoop();
    assert.equal(server.waitingPeers, 0);
    // A frozen page's timers do not run: only the clock goes on.
    t.mock.timers.setTime(Date.now() + 25_000);
    page[wake]();
    await peer.closed;
    assert.equal((await server.nextPeer()).after, "4");
  });
}

test("after a wake-up, the next heartbeat is awaited for 25 seconds instead of 45", async (t) => {
  const page = createPage();
  const { events } = await openStream(t, { window: page.window });
  t.mock.timers.tick(10_000);
  page.goOnline();
  t.mock.timers.tick(14_999);
  assert.deepEqual(lossCodes(events), []);
  t.mock.timers.tick(1);
  assert.deepEqual(lossCodes(events), ["silent"]);
});

test("an opened stream without a hello times out", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { server, openTab } = await createBrowser(t);
  const { events, connect } = openTab();
  connect();
  (await server.nextPeer()).open();
  await flushEventLoop();
  t.mock.timers.tick(14_999);
  assert.deepEqual(lossCodes(events), []);
  t.mock.timers.tick(1);
  assert.deepEqual(lossCodes(events), ["silent"]);
});

test("a ticket that never comes is requested again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { server, openTab } = await createBrowser(t);
  const { stream, connect } = openTab();
  const requests = [() => new Promise(() => {}), async () => "second"];
  connect(() => requests.shift()());
  t.mock.timers.tick(75_000);
  await untilStatus(stream, "offline");
  assert.equal(stream.connectionState.code, "network");
  t.mock.timers.tick(0);
  assert.equal((await server.nextPeer()).ticket, "second");
});

test("a reset in mid-stream keeps the position: each notification is emitted once", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, seqs } = openTab();
  connect();
  const first = await server.greetedPeer({ seq: 10 });
  await untilStatus(stream, "online");
  const last = untilNotification(stream, 12);
  first.notify(11, 12);
  await last;
  const reset = nextEvent(stream, ({ type }) => type === "reset");
  first.send("reset", { reason: "bus_interrupted" });
  await reset;
  assert.equal(stream.unreadCount, 2);
  // Notification 13 was lost in the interruption: a new stream replays it.
  const second = await server.greetedPeer({ seq: 14, unread_count: 4 });
  assert.equal(second.after, "12");
  const replayed = untilNotification(stream, 14);
  second.notify(13, 14);
  await replayed;
  assert.deepEqual([seqs(), stream.unreadCount], [[11, 12, 13, 14], 4]);
});

test("a reset right after a hello that was live from the start keeps the position, too", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, seqs } = openTab();
  connect();
  const first = await server.greetedPeer({ seq: 10 });
  first.send("reset", { reason: "bus_interrupted" });
  const second = await server.greetedPeer({ seq: 11 });
  assert.equal(second.after, "10");
  const last = untilNotification(stream, 11);
  second.notify(11);
  await last;
  assert.deepEqual(seqs(), [11]);
});

test("a reset to an earlier position is followed: the server's data was restored from a backup", async (t) => {
  const { server, openTab } = await createBrowser(t);
  const { stream, connect, seqs } = openTab();
  connect();
  (await server.greetedPeer({ seq: 50 })).end();
  const second = await server.greetedPeer({ seq: 3, unread_count: 1 });
  const last = untilNotification(stream, 4);
  second.send("reset", { reason: "unknown_id" });
  second.notify(4);
  await last;
  assert.deepEqual([seqs(), stream.unreadCount], [[4], 2]);
  second.end();
  assert.equal((await server.nextPeer()).after, "4");
});

// Tabs.

test("all tabs share one stream, and each receives every notification once", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
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
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
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

/** Connect tabs one after the other, so that the first is the leader; resolve with its peer. */
async function connectTabs(server, tabs, hello) {
  const [first, ...others] = tabs;
  first.connect();
  const peer = await server.greetedPeer(hello);
  await untilStatus(first.stream, "online");
  for (const { connect } of others) connect();
  await Promise.all(others.map(({ stream }) => untilStatus(stream, "online")));
  return peer;
}

test("when the leader closes, another tab takes over without loss or repetition", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const [first, second, third] = [openTab(), openTab(), openTab()];
  const one = await connectTabs(server, [first, second, third]);
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
  // Whichever of the two leads: if it closes, the other one takes over; if not, nothing changes.
  second.stream.disconnect();
  if (await Promise.race([two.closed.then(() => true), flushEventLoop(50)])) {
    const three = await server.greetedPeer({ seq: 5 });
    assert.equal(three.after, "4");
  }
  assert.deepEqual([first.seqs(), second.seqs(), third.seqs()], [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4]]);
});

/** A BroadcastChannel that can be frozen, like that of a frozen tab: messages wait until it is thawed. */
function createFreezer() {
  const waiting = [];
  const freezer = { frozen: false };
  freezer.BroadcastChannel = class extends BroadcastChannel {
    set onmessage(handler) {
      super.onmessage = (event) => (freezer.frozen ? waiting.push(() => handler(event)) : handler(event));
    }
  };
  freezer.thaw = () => {
    freezer.frozen = false;
    for (const deliver of waiting.splice(0)) deliver();
  };
  freezer.thawWithoutMessages = () => {
    waiting.length = 0;
    freezer.thaw();
  };
  return freezer;
}

test("a frozen leader is replaced, and steps down when it wakes up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const freezer = createFreezer();
  const page = createPage();
  const first = openTab({ BroadcastChannel: freezer.BroadcastChannel });
  const second = openTab({ window: page.window });
  const one = await connectTabs(server, [first, second], { seq: 4 });
  await flushEventLoop();
  freezer.frozen = true;
  page.becomeVisible();
  t.mock.timers.tick(2000);
  t.mock.timers.tick(200);
  const two = await server.greetedPeer({ seq: 5 });
  assert.equal(two.after, "4");
  await untilStatus(second.stream, "online");
  const missed = [first, second].map(({ stream }) => untilNotification(stream, 5));
  two.notify(5);
  freezer.thaw();
  await Promise.all([one.closed, ...missed]);
  assert.deepEqual([first.seqs(), second.seqs(), first.stream.status], [[5], [5], "online"]);
  assert.equal(server.waitingPeers, 0);
});

test("a leader that was frozen without hearing of its successor steps down when its page wakes up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const freezer = createFreezer();
  const page = createPage();
  const first = openTab({ BroadcastChannel: freezer.BroadcastChannel, window: page.window });
  const one = await connectTabs(server, [first], { seq: 4 });
  freezer.frozen = true;
  const second = openTab();
  second.connect();
  t.mock.timers.tick(200);
  const two = await server.greetedPeer({ seq: 4 });
  const received = untilNotification(second.stream, 5);
  two.notify(5);
  await received;
  await flushEventLoop();
  freezer.thawWithoutMessages();
  const hello = nextEvent(first.stream, ({ type, data }) => type === "hello" && data.seq === 5);
  page.becomeVisible();
  await Promise.all([one.closed, hello]);
  // It has missed notification 5, and asks its successor for it.
  const missed = untilNotification(first.stream, 5);
  t.mock.timers.tick(3000);
  const three = await server.greetedPeer({ seq: 5 });
  assert.equal(three.after, "4");
  three.notify(5);
  await missed;
  assert.deepEqual([first.seqs(), second.seqs()], [[5], [5]]);
});

test("a new tab does not wait for a frozen leader", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const freezer = createFreezer();
  const first = openTab({ BroadcastChannel: freezer.BroadcastChannel });
  await connectTabs(server, [first]);
  freezer.frozen = true;
  const second = openTab();
  second.connect();
  await server.greetedPeer();
  await untilStatus(second.stream, "online");
});

test("of two leaders, the one that was elected first steps down", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const freezer = createFreezer();
  const [first, second] = [openTab({ BroadcastChannel: freezer.BroadcastChannel }), openTab()];
  const one = await connectTabs(server, [first]);
  freezer.frozen = true;
  second.connect();
  const two = await server.greetedPeer();
  await untilStatus(second.stream, "online");
  freezer.thaw();
  await one.closed;
  const received = [first, second].map(({ stream }) => untilNotification(stream, 1));
  two.notify(1);
  await Promise.all(received);
  assert.deepEqual([first.seqs(), second.seqs()], [[1], [1]]);
});

test("eight tabs that are opened at once elect one leader", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const tabs = Array.from({ length: 8 }, () => openTab());
  for (const { connect } of tabs) connect();
  await server.greetedPeer();
  await Promise.all(tabs.map(({ stream }) => untilStatus(stream, "online")));
  assert.equal(server.waitingPeers, 0);
});

test("a page in the back/forward cache leaves the leadership, and returns as a follower", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const page = createPage();
  const [first, second] = [openTab({ window: page.window }), openTab()];
  const one = await connectTabs(server, [first, second], { seq: 4 });
  page.hide();
  await one.closed;
  await flushEventLoop();
  t.mock.timers.tick(200);
  const two = await server.greetedPeer({ seq: 5 });
  const [missed, replayed] = [first, second].map(({ stream }) => untilNotification(stream, 5));
  two.notify(5);
  await replayed;
  const hello = nextEvent(first.stream, ({ type }) => type === "hello");
  page.show();
  // The returning tab has missed notification 5, and asks the leader for it.
  await hello;
  t.mock.timers.tick(3000);
  const three = await server.greetedPeer({ seq: 5 });
  assert.equal(three.after, "4");
  three.notify(5);
  await missed;
  assert.deepEqual([first.seqs(), second.seqs()], [[5], [5]]);
});

test("a tab that missed a message of the leader recovers it", async (t) => {
  class Lossy extends BroadcastChannel {
    postMessage(message) {
      if (message.message?.event?.data?.seq !== 2) super.postMessage(message);
    }
  }
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
  const [first, second] = [openTab({ BroadcastChannel: Lossy }), openTab()];
  const one = await connectTabs(server, [first, second]);
  const received = untilNotification(first.stream, 3);
  one.notify(1, 2, 3);
  await received;
  await flushEventLoop();
  t.mock.timers.tick(3000);
  const two = await server.greetedPeer({ seq: 3 });
  assert.equal(two.after, "1");
  first.stream.disconnect();
  await two.closed;
  await flushEventLoop();
  t.mock.timers.tick(200);
  const three = await server.greetedPeer({ seq: 3 });
  assert.equal(three.after, "1");
  const last = untilNotification(second.stream, 3);
  three.notify(2, 3);
  await last;
  assert.deepEqual([first.seqs(), second.seqs()], [[1, 2, 3], [1, 2, 3]]);
});

test("the other tabs mirror the leader's connection state", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel });
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

test("without BroadcastChannel, every tab opens its own stream", async (t) => {
  const { server, openTab } = await createBrowser(t, { BroadcastChannel: null });
  const tabs = [openTab(), openTab()];
  for (const { connect } of tabs) connect();
  const peers = [await server.greetedPeer(), await server.greetedPeer()];
  await Promise.all(tabs.map(({ stream }) => untilStatus(stream, "online")));
  const received = tabs.map(({ stream }) => untilNotification(stream, 1));
  for (const peer of peers) peer.notify(1);
  await Promise.all(received);
  assert.deepEqual(tabs.map(({ seqs }) => seqs()), [[1], [1]]);
});
