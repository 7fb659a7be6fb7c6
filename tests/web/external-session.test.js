/** ExternalSession: the site decides who is signed in, and is asked for a token only if one is needed. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ExternalSession, LoaError } from "../../service/web/client/index.js";
import { problem, startRestServer } from "./support/rest-server.js";
import { flushEventLoop, nextEvent } from "./support/wait.js";

const ANN = { id: "0000000000000000000000aa", username: "ann", display_name: "Ann", avatar: null, show_presence: true, roles: [] };
const BOB = { ...ANN, id: "0000000000000000000000bb", username: "bob", display_name: "Bob" };
const USERS = { ann: ANN, bob: BOB };

/** A server that accepts the tokens `<name> <number>` of the site, unless they were `rejected`: by token, with a code. */
async function startServer(t) {
  const server = { calls: [], rejected: new Map(), unavailable: false };
  server.url = await startRestServer(t, async ({ method, path, token }) => {
    server.calls.push(`${method} ${path} ${token}`);
    if (server.unavailable) return problem(503, "unavailable");
    if (server.rejected.has(token)) return problem(401, server.rejected.get(token));
    const user = USERS[token?.split(" ")[0]];
    if (!user) return problem(401, "token_invalid");
    if (path === "/auth/ticket") return { status: 200, body: { ticket: `ticket for ${token}` } };
    return { status: 200, body: user };
  });
  return server;
}

/** The site: counts how often it is asked, and issues a new token each time; `user` is null if nobody is signed in. */
function createSite(user = "ann") {
  const site = { user, asked: [], issue: () => site.user && `${site.user} ${site.asked.length}` };
  site.getToken = async (options) => {
    site.asked.push(options.fresh);
    return site.issue();
  };
  return site;
}

function createSession(server, site, more) {
  const session = new ExternalSession({ getToken: site.getToken, server: server.url, BroadcastChannel: null, ...more });
  const events = [];
  session.subscribe((event) => events.push(event.type === "signed-in" ? event.user.username : event.code));
  return { session, events };
}

test("the site is asked once for all who need a token, and the server says whose it is", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  assert.equal(session.user, null);
  const answers = [session.getToken(), session.getToken(), session.getTicket(), session.fetch("/api/v1/posts")];
  const [first, second, ticket] = await Promise.all(answers);
  assert.deepEqual([first, second, ticket], ["ann 1", "ann 1", "ticket for ann 1"]);
  assert.deepEqual(session.user, ANN);
  assert.deepEqual([site.asked, events], [[false], ["ann"]]);
  assert.equal(server.calls.filter((call) => call === "GET /users/me ann 1").length, 1);
});

test("nobody signed in on the site: calls reject with token_missing, and each asks again", async (t) => {
  const [server, site] = [await startServer(t), createSite(null)];
  const { session, events } = createSession(server, site);
  await assert.rejects(session.getToken(), { code: "token_missing", needsSignIn: true });
  await assert.rejects(session.fetch("/api/v1/posts"), { code: "token_missing" });
  assert.deepEqual([server.calls, events, site.asked], [[], [], [false, false]]);
  site.user = "ann";
  assert.equal(await session.getToken(), "ann 3");
});

test("socket and stream that renew an expiring token at once ask the site once", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session } = createSession(server, site);
  await Promise.all([session.getToken(), session.getTicket()]);
  const renewed = [session.getToken({ fresh: true }), session.getTicket({ expiring: true })];
  assert.deepEqual(await Promise.all(renewed), ["ann 2", "ticket for ann 2"]);
  assert.equal(await session.getToken({ fresh: true }), "ann 3");
  assert.equal(await session.getTicket({ expiring: true }), "ticket for ann 3");
  assert.deepEqual(site.asked, [false, true, true]);
});

for (const code of ["token_expired", "token_revoked", "token_invalid"]) {
  test(`after 401 ${code}, the site is asked for a fresh token, once, and the request is repeated`, async (t) => {
    const [server, site] = [await startServer(t), createSite()];
    const { session, events } = createSession(server, site);
    await session.getToken();
    server.rejected.set("ann 1", code);
    const responses = await Promise.all([session.fetch("/api/v1/posts"), session.fetch("/api/v1/blocks")]);
    assert.deepEqual([responses.map(({ status }) => status), site.asked], [[200, 200], [false, true]]);
    assert.deepEqual(events, ["ann"]);
  });
}

test("a site that returns rejected tokens only is asked twice, and signs out", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  await session.getToken();
  site.issue = () => "ann 1";
  server.rejected.set("ann 1", "token_expired");
  await assert.rejects(session.fetch("/api/v1/posts"), { code: "token_expired" });
  assert.deepEqual([site.asked, events, session.user], [[false, true, true], ["ann", "token_expired"], null]);
});

test("after a revocation, a token of the same second is rejected; one of the next second is asked for", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  await session.getToken();
  for (const token of ["ann 1", "ann 2"]) server.rejected.set(token, "token_revoked");
  const before = Date.now();
  assert.equal(await session.getToken({ fresh: true }), "ann 3");
  assert.ok(Date.now() - before > 1000);
  assert.deepEqual([site.asked, events], [[false, true, true], ["ann"]]);
});

test("a sign-out on the site signs out when a token is needed next", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  await session.getToken();
  site.user = null;
  assert.equal(await session.getToken(), "ann 1");
  await assert.rejects(session.getToken({ fresh: true }), { code: "token_missing" });
  assert.deepEqual([events, session.user], [["ann", null], null]);
});

test("a connection that the server refuses asks for a fresh token; a second refusal signs out", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  await session.getToken();
  session.end("token_revoked", { token: "ann 0" });
  assert.equal(await session.getToken(), "ann 1");
  session.end("token_revoked", { token: "ann 1" });
  assert.equal(await session.getToken(), "ann 2");
  assert.deepEqual([site.asked, events], [[false, true], ["ann"]]);
  session.end("token_revoked", { token: "ann 2" });
  assert.deepEqual([events, session.user], [["ann", "token_revoked"], null]);
});

test("refresh follows a sign-in, another user, and a sign-out on the page", async (t) => {
  const [server, site] = [await startServer(t), createSite(null)];
  const { session, events } = createSession(server, site);
  assert.equal(await session.refresh(), null);
  for (const user of ["ann", "ann", "bob", null]) {
    site.user = user;
    assert.equal((await session.refresh())?.username, user ?? undefined);
  }
  assert.deepEqual(events, ["ann", "bob", null]);
});

test("refresh does not take an answer that the site gave before the sign-in", async (t) => {
  const [server, site] = [await startServer(t), createSite(null)];
  const { session, events } = createSession(server, site);
  let answerFirst;
  site.issue = () => new Promise((resolve) => (answerFirst = resolve));
  const early = session.getToken();
  await flushEventLoop();
  site.issue = () => "ann 1";
  assert.deepEqual(await session.refresh(), ANN);
  answerFirst(null);
  assert.equal(await early, "ann 1");
  assert.deepEqual(events, ["ann"]);
});

test("the other tabs follow a sign-out, a sign-in and another user, and ask the site once each", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const tabs = [0, 1, 2].map(() => createSession(server, site, { BroadcastChannel }));
  t.after(() => tabs.forEach(({ session }) => session.stop()));
  for (const { session } of tabs) {
    session.start();
    await session.getToken();
  }
  for (const user of [null, "bob", "ann"]) {
    site.user = user;
    site.asked = [];
    const followed = tabs.slice(1).map(({ session }) => nextEvent(session, () => true));
    await tabs[0].session.refresh();
    await Promise.all(followed);
    await flushEventLoop();
    assert.equal(site.asked.length, 3);
  }
  for (const { events } of tabs) assert.deepEqual(events, ["ann", null, "bob", "ann"]);
});

test("failures of the site and of the server are temporary, and keep the user", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  await session.getToken();
  site.issue = () => {
    throw new TypeError("Failed to fetch");
  };
  await assert.rejects(session.getToken({ fresh: true }), (error) => {
    assert.ok(error instanceof LoaError && error.retryable && !error.needsSignIn);
    assert.deepEqual([error.code, error.cause.message], ["no_credential", "Failed to fetch"]);
    return true;
  });
  site.issue = () => 42;
  await assert.rejects(session.getToken(), { code: "no_credential" });
  site.issue = () => "ann 1";
  server.unavailable = true;
  await assert.rejects(session.getToken(), { code: "unavailable", retryable: true });
  server.unavailable = false;
  assert.deepEqual([session.user, await session.getToken(), events], [ANN, "ann 1", ["ann"]]);
});

test("a site that does not answer has 15 seconds", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session } = createSession(server, site);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let settled = false;
  site.issue = () => new Promise(() => {});
  const waiting = session.getToken().finally(() => (settled = true));
  waiting.catch(() => {});
  await flushEventLoop();
  t.mock.timers.tick(14_999);
  await flushEventLoop();
  assert.equal(settled, false);
  t.mock.timers.tick(1);
  await assert.rejects(waiting, { code: "no_credential" });
});

test("after stop, a late answer of the site signs nobody in", async (t) => {
  const [server, site] = [await startServer(t), createSite()];
  const { session, events } = createSession(server, site);
  let answer;
  site.issue = () => new Promise((resolve) => (answer = resolve));
  const late = session.getToken();
  await flushEventLoop();
  session.stop();
  answer("ann 1");
  await assert.rejects(late, { code: "disconnected" });
  assert.deepEqual([events, session.user], [[], null]);
});
