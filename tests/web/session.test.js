/** Session and Api. The most important property: nobody is signed out but by a sign-out or by the server's refusal. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Api, LoaError, Session } from "../../service/web/client/index.js";
import { createLaggingStorage, createLocks, createPage, createStorage } from "./support/browser.js";
import { problem, startRestServer } from "./support/rest-server.js";
import { flushEventLoop } from "./support/wait.js";

const ANN = { id: "0000000000000000000000aa", username: "ann", display_name: "Ann", avatar: null };
const BOB = { id: "0000000000000000000000bb", username: "bob", display_name: "Bob", avatar: null };

/**
 * A server that rotates refresh tokens. A token may be used again until its successor has been used; after that, the
 * server revokes the session. `loseAnswer`: how the answers to a refresh are lost; see `startRestServer`.
 */
async function startAuthServer(t, { expires_in = 900 } = {}) {
  const auth = { refreshes: 0, revoked: false, calls: [], loginTokens: [], expired: new Set(), unavailable: false };
  let pair = 0;
  let refreshToken;
  let previousToken;
  const signedIn = (user) => {
    pair++;
    refreshToken = `refresh ${pair}`;
    return { user, access_token: `access ${pair}`, refresh_token: refreshToken, token_type: "bearer", expires_in };
  };
  auth.url = await startRestServer(t, async ({ method, path, token, body }) => {
    auth.calls.push(`${method} ${path}`);
    if (auth.unavailable) return problem(503, "unavailable");
    if (path === "/auth/register") return { status: 201, body: signedIn({ ...ANN, ...body }) };
    if (path === "/auth/login") {
      auth.loginTokens.push(token);
      if (body.password !== "right") return problem(401, "bad_credentials");
      return { status: 200, body: signedIn(body.username === "bob" ? BOB : ANN) };
    }
    if (path === "/auth/refresh") {
      if (body.refresh_token === refreshToken) previousToken = refreshToken;
      if (body.refresh_token !== previousToken) auth.revoked = true;
      if (auth.revoked) return problem(401, "token_revoked");
      auth.refreshes++;
      // Long enough for other requests with the same token to arrive, if the client sends any.
      await flushEventLoop();
      return { status: 200, body: signedIn(ANN), lost: auth.loseAnswer };
    }
    if (path === "/auth/password") return { status: 200, body: signedIn(ANN) };
    if (!token) return problem(401, "token_missing");
    if (auth.revoked) return problem(401, "token_revoked");
    if (auth.expired.has(token)) return problem(401, "token_expired");
    if (path === "/auth/ticket") return { status: 200, body: { ticket: `ticket for ${token}`, expires_in: 30 } };
    if (path === "/slow") return { ...problem(429, "rate_limited"), headers: { "Retry-After": "7" } };
    if (path === "/wrong") return problem(422, "validation_failed", { errors: [{ field: "a", message: "Invalid." }] });
    if (path === "/portal") return { status: 200, body: "<html>Please accept our terms</html>" };
    if (path === "/cut") return { status: 200, body: {}, lost: "body" };
    if (path === "/hung") return new Promise(() => {});
    if (path === "/proxy") return { status: 502, body: "<html>Bad gateway</html>" };
    if (path === "/users/me") return { status: 200, body: ANN };
  });
  return auth;
}

/** Return a function that opens a tab; the tabs of one browser share storage and locks. */
function createBrowser(auth, shared = { localStorage: createStorage(), locks: createLocks() }) {
  return (more = {}) => new Session({ server: auth.url, window: undefined, ...shared, ...more });
}

test("a sign-in stores the user and the tokens for all tabs", async (t) => {
  const openTab = createBrowser(await startAuthServer(t));
  const [first, second] = [openTab(), openTab()];
  assert.equal(first.user, null);
  const events = [];
  first.subscribe((event) => events.push(event));
  assert.deepEqual(await first.login("ann", "right"), ANN);
  assert.deepEqual(second.user, ANN);
  assert.equal(await second.getToken(), "access 1");
  assert.equal(await second.getTicket(), "ticket for access 1");
  assert.deepEqual(events, [{ type: "signed-in", user: ANN }]);
});

test("register signs in", async (t) => {
  const session = createBrowser(await startAuthServer(t))();
  assert.equal((await session.register("ann", "right", "An")).display_name, "An");
  assert.equal((await session.register("ann", "right")).display_name, "Ann");
  assert.equal(await session.getToken(), "access 2");
});

test("a wrong password rejects with a LoaError, and keeps the session", async (t) => {
  const session = createBrowser(await startAuthServer(t))();
  await session.login("ann", "right");
  await assert.rejects(session.login("ann", "wrong"), (error) => {
    assert.ok(error instanceof LoaError);
    assert.deepEqual([error.code, error.status], ["bad_credentials", 401]);
    assert.equal(error.detail, "The code is bad_credentials.");
    return true;
  });
  assert.deepEqual(session.user, ANN);
});

test("a login shows the last token of the device, which the server has ended by then", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  const session = openTab();
  await session.login("ann", "right");
  await session.logout();
  await assert.rejects(session.login("ann", "wrong"));
  await openTab().login("ann", "right");
  assert.deepEqual(auth.loginTokens, [undefined, "refresh 1", "refresh 1"]);
  session.end("token_revoked", { token: "access 2" });
  await session.login("ann", "right");
  await session.login("bob", "right");
  assert.deepEqual(auth.loginTokens.slice(3), ["refresh 2", "access 3"]);
});

test("a sign-out of which the server does not hear keeps no token", async (t) => {
  const auth = await startAuthServer(t);
  const localStorage = createStorage();
  const session = createBrowser(auth, { localStorage, locks: createLocks() })();
  await session.login("ann", "right");
  auth.unavailable = true;
  await session.logout();
  assert.deepEqual(["loa:session", "loa:device"].map((key) => localStorage.getItem(key)), [null, null]);
});

test("getToken refreshes a token that expires soon", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 820_000 });
  assert.equal(await session.getToken(), "access 1");
  t.mock.timers.tick(11_000);
  assert.equal(await session.getToken(), "access 2");
  assert.equal(await session.getToken(), "access 2");
  assert.equal(auth.refreshes, 1);
});

test("short-lived tokens are not refreshed on every call", async (t) => {
  const auth = await startAuthServer(t, { expires_in: 10 });
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  for (let count = 0; count < 3; count++) await session.getToken();
  assert.equal(auth.refreshes, 0);
});

/** Ask for a fresh token in all tabs at once, and check that the refresh token was used once. */
async function refreshInAllTabs(auth, tabs) {
  await tabs[0].login("ann", "right");
  for (const session of tabs) {
    while (!session.user) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(await session.getToken(), "access 1");
  }
  const tokens = await Promise.all(tabs.map((session) => session.getToken({ fresh: true })));
  assert.deepEqual(new Set(tokens), new Set(["access 2"]));
  assert.deepEqual([auth.refreshes, auth.revoked], [1, false]);
}

for (const lost of [true, "body"]) {
  test(`a refresh whose answer was lost (${lost}) is repeated with the same token`, async (t) => {
    const auth = await startAuthServer(t);
    const session = createBrowser(auth)();
    await session.login("ann", "right");
    await session.getToken();
    auth.loseAnswer = lost;
    for (let count = 0; count < 3; count++) {
      await assert.rejects(session.getToken({ fresh: true }), { code: "network", retryable: true });
    }
    assert.deepEqual([auth.refreshes, session.user], [3, ANN]);
    auth.loseAnswer = undefined;
    assert.equal(await session.getToken({ fresh: true }), "access 5");
    assert.equal(await session.getToken({ fresh: true }), "access 6");
    assert.equal(auth.revoked, false);
  });
}

/** Move the time to `before` milliseconds before the access token expires. */
function moveToExpiry(t, before) {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 900_000 - before });
}

test("a token that expires soon is used as long as it is valid, if it cannot be refreshed", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  auth.unavailable = true;
  moveToExpiry(t, 30_000);
  assert.equal(await session.getToken(), "access 1");
  t.mock.timers.tick(31_000);
  await assert.rejects(session.getToken(), { code: "unavailable" });
  assert.deepEqual(session.user, ANN);
});

for (const what of ["no JSON", "no tokens"]) {
  test(`a refresh that is answered with ${what} keeps the session`, async (t) => {
    const auth = await startAuthServer(t);
    const browser = { localStorage: createStorage(), locks: createLocks() };
    const session = createBrowser(auth, browser)();
    await session.login("ann", "right");
    const answer = () => new Response(what === "no JSON" ? "<html>Please accept our terms</html>" : "{}");
    const behindPortal = createBrowser(auth, browser)({ fetch: async () => answer() });
    await behindPortal.getToken();
    await assert.rejects(behindPortal.getToken({ fresh: true }), { code: "unavailable", retryable: true });
    assert.equal(await session.getToken(), "access 1");
  });
}

test("a tab that was frozen during a refresh does not overwrite the tokens that another tab received", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  let thaw;
  let onAnswer;
  const answered = new Promise((resolve) => (onAnswer = resolve));
  const frozen = openTab({
    // The other tab has taken the lock away.
    locks: createLocks(),
    fetch: async (...args) => {
      const response = await fetch(...args);
      if (args[0].endsWith("/auth/refresh")) await new Promise((resolve) => onAnswer((thaw = resolve)));
      return response;
    },
  });
  const active = openTab();
  await frozen.login("ann", "right");
  for (const session of [frozen, active]) await session.getToken();
  const late = frozen.getToken({ fresh: true });
  await answered;
  assert.equal(await active.getToken({ fresh: true }), "access 3");
  thaw();
  assert.equal(await late, "access 3");
  assert.equal(await active.getToken({ fresh: true }), "access 4");
});

test("a tab that holds the lock for too long does not block the others", async (t) => {
  const auth = await startAuthServer(t);
  const locks = createLocks();
  const session = createBrowser(auth, { localStorage: createStorage(), locks })();
  await session.login("ann", "right");
  await session.getToken();
  const stolen = assert.rejects(locks.request("loa:refresh", () => new Promise(() => {})), { name: "AbortError" });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const token = session.getToken({ fresh: true });
  await flushEventLoop();
  assert.equal(auth.refreshes, 0);
  t.mock.timers.tick(20_000);
  t.mock.timers.reset();
  assert.equal(await token, "access 2");
  await stolen;
  assert.equal(await session.getToken({ fresh: true }), "access 3");
});

test("a request that nobody answers ends after 30 seconds, and a refresh after 15", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  const session = openTab();
  await session.login("ann", "right");
  await session.getToken();
  // This `fetch` even ignores the signal.
  const hung = openTab({ fetch: () => new Promise(() => {}) });
  await hung.getToken();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const states = {};
  const watch = (name, promise) => promise.catch(({ code }) => (states[name] = code));
  watch("call", session.fetch("/api/v1/hung"));
  watch("refresh", hung.getToken({ fresh: true }));
  const waiting = session.getToken({ fresh: true });
  await flushEventLoop();
  t.mock.timers.tick(14_999);
  await flushEventLoop();
  assert.deepEqual(states, {});
  t.mock.timers.tick(1);
  await flushEventLoop();
  assert.deepEqual(states, { refresh: "network" });
  assert.equal(await waiting, "access 2");
  t.mock.timers.tick(15_000);
  await flushEventLoop();
  assert.deepEqual(states, { refresh: "network", call: "network" });
});

test("after a connection fell silent, those to the server are probed before a ticket is requested", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  const session = openTab();
  await session.login("ann", "right");
  const aborted = t.mock.fn();
  const onDeadNetwork = openTab({
    fetch: (url, init) => {
      if (!url.endsWith("/healthz")) return fetch(url, init);
      return new Promise(() => init.signal.addEventListener("abort", aborted));
    },
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const ticket = onDeadNetwork.getTicket({ afterSilence: true });
  t.mock.timers.tick(3999);
  await flushEventLoop();
  assert.deepEqual([aborted.mock.callCount(), auth.calls.at(-1)], [0, "POST /auth/login"]);
  t.mock.timers.tick(1);
  t.mock.timers.reset();
  assert.equal(await ticket, "ticket for access 1");
  assert.equal(aborted.mock.callCount(), 6);
  assert.equal(await session.getTicket({ afterSilence: true }), "ticket for access 1");
  assert.equal(auth.calls.filter((call) => call === "GET /healthz").length, 6);
});

test("the end of an old session keeps the tokens of a new one", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  const [first, second] = [openTab(), openTab()];
  await first.login("ann", "right");
  const token = await first.getToken();
  const events = [];
  first.subscribe(({ type }) => events.push(type));
  first.end("token_revoked", { token: "another token" });
  assert.deepEqual([first.user, events], [ANN, []]);
  first.end("token_revoked", { token });
  assert.deepEqual([first.user, events], [null, ["signed-out"]]);
  assert.equal(second.user, null);
});

test("a call with a rejected token is repeated if another tab has signed in again meanwhile", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  const active = openTab();
  await active.login("ann", "right");
  const thawed = openTab({
    fetch: async (url, init) => {
      const isOld = init.headers.get("Authorization") === "Bearer access 1";
      if (!isOld) return fetch(url, init);
      await active.login("ann", "right");
      return Response.json({ code: "token_revoked", detail: "Revoked." }, { status: 401 });
    },
  });
  assert.deepEqual(await (await thawed.fetch("/api/v1/users/me")).json(), ANN);
  assert.equal(await thawed.getToken(), "access 2");
});

/** A storage in which nothing can be written once it is `full`. */
function createLimitedStorage() {
  const storage = createStorage();
  const limited = {
    full: false,
    getItem: (key) => storage.getItem(key),
    removeItem: (key) => storage.removeItem(key),
    setItem(key, value) {
      if (limited.full) throw new DOMException("Full.", "QuotaExceededError");
      storage.setItem(key, value);
    },
  };
  return limited;
}

for (const locks of [null, createLocks()]) {
  test(`a full storage ${locks ? "with" : "without"} Web Locks keeps the user signed in`, async (t) => {
    const auth = await startAuthServer(t);
    const localStorage = createLimitedStorage();
    const openTab = createBrowser(auth, { localStorage, locks });
    const session = openTab();
    const events = [];
    session.subscribe(({ type }) => events.push(type));
    await session.login("ann", "right");
    await session.getToken();
    localStorage.full = true;
    for (let count = 2; count <= 4; count++) assert.equal(await session.getToken({ fresh: true }), `access ${count}`);
    assert.deepEqual([events, session.user], [["signed-in"], ANN]);
    localStorage.full = false;
    assert.equal(await session.getToken({ fresh: true }), "access 5");
    assert.equal(await openTab().getToken(), "access 5");
    localStorage.full = true;
    await session.logout();
    assert.deepEqual([events, session.user, openTab().user], [["signed-in", "signed-out"], null, null]);
  });
}

test("a sign-in or sign-out of another tab replaces tokens for which there was no space", async (t) => {
  const auth = await startAuthServer(t);
  const localStorage = createLimitedStorage();
  const openTab = createBrowser(auth, { localStorage, locks: createLocks() });
  const [first, second] = [openTab(), openTab()];
  localStorage.full = true;
  await first.login("ann", "right");
  assert.deepEqual([first.user, second.user], [ANN, null]);
  localStorage.full = false;
  await second.login("bob", "right");
  assert.deepEqual([first.user, await first.getToken()], [BOB, "access 2"]);
});

test("after a change of the password, the session uses the new tokens", async (t) => {
  const session = createBrowser(await startAuthServer(t))();
  await session.login("ann", "right");
  await new Api(session).changePassword("right", "better");
  assert.equal(await session.getToken(), "access 2");
});

test("ten tabs that need a fresh token at once use the refresh token once", async (t) => {
  const auth = await startAuthServer(t);
  const openTab = createBrowser(auth);
  await refreshInAllTabs(auth, Array.from({ length: 10 }, () => openTab()));
});

test("without Web Locks, ten tabs use the refresh token once, although writes become visible late", async (t) => {
  const auth = await startAuthServer(t);
  const view = createLaggingStorage(t);
  const openTab = () => createBrowser(auth, { localStorage: view(), locks: null })();
  await refreshInAllTabs(auth, Array.from({ length: 10 }, openTab));
});

test("the lease of a tab that closed during a refresh expires", async (t) => {
  const auth = await startAuthServer(t);
  const shared = { localStorage: createStorage(), locks: null };
  const session = createBrowser(auth, shared)();
  await session.login("ann", "right");
  await session.getToken();
  shared.localStorage.setItem("loa:refresh", JSON.stringify({ owner: "gone", until: Date.now() + 200 }));
  assert.equal(await session.getToken({ fresh: true }), "access 2");
});

test("fetch refreshes an expired token once, and repeats the request", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  auth.expired.add("access 1");
  const calls = [session.fetch("/api/v1/users/me"), session.fetch("/api/v1/users/me")];
  for (const response of await Promise.all(calls)) assert.deepEqual(await response.json(), ANN);
  assert.equal(auth.refreshes, 1);
  auth.expired.add("access 2").add("access 3");
  await assert.rejects(session.fetch("/api/v1/users/me"), { code: "token_expired" });
  assert.equal(auth.refreshes, 2);
});

test("a revoked session signs out, once", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  const events = [];
  session.subscribe(({ type, code }) => events.push([type, code]));
  auth.revoked = true;
  await assert.rejects(session.fetch("/api/v1/users/me"), { code: "token_revoked", needsSignIn: true });
  await assert.rejects(session.getToken(), { code: "token_missing", needsSignIn: true });
  assert.equal(session.user, null);
  assert.deepEqual(events, [["signed-out", "token_revoked"]]);
});

test("a rejected refresh signs out; an unreachable server does not", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  await session.getToken();
  auth.unavailable = true;
  await assert.rejects(session.getToken({ fresh: true }), { code: "unavailable", retryable: true });
  assert.deepEqual(session.user, ANN);
  auth.unavailable = false;
  auth.revoked = true;
  await assert.rejects(session.getToken({ fresh: true }), { code: "token_revoked" });
  assert.equal(session.user, null);
});

test("logout ends the session on the server, and locally even if the server is unavailable", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  const events = [];
  session.subscribe(({ type, code }) => events.push([type, code]));
  await session.logout();
  assert.deepEqual([session.user, auth.calls.at(-1)], [null, "POST /auth/logout"]);
  assert.deepEqual(events, [["signed-out", null]]);
  await session.login("ann", "right");
  auth.unavailable = true;
  await session.logout();
  assert.equal(session.user, null);
  await session.logout();
});

test("sign-in and sign-out in another tab are emitted", async (t) => {
  const { window } = createPage();
  const session = createBrowser(await startAuthServer(t))({ window });
  const events = [];
  session.subscribe(({ type, user }) => events.push([type, user?.username]));
  const [ann, annLater, bob] = [ANN, ANN, BOB].map((user, index) => JSON.stringify({ user, access_token: `${index}` }));
  const fireStorageEvent = (oldValue, newValue, key = "loa:session") =>
    window.dispatchEvent(new window.StorageEvent("storage", { key, oldValue, newValue }));
  fireStorageEvent(null, ann);
  fireStorageEvent(ann, annLater);
  fireStorageEvent(annLater, bob);
  fireStorageEvent("1", "2", "something else");
  fireStorageEvent(bob, null);
  assert.deepEqual(events, [["signed-in", "ann"], ["signed-in", "bob"], ["signed-out", undefined]]);
});

test("every failure rejects with a LoaError", async (t) => {
  const auth = await startAuthServer(t);
  const session = createBrowser(auth)();
  await session.login("ann", "right");
  await assert.rejects(session.fetch("/api/v1/slow"), { code: "rate_limited", retryAfter: 7, retryable: true });
  const errors = [{ field: "a", message: "Invalid." }];
  await assert.rejects(session.fetch("/api/v1/wrong"), { errors, retryable: false });
  await assert.rejects(session.fetch("/api/v1/proxy"), { code: "unavailable", status: 502, retryable: true });
  await assert.rejects(session.fetch("/api/v1/cut"), { code: "network", retryable: true });
  const portal = { fetch: () => session.fetch("/api/v1/portal") };
  await assert.rejects(new Api(portal).me(), { code: "unavailable", retryable: true });
  const nowhere = createBrowser({ url: "http://127.0.0.1:9" })();
  await assert.rejects(nowhere.login("ann", "right"), { code: "network", retryable: true });
});

test("an aborted call rejects with an AbortError", async (t) => {
  const session = createBrowser(await startAuthServer(t))();
  await session.login("ann", "right");
  await assert.rejects(session.fetch("/api/v1/users/me", { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("each method of Api sends the documented request", async (t) => {
  const requests = [];
  const server = await startRestServer(t, ({ method, path, query, body }) => {
    requests.push([method, path, query, body]);
    return method === "DELETE" ? undefined : { status: 200, body: { items: [], next: null } };
  });
  const api = new Api({ fetch: (path, init) => fetch(server + path, init) });
  const message = { content: "x", nonce: "n" };
  const calls = [
    [() => api.me(), "GET", "/users/me"],
    [() => api.updateMe({ avatar: null }), "PATCH", "/users/me", {}, { avatar: null }],
    [() => api.user("u"), "GET", "/users/u"],
    [() => api.users("an"), "GET", "/users", { query: "an" }],
    [() => api.block("u"), "PUT", "/users/u/block"],
    [() => api.unblock("u"), "DELETE", "/users/u/block"],
    [() => api.blocks({ limit: 5, before: "c" }), "GET", "/blocks", { limit: "5", before: "c" }],
    [() => api.presence(["a", "b"]), "GET", "/presence", { user_ids: "a,b" }],
    [() => api.changePassword("a", "b"), "POST", "/auth/password", {}, { current_password: "a", new_password: "b" }],
    [() => api.devices(), "GET", "/auth/sessions"],
    [() => api.endDevice("s"), "DELETE", "/auth/sessions/s"],
    [() => api.conversations({ limit: 5, before: null }), "GET", "/conversations", { limit: "5" }],
    [() => api.conversation("c"), "GET", "/conversations/c"],
    [() => api.createConversation(["u"]), "POST", "/conversations", {}, { participant_ids: ["u"], title: null }],
    [() => api.renameConversation("c", "T"), "PATCH", "/conversations/c", {}, { title: "T" }],
    [() => api.conversations({ archived: 1 }), "GET", "/conversations", { archived: "1" }],
    [() => api.mute("c"), "PUT", "/conversations/c/mute", {}, { until: null }],
    [() => api.unmute("c"), "DELETE", "/conversations/c/mute"],
    [() => api.archive("c"), "PUT", "/conversations/c/archive"],
    [() => api.unarchive("c"), "DELETE", "/conversations/c/archive"],
    [() => api.clearHistory("c"), "DELETE", "/conversations/c/history"],
    [() => api.createInvitation("c"), "POST", "/conversations/c/invitations"],
    [() => api.endInvitations("c"), "DELETE", "/conversations/c/invitations"],
    [() => api.invitation("t/t"), "GET", "/invitations/t%2Ft"],
    [() => api.acceptInvitation("t"), "POST", "/invitations/t"],
    [() => api.setHistory("c", "all"), "PATCH", "/conversations/c", {}, { history: "all" }],
    [() => api.setRole("c", "u", "admin"), "PATCH", "/conversations/c/participants/u", {}, { role: "admin" }],
    [() => api.participants("c", { after: "x" }), "GET", "/conversations/c/participants", { after: "x" }],
    [() => api.addParticipants("c", ["u"]), "POST", "/conversations/c/participants", {}, { user_ids: ["u"] }],
    [() => api.removeParticipant("c", "u"), "DELETE", "/conversations/c/participants/u"],
    [() => api.messages("c", { before: 9 }), "GET", "/conversations/c/messages", { before: "9" }],
    [() => api.changes("c", 3), "GET", "/conversations/c/messages", { after_rev: "3", limit: "500" }],
    [() => api.sendMessage("c", "x", { nonce: "n" }), "POST", "/conversations/c/messages", {}, message],
    [() => api.editMessage("c", "m", "x"), "PATCH", "/conversations/c/messages/m", {}, { content: "x" }],
    [() => api.deleteMessage("c", "m"), "DELETE", "/conversations/c/messages/m"],
    [() => api.react("c", "m", "👍"), "PUT", "/conversations/c/messages/m/reactions/%F0%9F%91%8D"],
    [() => api.unreact("c", "m", "👍"), "DELETE", "/conversations/c/messages/m/reactions/%F0%9F%91%8D"],
    [() => api.posts(), "GET", "/posts"],
    [() => api.post("p"), "GET", "/posts/p"],
    [() => api.mutePost("p"), "PUT", "/posts/p/mute"],
    [() => api.unmutePost("p"), "DELETE", "/posts/p/mute"],
    [() => api.reactToPost("p", "👍"), "PUT", "/posts/p/reactions/%F0%9F%91%8D"],
    [() => api.unreactToPost("p", "👍"), "DELETE", "/posts/p/reactions/%F0%9F%91%8D"],
    [() => api.reactToComment("p", "k", "👍"), "PUT", "/posts/p/comments/k/reactions/%F0%9F%91%8D"],
    [() => api.unreactToComment("p", "k", "👍"), "DELETE", "/posts/p/comments/k/reactions/%F0%9F%91%8D"],
    [() => api.createPost("x"), "POST", "/posts", {}, { content: "x" }],
    [() => api.comments("p", { after: 2 }), "GET", "/posts/p/comments", { after: "2" }],
    [() => api.comment("p", "x", { parentId: "k" }), "POST", "/posts/p/comments", {}, { content: "x", parent_id: "k" }],
    [() => api.notifications({ unread: 1 }), "GET", "/notifications", { unread: "1" }],
    [() => api.unreadCount(), "GET", "/notifications/unread_count"],
    [() => api.preferences(), "GET", "/notifications/preferences"],
    [() => api.setPreferences({ quiet_hours: null }), "PUT", "/notifications/preferences", {}, { quiet_hours: null }],
    [() => api.readNotification("n"), "PUT", "/notifications/n/read"],
    [() => api.readNotifications(7), "PUT", "/notifications/read", {}, { up_to_seq: 7 }],
  ];
  for (const [call, method, path, query = {}, body] of calls) {
    await call();
    assert.deepEqual(requests.pop(), [method, path, query, body]);
  }
});
