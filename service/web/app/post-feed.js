/** The feed of all posts, newest first. */

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
  #cards;
  #status = el("div", { role: "status" });
  #loadMore = loadMoreButton(() => this.#load());

  constructor({ api, me }) {
    this.#api = api;
    const list = el("section.feed", { "aria-label": t("posts.title") });
    this.#cards = new KeyedList(list, { key: ({ id }) => id, create: (post) => postCard(post), update() {} });
    const composer = postComposer({
      me,
      label: t("posts.write"),
      placeholder: t("posts.placeholder"),
      submitLabel: t("posts.publish"),
      send: (content) => this.#publish(content),
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
    this.#loadFirst();
  }

  close() {
    this.#loadMore.close();
  }

  async #loadFirst() {
    setChildren(this.#status, el("p.muted", {}, t("loading")));
    try {
      await this.#load();
    } catch (error) {
      const retry = el("button.button", { type: "button", onclick: () => this.#loadFirst() }, t("try_again"));
      setChildren(this.#status, el("div.empty-state", {}, errorText(error), retry));
    }
  }

  async #load() {
    const { items, next } = await this.#api.posts({ before: this.#nextCursor });
    this.#posts = [...this.#posts, ...items];
    this.#nextCursor = next;
    this.#render();
  }

  async #publish(content) {
    this.#posts = [await this.#api.createPost(content), ...this.#posts];
    this.#render();
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
    setChildren(this.#status, this.#posts.length === 0 && emptyState);
  }
}
