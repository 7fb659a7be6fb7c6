/** The examples of the library's README: a plain page and a React hook. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { JSDOM } from "jsdom";

import * as library from "../../service/web/client/index.js";
import { page as plainPage } from "./examples/page.js";
import { browserPlatform, signedInClient } from "./support/client.js";
import { startLoaServer, user } from "./support/loa-server.js";
import { untilState } from "./support/wait.js";

const [ANN, BOB] = [0, 1].map((index) => user(index).id);

test("index.js exports the public API", () => {
  const names = ["Api", "ChatSocket", "ExternalSession", "Loa", "LoaError", "NotificationStream", "Push"];
  assert.deepEqual(Object.keys(library).sort(), [...names, "Session", "Store", "randomId"]);
});

test("the READMEs show the code of the examples", async () => {
  const read = (path) => readFile(new URL(path, import.meta.url), "utf8");
  const page = (await read("examples/page.js")).replaceAll(/^  /gm, "");
  const subscription = page.slice(page.indexOf("loa.store.subscribe"), page.indexOf("loa.start()"));
  const hook = await read("examples/use-loa.js");
  const documentation = await read("../../service/web/client/README.md");
  assert.ok(subscription.includes("openConversation"));
  for (const text of [documentation, await read("../../README.md")]) assert.ok(text.includes(subscription));
  assert.ok(documentation.includes(hook.slice(hook.indexOf("export function"))));
});

test("the plain page shows messages and the unread count, and sends", async (t) => {
  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  server.sendMessage(id, BOB, "earlier");
  const { document } = new JSDOM("<b id=bell></b><pre id=list></pre><form id=form><input name=content></form>").window;
  const [bell, list, form] = ["bell", "list", "form"].map((name) => document.getElementById(name));
  const loa = await plainPage(library.Loa, { server: server.url, ...browserPlatform() }, { bell, list, form });
  t.after(() => loa.stop());
  await untilState(loa.store, ({ stream, conversationIds }) => stream.status === "online" && conversationIds.length);
  server.notify(ANN);
  server.sendMessage(id, BOB, "hello");
  await untilState(loa.store, (state) => state.notifications.unreadCount && state.conversations[id].lastSeq === 2);
  form.elements.content.value = "hello yourself";
  form.onsubmit();
  await untilState(loa.store, ({ conversations }) => conversations[id].messages.length === 3);
  assert.deepEqual([bell.textContent, list.textContent], ["🔔 1", "earlier\nhello\nhello yourself"]);
});

test("the React hook renders the selected part, and only when it changes", async (t) => {
  const { window } = new JSDOM("<div id=root></div>");
  const { document, navigator } = window;
  for (const [name, value] of Object.entries({ window, document, navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => delete globalThis[name]);
  }
  const { act, createElement } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const { useLoa } = await import("./examples/use-loa.js");

  const server = await startLoaServer(t);
  const id = server.createConversation(ANN, BOB);
  const loa = await signedInClient(t, server, 0);
  let renders = 0;
  function Bell() {
    renders++;
    return createElement("b", null, useLoa(loa, (state) => state.notifications.unreadCount));
  }
  const root = createRoot(window.document.getElementById("root"));
  await act(() => root.render(createElement(Bell)));
  assert.equal(window.document.body.textContent, "0");
  const before = renders;
  await act(async () => {
    server.sendMessage(id, BOB, "hello");
    await untilState(loa.store, ({ conversations }) => conversations[id]?.lastSeq === 1);
  });
  assert.equal(renders, before);
  await act(async () => {
    server.notify(ANN);
    await untilState(loa.store, ({ notifications }) => notifications.unreadCount === 1);
  });
  assert.equal(window.document.body.textContent, "1");
  await act(() => root.unmount());
});
