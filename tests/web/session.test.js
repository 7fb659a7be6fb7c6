/** Who is signed in, and the one thing that must not happen: that a refresh token is shown twice. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Api, LoaError, Session } from "../../service/web/client/index.js";
import { laggingStorage, locks, page, storage } from "./support/browser.js";
import { problem, restServer } from "./support/rest-server.js";

const ANN = { id: "0000000000000000000000aa", username: "ann", display_name: "Ann", avatar: null };
const BOB = { id: "0000000000000000000000bb", username: "bob", display_name: "Bob", avatar: null };

/** A server that rotates refresh tokens, and ends the session where a spent one is shown again. */
async function accounts(t, { expires_in = 900 } = {}) {
  const world = { refreshes: 0, revoked: false, calls: [], expired: new Set(), away: false };
  let pair = 0;
  let refreshToken;
  const signedIn = (user) => {
    pair++;
    refreshToken = `refresh ${pair}`;
    return { user, access_token: `access ${pair}`, refresh_token: refreshToken, token_type: "bearer", expires_in };
  };
  world.server = await restServer(t, async ({ method, path, token, body }) => {
    world.calls.push(`${method} ${path}`);
    if (world.away) return problem(503, "unavailable");
    if (path === "/auth/register") return { status: 201, body: signedIn({ ...ANN, ...body }) };
    if (path === "/auth/login") {
      if (body.password !== "right") return problem(401, "bad_credentials");
      return { status: 200, body: signedIn(body.username === "bob" ? BOB : ANN) };
    }
    if (path === "/auth/refresh") {
      if (body.refresh_token !== refreshToken) world.revoked = true;
      if (world.revoked) return problem(401, "token_revoked");
      world.refreshes++;
      // Long enough for others to come with the same token, if they may.
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { status: 200, body: signedIn(ANN) };
    }
    if (!token) return problem(401, "token_missing");
    if (world.revoked) return problem(401, "token_revoked");
    if (world.expired.has(token)) return problem(401, "token_expired");
    if (path === "/auth/ticket") return { status: 200, body: { ticket: `ticket for ${token}`, expires_in: 30 } };
    if (path === "/slow") return { ...problem(429, "rate_limited"), headers: { "Retry-After": "7" } };
    if (path === "/wrong") return problem(422, "validation_failed", { errors: [{ field: "a", message: "No." }] });
    if (path === "/proxy") return { status: 502, body: "<html>Bad gateway</html>" };
    if (path === "/users/me") return { status: 200, body: ANN };
  });
  return world;
}

/** The tabs of one browser: they share storage and locks. */
function browser(world, shared = { localStorage: storage(), locks: locks() }) {
  return (more = {}) => new Session({ server: world.server, window: undefined, ...shared, ...more });
}

test("signing in keeps the person and the tokens, for every tab", async (t) => {
  const tab = browser(await accounts(t));
  const [first, second] = [tab(), tab()];
  assert.equal(first.user, null);
  const events = [];
  first.subscribe((event) => events.push(event));
  assert.deepEqual(await first.login("ann", "right"), ANN);
  assert.deepEqual(second.user, ANN);
  assert.equal(await second.getToken(), "access 1");
  assert.equal(await second.getTicket(), "ticket for access 1");
  assert.deepEqual(events, [{ type: "signed-in", user: ANN }]);
});

test("registering signs in", async (t) => {
  const session = browser(await accounts(t))();
  assert.equal((await session.register("ann", "right", "An")).display_name, "An");
  assert.equal((await session.register("ann", "right")).display_name, "Ann");
  assert.equal(await session.getToken(), "access 2");
});

test("a wrong password is a typed error, and changes nothing", async (t) => {
  const session = browser(await accounts(t))();
  await session.login("ann", "right");
  await assert.rejects(session.login("ann", "wrong"), (error) => {
    assert.ok(error instanceof LoaError);
    assert.deepEqual([error.code, error.status, error.detail], ["bad_credentials", 401, "It is bad_credentials."]);
    return true;
  });
  assert.deepEqual(session.user, ANN);
});

test("a token that expires soon is refreshed when it is asked for", async (t) => {
  const world = await accounts(t);
  const session = browser(world)();
  await session.login("ann", "right");
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 820_000 });
  assert.equal(await session.getToken(), "access 1");
  t.mock.timers.tick(11_000);
  assert.equal(await session.getToken(), "access 2");
  assert.equal(await session.getToken(), "access 2");
  assert.equal(world.refreshes, 1);
});

test("short-lived tokens are not refreshed all the time", async (t) => {
  const world = await accounts(t, { expires_in: 10 });
  const session = browser(world)();
  await session.login("ann", "right");
  for (let count = 0; count < 3; count++) await session.getToken();
  assert.equal(world.refreshes, 0);
});

/** Ten tabs ask for a fresh token at once. */
async function stampede(world, tabs) {
  await tabs[0].login("ann", "right");
  for (const session of tabs) {
    while (!session.user) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(await session.getToken(), "access 1");
  }
  const tokens = await Promise.all(tabs.map((session) => session.getToken({ fresh: true })));
  assert.deepEqual(new Set(tokens), new Set(["access 2"]));
  assert.deepEqual([world.refreshes, world.revoked], [1, false]);
}

test("ten tabs that need a fresh token at once use the refresh token once", async (t) => {
  const world = await accounts(t);
  const tab = browser(world);
  await stampede(world, Array.from({ length: 10 }, () => tab()));
});

test("so they do without Web Locks, though each sees late what the others have written", async (t) => {
  const world = await accounts(t);
  const view = laggingStorage(t);
  await stampede(world, Array.from({ length: 10 }, () => browser(world, { localStorage: view(), locks: null })()));
});

test("a tab that was closed while it refreshed keeps the others waiting only for a while", async (t) => {
  const world = await accounts(t);
  const shared = { localStorage: storage(), locks: null };
  const session = browser(world, shared)();
  await session.login("ann", "right");
  await session.getToken();
  shared.localStorage.setItem("loa:refresh", JSON.stringify({ owner: "gone", until: Date.now() + 200 }));
  assert.equal(await session.getToken({ fresh: true }), "access 2");
});

test("an expired token is refreshed once, and the call made again", async (t) => {
  const world = await accounts(t);
  const session = browser(world)();
  await session.login("ann", "right");
  world.expired.add("access 1");
  const calls = [session.fetch("/api/v1/users/me"), session.fetch("/api/v1/users/me")];
  for (const response of await Promise.all(calls)) assert.deepEqual(await response.json(), ANN);
  assert.equal(world.refreshes, 1);
  world.expired.add("access 2").add("access 3");
  await assert.rejects(session.fetch("/api/v1/users/me"), { code: "token_expired" });
  assert.equal(world.refreshes, 2);
});

test("a session that has ended elsewhere signs out, once", async (t) => {
  const world = await accounts(t);
  const session = browser(world)();
  await session.login("ann", "right");
  const events = [];
  session.subscribe(({ type, code }) => events.push([type, code]));
  world.revoked = true;
  await assert.rejects(session.fetch("/api/v1/users/me"), { code: "token_revoked", needsSignIn: true });
  await assert.rejects(session.getToken(), { code: "token_missing", needsSignIn: true });
  assert.equal(session.user, null);
  assert.deepEqual(events, [["signed-out", "token_revoked"]]);
});

test("a refresh that the server refuses signs out; one that does not reach it does not", async (t) => {
  const world = await accounts(t);
  const session = browser(world)();
  await session.login("ann", "right");
  await session.getToken();
  world.away = true;
  await assert.rejects(session.getToken({ fresh: true }), { code: "unavailable", retryable: true });
  assert.deepEqual(session.user, ANN);
  world.away = false;
  world.revoked = true;
  await assert.rejects(session.getToken({ fresh: true }), { code: "token_revoked" });
  assert.equal(session.user, null);
});

test("signing out ends the session on the server, and here even where the server is away", async (t) => {
  const world = await accounts(t);
  const session = browser(world)();
  await session.login("ann", "right");
  const events = [];
  session.subscribe(({ type, code }) => events.push([type, code]));
  await session.logout();
  assert.deepEqual([session.user, world.calls.at(-1)], [null, "POST /auth/logout"]);
  assert.deepEqual(events, [["signed-out", null]]);
  await session.login("ann", "right");
  world.away = true;
  await session.logout();
  assert.equal(session.user, null);
  await session.logout();
});

test("other tabs hear who has signed in and out", async (t) => {
  const { window } = page();
  const session = browser(await accounts(t))({ window });
  const events = [];
  session.subscribe(({ type, user }) => events.push([type, user?.username]));
  const [ann, annLater, bob] = [ANN, ANN, BOB].map((user, place) => JSON.stringify({ user, access_token: `${place}` }));
  const changed = (oldValue, newValue, key = "loa:session") =>
    window.dispatchEvent(new window.StorageEvent("storage", { key, oldValue, newValue }));
  changed(null, ann);
  changed(ann, annLater);
  changed(annLater, bob);
  changed("1", "2", "something else");
  changed(bob, null);
  assert.deepEqual(events, [["signed-in", "ann"], ["signed-in", "bob"], ["signed-out", undefined]]);
});

test("every kind of failure is a typed error", async (t) => {
  const world = await accounts(t);
  const session = browser(world)();
  await session.login("ann", "right");
  await assert.rejects(session.fetch("/api/v1/slow"), { code: "rate_limited", retryAfter: 7, retryable: true });
  await assert.rejects(session.fetch("/api/v1/wrong"), { errors: [{ field: "a", message: "No." }], retryable: false });
  await assert.rejects(session.fetch("/api/v1/proxy"), { code: "unavailable", status: 502, retryable: true });
  const nowhere = browser({ server: "http://127.0.0.1:9" })();
  await assert.rejects(nowhere.login("ann", "right"), { code: "network", retryable: true });
});

test("a call that is called off rejects as the platform says", async (t) => {
  const session = browser(await accounts(t))();
  await session.login("ann", "right");
  await assert.rejects(session.fetch("/api/v1/users/me", { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("the API says what the protocol says", async (t) => {
  const seen = [];
  const server = await restServer(t, ({ method, path, query, body }) => {
    seen.push([method, path, query, body]);
    return method === "DELETE" ? undefined : { status: 200, body: { items: [], next: null } };
  });
  const api = new Api({ fetch: (path, init) => fetch(server + path, init) });
  const said = { content: "x", nonce: "n" };
  const calls = [
    [() => api.me(), "GET", "/users/me"],
    [() => api.updateMe({ avatar: null }), "PATCH", "/users/me", {}, { avatar: null }],
    [() => api.user("u"), "GET", "/users/u"],
    [() => api.users("an"), "GET", "/users", { query: "an" }],
    [() => api.presence(["a", "b"]), "GET", "/presence", { user_ids: "a,b" }],
    [() => api.changePassword("a", "b"), "POST", "/auth/password", {}, { current_password: "a", new_password: "b" }],
    [() => api.devices(), "GET", "/auth/sessions"],
    [() => api.endDevice("s"), "DELETE", "/auth/sessions/s"],
    [() => api.conversations({ limit: 5, before: null }), "GET", "/conversations", { limit: "5" }],
    [() => api.conversation("c"), "GET", "/conversations/c"],
    [() => api.createConversation(["u"]), "POST", "/conversations", {}, { participant_ids: ["u"], title: null }],
    [() => api.renameConversation("c", "T"), "PATCH", "/conversations/c", {}, { title: "T" }],
    [() => api.addParticipants("c", ["u"]), "POST", "/conversations/c/participants", {}, { user_ids: ["u"] }],
    [() => api.removeParticipant("c", "u"), "DELETE", "/conversations/c/participants/u"],
    [() => api.messages("c", { before: 9 }), "GET", "/conversations/c/messages", { before: "9" }],
    [() => api.changes("c", 3), "GET", "/conversations/c/messages", { after_rev: "3", limit: "500" }],
    [() => api.sendMessage("c", "x", { nonce: "n" }), "POST", "/conversations/c/messages", {}, said],
    [() => api.editMessage("c", "m", "x"), "PATCH", "/conversations/c/messages/m", {}, { content: "x" }],
    [() => api.deleteMessage("c", "m"), "DELETE", "/conversations/c/messages/m"],
    [() => api.react("c", "m", "👍"), "PUT", "/conversations/c/messages/m/reactions/%F0%9F%91%8D"],
    [() => api.unreact("c", "m", "👍"), "DELETE", "/conversations/c/messages/m/reactions/%F0%9F%91%8D"],
    [() => api.posts(), "GET", "/posts"],
    [() => api.post("p"), "GET", "/posts/p"],
    [() => api.createPost("x"), "POST", "/posts", {}, { content: "x" }],
    [() => api.comments("p", { after: 2 }), "GET", "/posts/p/comments", { after: "2" }],
    [() => api.comment("p", "x", { parentId: "k" }), "POST", "/posts/p/comments", {}, { content: "x", parent_id: "k" }],
    [() => api.notifications({ unread: 1 }), "GET", "/notifications", { unread: "1" }],
    [() => api.unreadCount(), "GET", "/notifications/unread_count"],
    [() => api.readNotification("n"), "PUT", "/notifications/n/read"],
    [() => api.readNotifications(7), "PUT", "/notifications/read", {}, { up_to_seq: 7 }],
  ];
  for (const [call, method, path, query = {}, body] of calls) {
    await call();
    assert.deepEqual(seen.pop(), [method, path, query, body]);
  }
});
