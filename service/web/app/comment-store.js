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

  constructor(api, postId) {
    this.#api = api;
    this.#postId = postId;
  }

  /** Load the next page. */
  async load() {
    this.#lastCursor = this.#nextCursor;
    const { items, next } = await this.#api.comments(this.#postId, { limit: PAGE_SIZE, after: this.#lastCursor });
    this.#add(items);
    this.#nextCursor = next;
    this.hasMore = next !== null;
  }

  /** Load comments that were added after the last page, unless there are older ones to load first. */
  async refresh() {
    if (this.hasMore) return;
    this.#nextCursor = this.#lastCursor;
    await this.load();
    while (this.hasMore) await this.load();
  }

  /** Load pages until the comment is among them. Resolves to whether it exists. */
  async find(id) {
    while (this.hasMore && !this.#has(id)) await this.load();
    if (!this.#has(id)) await this.refresh();
    return this.#has(id);
  }

  /** Post a comment. Sending it again with the same `nonce` does not create another. */
  async send(content, parentId, nonce, attachments = []) {
    const comment = await this.#api.comment(this.#postId, content, { parentId, nonce, attachments });
    this.#add([comment]);
  }

  #has(id) {
    return this.items.some((comment) => comment.id === id);
  }

  #add(comments) {
    this.items = [...this.items, ...comments.filter(({ id }) => !this.#has(id))];
  }
}
