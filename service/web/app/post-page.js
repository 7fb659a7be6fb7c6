/** The page of one post with its comments. */

import { randomId } from "/client/index.js";
import { AutoRetry } from "./auto-retry.js";
import { CommentStore } from "./comment-store.js";
import { CommentThread } from "./comment-thread.js";
import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { muteButton } from "./mute-button.js";
import { postCard } from "./post-card.js";
import { postComposer } from "./post-composer.js";

export class PostPage {
  element;
  #app;
  #postId;
  #comments;
  #thread;
  #content;
  #card;
  /** Resolves once the post is shown. */
  #loaded;
  #resolveLoaded;
  #isLoaded = false;
  #loader;
  #emptyState = el("p.muted", { hidden: true }, t("comments.none"));
  /** Nonces of comments that were not yet sent successfully, by parent and content. */
  #nonces = new Map();
  #loadMore = loadMoreButton(() => this.#loadNext());

  constructor(app, postId) {
    this.#app = app;
    this.#postId = postId;
    this.#comments = new CommentStore(app.api, postId);
    this.#thread = new CommentThread(app, (...written) => this.#send(...written));
    this.#content = el("div.page-content", {}, el("p.muted", { role: "status" }, t("loading")));
    this.element = el("main.page.scroll", { id: "content" }, this.#content);
    this.#loaded = new Promise((resolve) => (this.#resolveLoaded = resolve));
    this.#loader = new AutoRetry(
      () => this.#load(),
      (error) => this.#showError(error),
    );
    this.#loader.run();
  }

  close() {
    this.#loadMore.close();
    this.#loader.close();
  }

  /** Scroll to a comment, loading pages of comments until it is there. */
  async showComment(commentId) {
    await this.#loaded;
    if (await this.#comments.find(commentId)) {
      this.#render();
      this.#thread.scrollTo(commentId);
    }
  }

  /** Load new comments; if the post could not be loaded yet, try again. */
  refresh() {
    this.#loader.run();
  }

  async #load() {
    if (this.#isLoaded) {
      await this.#comments.refresh();
      this.#render();
      await this.#card.refreshReactions(() => this.#app.api.post(this.#postId));
      return;
    }
    const post = await this.#app.api.post(this.#postId);
    await this.#comments.load();
    this.#renderPost(post);
    this.#render();
    this.#isLoaded = true;
    this.#resolveLoaded();
  }

  /** What was loaded before stays. */
  #showError(error) {
    if (this.#isLoaded) return;
    const text = error.code === "not_found" ? t("post.not_found") : errorText(error);
    const retry = el("button.button", { type: "button", onclick: () => this.#loader.run() }, t("try_again"));
    const state = el("div.empty-state", {}, icon("posts"), el("p", {}, text), error.retryable && retry);
    setChildren(this.#content, backLink(), state);
  }

  #renderPost(post) {
    const composer = postComposer({
      app: this.#app,
      draftKey: `post:${this.#postId}`,
      label: t("comments.write"),
      submitLabel: t("comments.send"),
      send: (content, attachments) => this.#send(content, null, attachments),
    });
    this.#card = postCard(this.#app.api, post, { withCommentLink: false });
    const heading = el("h1.visually-hidden", { tabindex: "-1" }, t("post.title", { name: post.author.display_name }));
    setChildren(
      this.#content,
      el("header.post-header", {}, backLink(), heading, muteButton(this.#app.api, post)),
      this.#card,
      el(
        "section.card",
        { "aria-labelledby": "comments" },
        el("h2", { id: "comments" }, t("comments.title")),
        this.#emptyState,
        this.#thread.element,
        this.#loadMore.element,
        composer.element,
      ),
    );
  }

  #render() {
    this.#thread.render(this.#comments.items);
    this.#emptyState.hidden = this.#comments.items.length > 0;
    this.#loadMore.setHasMore(this.#comments.hasMore);
  }

  async #loadNext() {
    await this.#comments.load();
    this.#render();
  }

  /** Post a comment. A retry of the same comment uses the same nonce, so that it is not created twice. */
  async #send(content, parentId, attachments = []) {
    const key = `${parentId} ${attachments} ${content}`;
    if (!this.#nonces.has(key)) this.#nonces.set(key, randomId());
    await this.#comments.send(content, parentId, this.#nonces.get(key), attachments);
    this.#nonces.delete(key);
    this.#render();
  }
}

function backLink() {
  return el("a.button.plain", { href: "#/posts" }, icon("back"), t("posts.title"));
}
