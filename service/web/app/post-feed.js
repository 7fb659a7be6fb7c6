/** The feed of all posts, newest first. */

import { AutoRetry } from "./auto-retry.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { newsFold } from "./news-fold.js";
import { postCard } from "./post-card.js";
import { postComposer } from "./post-composer.js";

/** Pixels from the top within which new posts are shown at once. */
const TOP = 40;
/** What one connection can watch. */
const MAX_WATCHED_POSTS = 50;

export class PostFeed {
  element;
  #api;
  #posts = [];
  #nextCursor = null;
  #loaded = false;
  #cards;
  #socket;
  #me;
  #unsubscribe = () => {};
  #scrollTop = 0;
  #watched = "";
  /** The ids of posts that have changed since the first page was requested: its response may be older. */
  #changed = new Set();
  /** New posts that wait behind the fold. */
  #folded = [];
  #fold = newsFold("posts.new", () => this.#unfold());
  #status = el("div", { role: "status" });
  #loadMore = loadMoreButton(() => this.#load());
  #newest;

  constructor(app) {
    this.#api = app.api;
    this.#socket = app.socket;
    this.#me = app.me;
    const list = el("section.feed", { "aria-label": t("posts.title") });
    this.#cards = new KeyedList(list, {
      key: ({ id }) => id,
      create: (post) => 
        postCard(app, post, {
          onChanged: (changed) => this.#update(changed),
          onDeleted: () => this.#remove(post.id),
        }),
      update: (card, post) => card.show(post),
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
        this.#fold.element,
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
    this.resume();
  }

  /** Get the changes again, after `pause`. */
  resume() {
    this.#unsubscribe = this.#socket.subscribe((event) => this.#onEvent(event));
    this.#watch();
    this.element.scrollTop = this.#scrollTop;
  }

  /** Get no changes while another page is shown, and keep the place. */
  pause() {
    this.#scrollTop = this.element.scrollTop;
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    this.#watched = "";
    this.#socket.watchPosts([]);
  }

  close() {
    this.#unsubscribe();
    this.#loadMore.close();
    this.#newest.close();
  }

  /** Load the newest posts. Call when the server can be reached again. */
  refresh() {
    this.#newest.run();
  }

  /**
   * Load the first page. If it does not reach the loaded posts, those are dropped: there would be a gap. New posts wait
   * behind the fold if they would move what the user reads.
   */
  async #loadNewest() {
    this.#changed.clear();
    const { items, next } = await this.#api.posts();
    const loaded = new Map(items.map((post) => [post.id, post]));
    const known = this.#posts.filter(({ id }) => loaded.has(id));
    if (this.#loaded && known.length) {
      const last = items.indexOf(loaded.get(known.at(-1).id));
      const since = items[last].created_at;
      // What is missing in the first page although it is newer than its end has been deleted.
      const current = (posts) =>
        posts
          .filter(({ id, created_at: createdAt }) => loaded.has(id) || createdAt < since)
          .map((post) => (this.#changed.has(post.id) ? post : (loaded.get(post.id) ?? post)));
      this.#posts = current(this.#posts);
      this.#folded = current(this.#folded);
      for (const post of items.slice(0, last).reverse()) this.#onPost(post);
    } else {
      this.#posts = items;
      this.#nextCursor = next;
      this.#folded = [];
    }
    this.#loaded = true;
    this.#render();
  }

  #onEvent({ type, data }) {
    if (type === "watching" && data.post_ids.includes("feed") && this.#loaded) this.#newest.run();
    if (type === "post_created") {
      this.#onPost({ my_reactions: [], muted: false, ...data });
      this.#render();
    }
    if (type === "post_updated" && data.deleted) this.#remove(data.id);
    else if (type === "post_updated") this.#update(data);
  }

  /** A new post: shown at once at the top of the page, otherwise behind the fold. */
  #onPost(post) {
    if ([...this.#posts, ...this.#folded].some(({ id }) => id === post.id)) return;
    if (this.element.scrollTop < TOP || post.author.id === this.#me.id) {
      this.#posts = [post, ...this.#posts];
    } else {
      this.#folded.unshift(post);
    }
  }

  #unfold() {
    this.#posts = [...this.#folded, ...this.#posts];
    this.#folded = [];
    this.#render();
    this.element.scrollTop = 0;
    this.#cards.element(this.#posts[0].id).querySelector("a, button")?.focus({ preventScroll: true });
  }

  #update(changed) {
    this.#changed.add(changed.id);
    this.#posts = this.#posts.map((post) => (post.id === changed.id ? { ...post, ...changed } : post));
    this.#folded = this.#folded.map((post) => (post.id === changed.id ? { ...post, ...changed } : post));
    this.#render();
  }

  #remove(id) {
    this.#posts = this.#posts.filter((post) => post.id !== id);
    this.#folded = this.#folded.filter((post) => post.id !== id);
    this.#render();
  }

  /** Watch the feed, and as many of the newest posts as can be watched. */
  #watch() {
    const watched = ["feed", ...[...this.#folded, ...this.#posts].slice(0, MAX_WATCHED_POSTS - 1).map(({ id }) => id)];
    if (watched.join() === this.#watched) return;
    this.#watched = watched.join();
    this.#socket.watchPosts(watched);
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
    this.#watch();
    this.#cards.render(this.#posts);
    this.#fold.setCount(this.#folded.length);
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
