/** The loaded comments of a post, as the server's pages have them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { CommentStore } from "../../../service/web/app/comment-store.js";

const PAGE_SIZE = 3;

/** Pages of `comments`, whose ids are numbers in ascending order. */
function apiOf(comments) {
  return {
    async comments(postId, { after }) {
      const rest = comments.filter(({ id }) => id > (after ?? 0));
      const items = rest.slice(0, PAGE_SIZE);
      return { items, next: rest.length > PAGE_SIZE ? items.at(-1).id : null };
    },
  };
}

const ids = (store) => store.items.map(({ id }) => id);

test("a refresh drops comments of the last page that were deleted, and adds new ones", async () => {
  const comments = [1, 2, 3, 4, 5].map((id) => ({ id, parent_id: null }));
  const store = new CommentStore(apiOf(comments), "p");
  await store.load();
  await store.load();
  assert.deepEqual(ids(store), [1, 2, 3, 4, 5]);
  comments.splice(3, 1);
  for (const id of [6, 7, 8, 9]) comments.push({ id, parent_id: null });
  const arrived = [];
  await store.refresh((comment) => arrived.push(comment.id));
  assert.deepEqual([ids(store), arrived], [[1, 2, 3, 5], [6, 7, 8, 9]]);
});

test("after everything was loaded again, a refresh still drops what was deleted of the last page", async () => {
  const comments = [1, 2, 3, 4, 5].map((id) => ({ id, parent_id: null }));
  const store = new CommentStore(apiOf(comments), "p");
  await store.load();
  await store.load();
  await store.refreshAll(() => assert.fail());
  comments.splice(3, 1);
  await store.refresh(() => assert.fail());
  assert.deepEqual(ids(store), [1, 2, 3, 5]);
});

test("what arrives during a refresh stays", async () => {
  const comments = [{ id: 1, parent_id: null }];
  const store = new CommentStore(apiOf(comments), "p");
  await store.load();
  const refreshed = store.refresh();
  store.put({ id: 2, parent_id: null });
  await refreshed;
  assert.deepEqual(ids(store), [1, 2]);
});

test("after an interruption, all loaded pages are loaded again: edits, deletions and new comments", async () => {
  const comments = [1, 2, 3, 4, 5, 6, 7].map((id) => ({ id, parent_id: null, content: "old" }));
  const store = new CommentStore(apiOf(comments), "p");
  while (store.items.length < 7) await store.load();
  comments[0] = { ...comments[0], content: "new" };
  comments.splice(1, 1);
  comments.push({ id: 8, parent_id: null });
  const arrived = [];
  await store.refreshAll((comment) => arrived.push(comment.id));
  assert.deepEqual([ids(store), store.items[0].content, arrived], [[1, 3, 4, 5, 6, 7], "new", [8]]);
});

test("it loads no more pages than were loaded, and keeps what the user has written after them", async () => {
  const comments = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => ({ id, parent_id: null }));
  const store = new CommentStore(apiOf(comments), "p");
  await store.load();
  store.put(comments.at(-1));
  comments.splice(0, 1);
  await store.refreshAll(() => assert.fail());
  assert.deepEqual([ids(store), store.hasMore], [[2, 3, 9, 4, 5, 6, 7], true]);
  await store.load();
  assert.deepEqual([ids(store).sort(), store.hasMore], [[2, 3, 4, 5, 6, 7, 8, 9], false]);
});
