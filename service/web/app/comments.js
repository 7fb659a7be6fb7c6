/** The comments of one post: what of them is loaded, oldest first. */

export class Comments {
  items = [];
  hasMore = false;
  #api;
  #postId;
  #page = null;
  #next = null;

  constructor(api, postId) {
    this.#api = api;
    this.#postId = postId;
  }

  /** One page more. */
  async load() {
    this.#page = this.#next;
    const { items, next } = await this.#api.comments(this.#postId, { limit: 100, after: this.#page });
    this.#add(items);
    this.#next = next;
    this.hasMore = next !== null;
  }

  /** What has come since. */
  async refresh() {
    if (this.hasMore) return;
    this.#next = this.#page;
    await this.load();
    while (this.hasMore) await this.load();
  }

  /** Load as far as the comment; whether there is one. */
  async find(id) {
    while (this.hasMore && !this.#has(id)) await this.load();
    if (!this.#has(id)) await this.refresh();
    return this.#has(id);
  }

  /** Send one; again with the same `nonce` does not make another. */
  async send(content, parentId, nonce) {
    const comment = await this.#api.comment(this.#postId, content, { parentId, nonce });
    this.#add([comment]);
  }

  #has(id) {
    return this.items.some((comment) => comment.id === id);
  }

  #add(comments) {
    this.items = [...this.items, ...comments.filter(({ id }) => !this.#has(id))];
  }
}
