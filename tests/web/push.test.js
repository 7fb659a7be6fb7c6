/** Push: who gets pushes in this browser, and until when. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { LoaError, Push } from "../../service/web/client/index.js";
import { createStorage } from "./support/browser.js";
import { flushEventLoop } from "./support/wait.js";

const ANN = { id: "0000000000000000000000aa" };
const BOB = { id: "0000000000000000000000bb" };

/** A browser with one service worker registration; `browser.subscription` is what it is subscribed with. */
function createBrowser() {
  const browser = { subscription: null, registered: [], permission: "default", answer: "granted", fail: null, made: 0 };
  const pushManager = {
    async subscribe({ userVisibleOnly, applicationServerKey }) {
      assert.ok(userVisibleOnly);
      if (browser.fail) throw browser.fail;
      if (browser.subscription && browser.subscription.key !== applicationServerKey)
        throw Object.assign(new Error("other key"), { name: "InvalidStateError" });
      if (!browser.subscription) {
        const endpoint = `https://push.example/${++browser.made}`;
        browser.subscription = {
          key: applicationServerKey,
          endpoint,
          toJSON: () => ({ endpoint, keys: {} }),
          unsubscribe: async () => (browser.subscription = null),
        };
      }
      return browser.subscription;
    },
    getSubscription: async () => browser.subscription,
  };
  const registration = { pushManager };
  browser.serviceWorker = Object.assign(new EventTarget(), {
    ready: Promise.resolve(registration),
    register: async (url) => void browser.registered.push(url),
    getRegistration: async () => (browser.registered.length ? registration : undefined),
  });
  browser.Notification = {
    get permission() {
      return browser.permission;
    },
    requestPermission: async () => (browser.permission = browser.answer),
  };
  return browser;
}

/** A server that keeps the endpoints of the signed-in user. */
function createServer() {
  const server = { endpoints: new Set(), key: "key 1", down: false };
  const check = () => {
    if (server.down) throw new LoaError("network", "down");
  };
  server.api = {
    async pushKey() {
      check();
      return { public_key: server.key };
    },
    async addPushSubscription({ endpoint }) {
      check();
      server.endpoints.add(endpoint);
    },
    async removePushSubscription(endpoint) {
      check();
      server.endpoints.delete(endpoint);
    },
  };
  return server;
}

function createSession(user) {
  const handlers = new Set();
  return {
    user,
    subscribe(handler) {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
    signIn(next) {
      this.user = next;
      for (const handler of handlers) handler({ type: "signed-in", user: next });
    },
    signOut() {
      this.user = null;
      for (const handler of handlers) handler({ type: "signed-out", code: null });
    },
  };
}

function setUp({ user = ANN, localStorage = createStorage(), browser = createBrowser(), server = createServer() } = {}) {
  const session = createSession(user);
  const { serviceWorker, Notification } = browser;
  const push = new Push({ api: server.api, session, serviceWorker, Notification, localStorage });
  return { push, session, browser, server, localStorage };
}

test("subscribing asks for the permission, and tells the server", async () => {
  const { push, browser, server } = setUp();
  assert.equal(push.permission, "default");
  assert.equal(push.active, false);
  await push.subscribe();
  assert.deepEqual(browser.registered, ["/service-worker.js"]);
  assert.deepEqual([...server.endpoints], ["https://push.example/1"]);
  assert.equal(push.active, true);
  await push.unsubscribe();
  assert.deepEqual([...server.endpoints], []);
  assert.equal(browser.subscription, null);
  assert.equal(push.active, false);
});

test("without the permission nothing is subscribed", async () => {
  const { push, browser } = setUp();
  browser.answer = "denied";
  await assert.rejects(push.subscribe(), { code: "push_denied" });
  assert.deepEqual(browser.registered, []);
  assert.equal(push.active, false);
});

test("a browser without service workers says so", async () => {
  const { api } = createServer();
  const push = new Push({ api, session: createSession(ANN), serviceWorker: undefined, localStorage: createStorage() });
  assert.equal(push.supported, false);
  await assert.rejects(push.subscribe(), { code: "push_unsupported" });
});

test("a browser that cannot reach its push service says so", async () => {
  const { push, browser, server } = setUp();
  browser.fail = new Error("Registration failed - push service error");
  await assert.rejects(push.subscribe(), { code: "push_failed" });
  assert.equal(server.endpoints.size, 0);
  assert.equal(push.active, false);
});

test("signing out ends the subscription, and the next user is not subscribed without asking", async () => {
  const { push, session, browser, server } = setUp();
  push.start();
  await push.subscribe();
  session.signOut();
  await flushEventLoop();
  assert.equal(browser.subscription, null);
  session.signIn(BOB);
  await flushEventLoop();
  assert.equal(browser.subscription, null);
  assert.equal(push.active, false);
  assert.equal(server.endpoints.size, 1); // the session's end has ended it there
});

test("a new page of the same user renews the subscription", async () => {
  const first = setUp();
  await first.push.subscribe();
  first.server.endpoints.clear();
  first.browser.subscription = null; // the browser has lost it
  const { push, server } = setUp(first);
  push.start();
  await flushEventLoop();
  assert.deepEqual([...server.endpoints], ["https://push.example/2"]);
  push.stop();
});

test("a subscription with the key of another server is replaced", async () => {
  const { push, server } = setUp();
  await push.subscribe();
  server.key = "key 2";
  await push.subscribe();
  assert.deepEqual([...server.endpoints], ["https://push.example/1", "https://push.example/2"]);
});

test("if the server cannot be told, the browser is unsubscribed all the same", async () => {
  const { push, browser, server } = setUp();
  await push.subscribe();
  server.down = true;
  await assert.rejects(push.unsubscribe(), { code: "network" });
  assert.equal(browser.subscription, null);
  assert.equal(push.active, false);
});

test("a sign-out while a subscription is under way leaves none", async () => {
  const { push, session, browser, server } = setUp();
  push.start();
  let answer = () => {};
  server.api.pushKey = () => new Promise((resolve) => (answer = () => resolve({ public_key: "key 1" })));
  const subscribed = push.subscribe();
  await flushEventLoop();
  session.signOut();
  answer();
  await subscribed;
  await flushEventLoop();
  assert.equal(browser.subscription, null);
  assert.equal(push.active, false);
});

test("a click on a notification is told to the page", async () => {
  const { push, browser } = setUp();
  const opened = [];
  push.start((url) => opened.push(url));
  browser.serviceWorker.dispatchEvent(Object.assign(new Event("message"), { data: { type: "loa:open", url: "/#/c/1" } }));
  browser.serviceWorker.dispatchEvent(Object.assign(new Event("message"), { data: { type: "other" } }));
  push.stop();
  browser.serviceWorker.dispatchEvent(Object.assign(new Event("message"), { data: { type: "loa:open", url: "/2" } }));
  assert.deepEqual(opened, ["/#/c/1"]);
});
