/** The feed of all posts, newest first. */

import { AutoRetry } from "./auto-retry.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { postCard } from "./post-card.js";
import { postComposer } from "./post-composer.js";

export class PostFeed {
  element;
  #api;
  #posts = [];
  #nextCursor = null;
  #loaded = false;
  #cards;
  #status = el("div", { role: "status" });
  #loadMore = loadMoreButton(() => this.#load());
  #newest;

  constructor(app) {
    this.#api = app.api;
    const list = el("section.feed", { "aria-label": t("posts.title") });
    this.#cards = new KeyedList(list, {
      key: ({ id }) => id,
      create: (post) => postCard(app.api, post),
      update: (card, post) => card.showReactions(post),
    });
    const composer = postComposer({
      app,
      draftKey: "posts",
      label: t("posts.write"),
      placeholder: t("posts.placeholder"),
      submitLabel: t("posts.publish"),
      send: (content, attachments) => this.#publish(content, attachments),
    });
    this.element = el(
      "main.page.scroll",
      { id: "content" },
      el(
        "div.page-content",
        {},
        el("header", {}, el("h1", { tabindex: "-1" }, t("posts.title"))),
        el("section.card", { "aria-label": t("posts.write") }, composer.element),
        list,
        this.#status,
        this.#loadMore.element,
      ),
    );
    setChildren(this.#status, el("p.muted", {}, t("loading")));
    this.#newest = new AutoRetry(
      () => this.#loadNewest(),
      (error) => this.#showError(error),
    );
    this.#newest.run();
  }

  close() {
    this.#loadMore.close();
    this.#newest.close();
  }

  /** Load the newest posts. Call when the server can be reached again. */
  refresh() {
    this.#newest.run();
  }

  /** Put the first page in front. If it does not reach the loaded posts, those are dropped: there would be a gap. */
  async #loadNewest() {
    const { items, next } = await this.#api.posts();
    const ids = new Set(items.map(({ id }) => id));
    const older = this.#posts.filter(({ id }) => !ids.has(id));
    if (this.#loaded && older.length < this.#posts.length) {
      this.#posts = [...items, ...older];
    } else {
      this.#posts = items;
      this.#nextCursor = next;
    }
    this.#loaded = true;
    this.#render();
  }

  async #load() {
    const { items, next } = await this.#api.posts({ before: this.#nextCursor });
    const ids = new Set(this.#posts.map(({ id }) => id));
    this.#posts = [...this.#posts, ...items.filter(({ id }) => !ids.has(id))];
    this.#nextCursor = next;
    this.#render();
  }

  async #publish(content, attachments) {
    const post = await this.#api.createPost(content, attachments);
    this.#posts = [post, ...this.#posts.filter(({ id }) => id !== post.id)];
    this.#render();
  }

  /** Posts that were loaded before stay. */
  #showError(error) {
    if (this.#loaded) return;
    const retry = el("button.button", { type: "button", onclick: () => this.#newest.run() }, t("try_again"));
    setChildren(this.#status, el("div.empty-state", {}, errorText(error), retry));
  }

  #render() {
    this.#cards.render(this.#posts);
    this.#loadMore.setHasMore(this.#nextCursor !== null);
    const emptyState = el(
      "div.empty-state",
      {},
      icon("posts"),
      el("p", {}, t("posts.none")),
      el("p.small", {}, t("posts.none.hint")),
    );
    setChildren(this.#status, this.#loaded && this.#posts.length === 0 && emptyState);
  }
}
