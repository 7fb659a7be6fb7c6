/** Who has read a message, from pages of participants. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Readers } from "../../../service/web/app/readers.js";

const MESSAGE = { id: "m", conversation_id: "c", sender_id: "0", seq: 5 };

/** A group of this size, of which every second has read everything. */
function groupOf(size) {
  const requests = [];
  const api = {
    async participants(id, { after, limit }) {
      requests.push(after);
      const first = after ?? 0;
      const items = Array.from({ length: Math.min(limit, size - first) }, (_, index) => ({
        user: { id: String(first + index) },
        last_read_seq: (first + index) % 2 ? 9 : 4,
      }));
      return { items, next: first + limit < size ? first + limit : null };
    },
  };
  return { api, requests };
}

test("a group of a thousand is read a page at a time", async () => {
  const { api, requests } = groupOf(1000);
  const readers = new Readers(api, MESSAGE);
  await readers.load({});
  assert.deepEqual([readers.items.length, readers.checked, readers.hasMore], [50, 100, true]);
  while (readers.hasMore) await readers.load({});
  assert.deepEqual([readers.items.length, readers.checked, requests.length], [500, 1000, 10]);
});

test("a later read mark counts, and the sender does not", async () => {
  const readers = new Readers(groupOf(4).api, MESSAGE);
  await readers.load({ 0: 5, 2: 4 });
  assert.deepEqual(readers.items.map(({ id }) => id), ["1", "3"]);
  readers.update({ 0: 5, 2: 5 });
  assert.deepEqual(readers.items.map(({ id }) => id), ["1", "2", "3"]);
});
