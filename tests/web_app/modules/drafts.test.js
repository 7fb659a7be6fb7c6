/** Drafts in the browser's storage. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Drafts } from "../../../service/web/app/drafts.js";

/** A storage as browsers have it; `setItem` throws beyond `capacity` characters. */
class FakeStorage {
  #values = new Map();
  #capacity;

  constructor(capacity = Infinity) {
    this.#capacity = capacity;
  }

  get length() {
    return this.#values.size;
  }

  key(index) {
    return [...this.#values.keys()][index] ?? null;
  }

  getItem(key) {
    return this.#values.get(key) ?? null;
  }

  setItem(key, value) {
    if (value.length > this.#capacity) throw new Error("QuotaExceededError");
    this.#values.set(key, value);
  }

  removeItem(key) {
    this.#values.delete(key);
  }
}

test("a draft is found again after a reload, by the same user only", () => {
  const storage = new FakeStorage();
  new Drafts("ann", storage).set("chat:1", { text: "hello", replyTo: { id: "2" } });
  assert.deepEqual(new Drafts("ann", storage).get("chat:1"), { text: "hello", replyTo: { id: "2" } });
  assert.equal(new Drafts("bob", storage).get("chat:1"), null);
});

test("a draft that is sent or emptied leaves nothing behind", () => {
  const storage = new FakeStorage();
  const drafts = new Drafts("ann", storage);
  drafts.set("posts", "hello");
  drafts.set("posts", null);
  assert.equal(drafts.get("posts"), null);
  assert.equal(storage.length, 0);
});

test("signing out removes the drafts of all users, and nothing else", () => {
  const storage = new FakeStorage();
  storage.setItem("loa:session", "{}");
  new Drafts("ann", storage).set("posts", "a");
  new Drafts("bob", storage).set("posts", "b");
  Drafts.clear(storage);
  assert.equal(storage.length, 1);
});

test("the number of drafts is bounded: those changed longest ago are dropped", (t) => {
  t.mock.timers.enable({ apis: ["Date"] });
  const storage = new FakeStorage();
  const drafts = new Drafts("ann", storage);
  for (let number = 0; number < 150; number++) {
    t.mock.timers.tick(1);
    drafts.set(`chat:${number}`, "x");
    drafts.set("chat:0", "kept");
  }
  assert.equal(storage.length, 100);
  assert.deepEqual(["chat:0", "chat:1", "chat:149"].map((key) => drafts.get(key)), ["kept", null, "x"]);
});

test("without storage, and for a text that is too long for it, drafts are kept until the reload", () => {
  for (const storage of [null, new FakeStorage(10)]) {
    const drafts = new Drafts("ann", storage);
    drafts.set("posts", "hello");
    assert.equal(drafts.get("posts"), "hello");
    Drafts.clear(storage);
  }
  const storage = new FakeStorage();
  const drafts = new Drafts("ann", storage);
  drafts.set("posts", "short");
  drafts.set("posts", "x".repeat(30_000));
  assert.equal(drafts.get("posts").length, 30_000);
  assert.equal(storage.length, 0);
});

test("a damaged draft counts as none", () => {
  const storage = new FakeStorage();
  storage.setItem("loa:draft:ann:posts", "{");
  assert.equal(new Drafts("ann", storage).get("posts"), null);
});
