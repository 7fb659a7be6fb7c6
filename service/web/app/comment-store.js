/** The loaded comments of one post, oldest first. */

const PAGE_SIZE = 100;

export class CommentStore {
  items = [];
  hasMore = false;
  #api;
  #postId;
  /** The cursors of the page loaded last and of the next one. */
  #lastCursor = null;
  #nextCursor = null;
  /** The ids of the comments before the page loaded last. */
  #earlier = new Set();

  constructor(api, postId) {
    this.#api = api;
    this.#postId = postId;
  }

  /** Load the next page, and return its comments; `add(comment)` is called for each new one. */
  async load(add = (comment) => this.put(comment)) {
    if (this.#nextCursor !== this.#lastCursor) this.#earlier = new Set(this.items.map(({ id }) => id));
    this.#lastCursor = this.#nextCursor;
    const { items, next } = await this.#api.comments(this.#postId, { limit: PAGE_SIZE, after: this.#lastCursor });
    for (const comment of items) {
      if (this.has(comment.id)) this.put(comment);
      else add(comment);
    }
    this.#nextCursor = next;
    this.hasMore = next !== null;
    return items;
  }

  /**
   * Load the last page again and comments that were added after it, unless there are older ones to load first. `add`: as
   * in `load`. What is missing in it has been deleted.
   */
  async refresh(add) {
    if (this.hasMore) return;
    const missing = new Set(this.items.map(({ id }) => id).filter((id) => !this.#earlier.has(id)));
    this.#nextCursor = this.#lastCursor;
    do for (const { id } of await this.load(add)) missing.delete(id);
    while (this.hasMore);
    this.items = this.items.filter(({ id }) => !missing.has(id));
  }

  /**
   * Load again all that has been loaded, and comments that were added after it: after an interruption, an event may have
   * been missed about any of them. `add`: as in `load`. What is missing has been deleted.
   */
  async refreshAll(add) {
    const before = this.items.map(({ id }) => id);
    const found = new Set();
    // Of a page that has not been loaded whole before, nothing is new.
    const addFound = this.hasMore ? undefined : add;
    this.#nextCursor = null;
    let earlier;
    do {
      earlier = new Set(found);
      for (const { id } of await this.load(addFound)) found.add(id);
    } while (this.hasMore && found.size < before.length);
    this.#earlier = earlier;
    // What is after the last page, the user has written since.
    const end = this.hasMore ? before.findLastIndex((id) => found.has(id)) : before.length;
    const missing = new Set(before.slice(0, end + 1).filter((id) => !found.has(id)));
    this.items = this.items.filter(({ id }) => !missing.has(id));
  }

  /** Load pages until the comment is among them. Resolves to whether it exists. */
  async find(id) {
    while (this.hasMore && !this.has(id)) await this.load();
    if (!this.has(id)) await this.refresh();
    return this.has(id);
  }

  /** Post a comment. Sending it again with the same `nonce` does not create another. */
  async send(content, parentId, nonce, attachments = []) {
    this.put(await this.#api.comment(this.#postId, content, { parentId, nonce, attachments }));
  }

  has(id) {
    return this.items.some((comment) => comment.id === id);
  }

  /**
   * Add a comment, or replace an older state of it. What is not in `comment`, because it came as an event, stays. A
   * deleted one stays while others reply to it, and takes deleted ones that it replies to along.
   */
  put(comment) {
    const index = this.items.findIndex(({ id }) => id === comment.id);
    if (index < 0) {
      this.items = [...this.items, { my_reactions: [], ...comment }];
    } else {
      const items = [...this.items];
      items[index] = { ...items[index], ...comment };
      this.items = items;
    }
    if (comment.deleted) this.#dropIfAlone(comment.id);
  }

  #dropIfAlone(id) {
    const comment = this.items.find((each) => each.id === id);
    if (!comment?.deleted || this.hasMore || this.items.some(({ parent_id }) => parent_id === id)) return;
    this.items = this.items.filter((each) => each !== comment);
    this.#dropIfAlone(comment.parent_id);
  }
}
