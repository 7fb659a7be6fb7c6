/** The examples of the README: a plain page, and React. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";

import * as library from "../../service/web/client/index.js";
import { page as plainPage } from "./examples/page.js";
import { client, platform } from "./support/client.js";
import { loaServer, user } from "./support/loa-server.js";
import { state } from "./support/until.js";

const [ANN, BOB] = [0, 1].map((place) => user(place).id);

test("one import gives all there is", () => {
  const names = ["Api", "ChatSocket", "Loa", "LoaError", "NotificationStream", "Session", "Store"];
  assert.deepEqual(Object.keys(library).sort(), names);
});

test("ten lines put chat and the bell into a plain page", async (t) => {
  const server = await loaServer(t);
  const id = server.begin(ANN, BOB);
  const { document } = new JSDOM("<b id=bell></b><pre id=list></pre><form id=form><input name=content></form>").window;
  const [bell, list, form] = ["bell", "list", "form"].map((name) => document.getElementById(name));
  const loa = await plainPage(library.Loa, { server: server.url, ...platform() }, { bell, list, form });
  t.after(() => loa.stop());
  await state(loa.store, ({ stream, conversationIds }) => stream.status === "online" && conversationIds.length);
  server.notify(ANN);
  server.say(id, BOB, "hello");
  await state(loa.store, ({ notifications, conversations }) => notifications.unreadCount && conversations[id].lastSeq);
  form.elements.content.value = "hello yourself";
  form.onsubmit();
  await state(loa.store, ({ conversations }) => conversations[id].lastSeq === 2);
  assert.deepEqual([bell.textContent, list.textContent], ["🔔 1", "hello\nhello yourself"]);
});

test("a React component renders what it picks, and only when that changes", async (t) => {
  const { window } = new JSDOM("<div id=root></div>");
  const { document, navigator } = window;
  for (const [name, value] of Object.entries({ window, document, navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => delete globalThis[name]);
  }
  const { act, createElement } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const { useLoa } = await import("./examples/use-loa.js");

  const server = await loaServer(t);
  const id = server.begin(ANN, BOB);
  const loa = await client(t, server, 0);
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
    server.say(id, BOB, "hello");
    await state(loa.store, ({ conversations }) => conversations[id]?.lastSeq === 1);
  });
  assert.equal(renders, before);
  await act(async () => {
    server.notify(ANN);
    await state(loa.store, ({ notifications }) => notifications.unreadCount === 1);
  });
  assert.equal(window.document.body.textContent, "1");
  await act(() => root.unmount());
});
