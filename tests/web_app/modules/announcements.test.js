/** The operator's announcements: each is shown once. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Announcements } from "../../../service/web/app/announcements.js";

const OLD = { message: "Tonight at ten", created_at: "2026-01-01T00:00:00Z" };
const NEW = { message: "Over at eleven", created_at: "2026-01-01T01:00:00Z" };

/** A page in view. `setItem` throws if the storage is full. Returns {shown, emit(event), answer(announcement)}. */
function open({ isFull = false, stored = null } = {}) {
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  const values = new Map([["loa:announcement:an", JSON.stringify(stored)]]);
  const storage = {
    getItem: (key) => values.get(key) ?? null,
    setItem(key, value) {
      if (isFull) throw new Error("QuotaExceededError");
      values.set(key, value);
    },
  };
  const requests = [];
  const shown = [];
  let emit;
  const socket = { status: "offline", subscribe: (handler) => (emit = handler) };
  const api = { announcement: () => new Promise((resolve) => requests.push(resolve)) };
  new Announcements({ api, socket, me: { id: "an" } }, (message) => shown.push(message), storage);
  const answer = async (announcement) => {
    requests.shift()({ announcement });
    await new Promise(setImmediate);
  };
  return { shown, emit, answer };
}

test("it is shown once, also if the storage is full", async () => {
  for (const isFull of [false, true]) {
    const { shown, emit, answer } = open({ isFull, stored: OLD });
    for (let connections = 0; connections < 3; connections += 1) {
      emit({ type: "hello" });
      await answer(NEW);
    }
    assert.deepEqual(shown, [NEW.message]);
  }
});

test("a response from before an announcement does not show the one before it again", async () => {
  const { shown, emit, answer } = open({ stored: OLD });
  emit({ type: "hello" });
  emit({ type: "announcement", data: { message: NEW.message } });
  await answer(OLD);
  emit({ type: "hello" });
  await answer(NEW);
  assert.deepEqual(shown, [NEW.message]);
});
