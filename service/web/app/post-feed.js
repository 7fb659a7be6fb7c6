/** The posts of everyone, newest first. */

import { el, fill, KeyedList } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { moreButton } from "./paging.js";
import { postCard } from "./post-card.js";
import { writer } from "./writer.js";

export class PostFeed {
  element;
  #api;
  #posts = [];
  #next = null;
  #list;
  #cards;
  #state = el("div", { role: "status" });
  #more = moreButton(() => this.#load());

  constructor({ api, me }) {
    this.#api = api;
    this.#list = el("section.feed", { "aria-label": t("posts.title") });
    this.#cards = new KeyedList(this.#list, { key: ({ id }) => id, create: (post) => postCard(post), update() {} });
    const write = writer({
      me,
      label: t("posts.write"),
      placeholder: t("posts.placeholder"),
      action: t("posts.publish"),
      send: (content) => this.#publish(content),
    });
    this.element = el(
      "main.page.scroll",
      { id: "content" },
      el(
        "div.inner",
        {},
        el("header", {}, el("h1", { tabindex: "-1" }, t("posts.title"))),
        el("section.card", { "aria-label": t("posts.write") }, write.element),
        this.#list,
        this.#state,
        this.#more.element,
      ),
    );
    this.#begin();
  }

  close() {
    this.#more.close();
  }

  async #begin() {
    fill(this.#state, el("p.muted", {}, t("loading")));
    try {
      await this.#load();
    } catch (error) {
      const again = el("button.button", { type: "button", onclick: () => this.#begin() }, t("try_again"));
      fill(this.#state, el("div.empty", {}, errorText(error), again));
    }
  }

  async #load() {
    const { items, next } = await this.#api.posts({ before: this.#next });
    this.#posts = [...this.#posts, ...items];
    this.#next = next;
    this.#render();
  }

  async #publish(content) {
    this.#posts = [await this.#api.createPost(content), ...this.#posts];
    this.#render();
  }

  #render() {
    this.#cards.render(this.#posts);
    this.#more.hasMore(this.#next !== null);
    const none = el(
      "div.empty",
      {},
      icon("posts"),
      el("p", {}, t("posts.none")),
      el("p.small", {}, t("posts.none.hint")),
    );
    fill(this.#state, this.#posts.length === 0 && none);
  }
}
