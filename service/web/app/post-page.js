/** The page of one post with its comments. */

import { randomId } from "/client/index.js";
import { AutoRetry } from "./auto-retry.js";
import { CommentStore } from "./comment-store.js";
import { CommentThread } from "./comment-thread.js";
import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { MuteButton } from "./mute-button.js";
import { postCard } from "./post-card.js";
import { newsFold } from "./news-fold.js";
import { postComposer } from "./post-composer.js";
import { replaceRoute } from "./router.js";

/** Milliseconds until comments are loaded that the post's count has, but of which no event has arrived. */
const MISSING_DELAY = 2000;

export class PostPage {
  element;
  #app;
  #postId;
  #onChanged;
  #comments;
  #thread;
  #content;
  #card;
  #composer = null;
  #muteButton = null;
  /** Resolves once the post is shown. */
  #loaded;
  #resolveLoaded;
  #isLoaded = false;
  /** Whether events may have been missed about anything that is loaded. */
  #isOld = false;
  #loader;
  #emptyState = el("p.muted", { hidden: true }, t("comments.none"));
  /** Comments that have arrived out of view, and wait behind the fold. */
  #folded = [];
  #fold = newsFold("comments.new", () => this.#unfold());
  #post = null;
  /** How many comments the counts say that there are more than have arrived: too many come at once for all. */
  #missing = 0;
  #missingTimer;
  #unsubscribe;
  /** Nonces of comments that were not yet sent successfully, by parent and content. */
  #nonces = new Map();
  #loadMore = loadMoreButton(() => this.#loadNext());

  /** `onChanged(post)` is called with the post when it is loaded or has changed. */
  constructor(app, postId, onChanged) {
    this.#app = app;
    this.#postId = postId;
    this.#onChanged = onChanged;
    this.#comments = new CommentStore(app.api, postId);
    this.#thread = new CommentThread(
      app,
      (...written) => this.#send(...written),
      (comment) => this.#put(comment),
    );
    app.socket.watchPosts([postId]);
    this.#unsubscribe = app.socket.subscribe((event) => this.#onEvent(event));
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
    this.#unsubscribe();
    this.#composer?.close();
    this.#thread.close();
    this.#muteButton?.close();
    this.#app.socket.watchPosts([]);
    clearTimeout(this.#missingTimer);
    this.#loadMore.close();
    this.#loader.close();
  }

  /** Scroll to a comment, loading pages of comments until it is there. */
  async showComment(commentId) {
    await this.#loaded;
    this.#unfold({ scroll: false });
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
      await this.#card.refresh(() => this.#loadPost());
      this.#onChanged(this.#post);
      const isOld = this.#isOld;
      this.#isOld = false;
      try {
        const add = (comment) => this.#arrive(comment);
        await (isOld ? this.#comments.refreshAll(add) : this.#comments.refresh(add));
      } catch (error) {
        this.#isOld ||= isOld;
        throw error;
      }
      this.#render();
      return;
    }
    const post = await this.#app.api.post(this.#postId);
    await this.#comments.load();
    this.#renderPost(post);
    this.#render();
    this.#isLoaded = true;
    this.#resolveLoaded();
    this.#onChanged(post);
  }

  /** Resolves to the post; to the one that is known if it changes meanwhile: the response may be older. */
  async #loadPost() {
    const known = this.#post;
    const showMuted = this.#muteButton.refresh();
    const post = await this.#app.api.post(this.#postId);
    showMuted(post);
    if (this.#post === known) this.#post = post;
    return this.#post;
  }

  /** What was loaded before stays. */
  #showError(error) {
    if (this.#isLoaded && error.code !== "not_found") return;
    const text = error.code === "not_found" ? t("post.not_found") : errorText(error);
    const retry = el("button.button", { type: "button", onclick: () => this.#loader.run() }, t("try_again"));
    const state = el("div.empty-state", {}, icon("posts"), el("p", {}, text), error.retryable && retry);
    setChildren(this.#content, backLink(), state);
  }

  #renderPost(post) {
    this.#composer = postComposer({
      app: this.#app,
      draftKey: `post:${this.#postId}`,
      label: t("comments.write"),
      submitLabel: t("comments.send"),
      send: (content, attachments) => this.#send(content, null, attachments),
    });
    this.#post = post;
    this.#muteButton = new MuteButton(this.#app, post);
    this.#card = postCard(this.#app, post, {
      withCommentLink: false,
      onChanged: (changed) => this.#showPost(changed),
      onDeleted: () => {
        this.#onChanged({ id: this.#postId, deleted: true });
        replaceRoute("#/posts");
      },
    });
    const heading = el("h1.visually-hidden", { tabindex: "-1" }, t("post.title", { name: post.author.display_name }));
    setChildren(
      this.#content,
      el("header.post-header", {}, backLink(), heading, this.#muteButton.element),
      this.#card,
      el(
        "section.card",
        { "aria-labelledby": "comments" },
        el("h2", { id: "comments" }, t("comments.title")),
        this.#emptyState,
        this.#thread.element,
        this.#loadMore.element,
        this.#fold.element,
        this.#composer.element,
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

  #onEvent(event) {
    const { type, data } = event;
    // Also after a reconnect: what was loaded before may be old.
    if (type === "watching" && data.post_ids.includes(this.#postId)) {
      this.#isOld = true;
      this.#loader.run();
    }
    if (!this.#isLoaded) return;
    if (type === "post_updated" && data.id === this.#postId) this.#onPost(data);
    if (event.post_id !== this.#postId) return;
    if (type === "comment_updated") this.#onUpdate(data);
    if (type === "comment_created") this.#onComment(data);
  }

  #onPost(post) {
    if (post.deleted) {
      this.#onChanged(post);
      this.#showGone();
      return;
    }
    this.#missing += Math.max(0, post.comment_count - this.#post.comment_count);
    if (this.#missing) this.#loadMissingLater();
    this.#showPost(post);
  }

  #showPost(changed) {
    this.#post = { ...this.#post, ...changed };
    this.#card.show(this.#post);
    this.#onChanged(this.#post);
  }

  /** The events of the comments that are counted follow at once, unless they are too many. */
  #loadMissingLater() {
    if (this.#missingTimer) return;
    this.#missingTimer = setTimeout(() => {
      this.#missingTimer = undefined;
      if (this.#missing > 0) this.refresh();
      this.#missing = 0;
    }, MISSING_DELAY);
  }

  #onComment(comment) {
    this.#missing -= 1;
    // Those of the pages that are not loaded yet are in them.
    if (!this.#comments.hasMore) this.#arrive(comment);
  }

  #onUpdate(comment) {
    if (this.#comments.has(comment.id)) this.#put(comment);
    else this.#setFolded(this.#folded.map((each) => (each.id === comment.id ? { ...each, ...comment } : each)));
  }

  /** Show a comment that may be new, or put it behind the fold. */
  #arrive(comment) {
    if (this.#comments.has(comment.id) || this.#folded.some(({ id }) => id === comment.id)) return;
    if (this.#isInView(comment)) {
      this.#put(comment);
    } else {
      this.#setFolded([...this.#folded, comment]);
    }
  }

  /** Whether the place of a new comment is in view, so that adding it does not move what the user reads. */
  #isInView({ parent_id: parentId }) {
    const thread = parentId && this.#thread.threadOf(parentId);
    const bottom = (thread ?? this.#thread.element).getBoundingClientRect().bottom;
    const view = this.element.getBoundingClientRect();
    return bottom >= view.top && bottom <= view.bottom;
  }

  /** A deleted one is no news, but others may reply to it. */
  #setFolded(comments) {
    this.#folded = comments;
    this.#fold.setCount(comments.filter(({ deleted }) => !deleted).length);
  }

  /** Show what waits behind the fold. */
  #unfold({ scroll = true } = {}) {
    const [first] = this.#folded;
    for (const comment of this.#folded) this.#comments.put(comment);
    this.#setFolded([]);
    this.#render();
    if (scroll && first) this.#thread.scrollTo(first.id);
  }

  #put(comment) {
    const known = this.#comments.items.find(({ id }) => id === comment.id);
    this.#comments.put({ ...known, ...comment });
    this.#render();
  }

  #showGone() {
    const state = el("div.empty-state", {}, icon("posts"), el("p", { role: "status" }, t("post.not_found")));
    setChildren(this.#content, backLink(), state);
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
