/** One post, and what is said below it. */

import { Comments } from "./comments.js";
import { el, fill } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { moreButton } from "./paging.js";
import { postCard } from "./post-card.js";
import { Thread } from "./thread.js";
import { writer } from "./writer.js";

export class PostPage {
  element;
  #api;
  #me;
  #id;
  #comments;
  #thread;
  #inner;
  #ready;
  #none = el("p.muted", { hidden: true }, t("comments.none"));
  #nonces = new Map();
  #more = moreButton(() => this.#load());

  constructor({ api, me }, postId) {
    this.#api = api;
    this.#me = me;
    this.#id = postId;
    this.#comments = new Comments(api, postId);
    this.#thread = new Thread(me, (content, parentId) => this.#send(content, parentId));
    this.#inner = el("div.inner", {}, el("p.muted", { role: "status" }, t("loading")));
    this.element = el("main.page.scroll", { id: "content" }, this.#inner);
    this.#ready = this.#begin();
  }

  close() {
    this.#more.close();
  }

  /** Show this comment, loading as far as it takes. */
  async show(commentId) {
    await this.#ready;
    if (await this.#comments.find(commentId)) {
      this.#render();
      this.#thread.show(commentId);
    }
  }

  /** Someone has commented, or may have: show what has come since. */
  async refresh() {
    await this.#ready;
    try {
      await this.#comments.refresh();
      this.#render();
    } catch {
      // Whoever asks has been told nothing, and the next to comment brings it along.
    }
  }

  async #begin() {
    try {
      const [post] = await Promise.all([this.#api.post(this.#id), this.#comments.load()]);
      this.#draw(post);
      this.#render();
    } catch (error) {
      const text = error.code === "not_found" ? t("post.gone") : errorText(error);
      fill(this.#inner, back(), el("div.empty", {}, icon("posts"), el("p", {}, text)));
    }
  }

  #draw(post) {
    const write = writer({
      me: this.#me,
      label: t("comments.write"),
      action: t("comments.send"),
      send: (content) => this.#send(content, null),
    });
    const heading = el("h1.unseen", { tabindex: "-1" }, t("post.title", { name: post.author.display_name }));
    fill(
      this.#inner,
      el("header", {}, back(), heading),
      postCard(post, { alone: true }),
      el(
        "section.card",
        { "aria-labelledby": "comments" },
        el("h2", { id: "comments" }, t("comments.title")),
        this.#none,
        this.#thread.element,
        this.#more.element,
        write.element,
      ),
    );
  }

  #render() {
    this.#thread.render(this.#comments.items);
    this.#none.hidden = this.#comments.items.length > 0;
    this.#more.hasMore(this.#comments.hasMore);
  }

  async #load() {
    await this.#comments.load();
    this.#render();
  }

  /** The same words to the same place keep their nonce until they have arrived: trying again makes no second comment. */
  async #send(content, parentId) {
    const what = `${parentId} ${content}`;
    if (!this.#nonces.has(what)) this.#nonces.set(what, crypto.randomUUID());
    await this.#comments.send(content, parentId, this.#nonces.get(what));
    this.#nonces.delete(what);
    this.#render();
  }
}

function back() {
  return el("a.button.plain", { href: "#/posts" }, icon("back"), t("posts.title"));
}
