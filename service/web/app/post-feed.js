/** The feed of all posts, newest first. */

import { AutoRetry } from "./auto-retry.js";
import { el, KeyedList, setChildren } from "./dom.js";
import { throttleToFrame } from "./frame-throttle.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { newsFold } from "./news-fold.js";
import { postCard } from "./post-card.js";
import { postComposer } from "./post-composer.js";
import { firstVisible } from "./scroll-anchor.js";

/** Pixels from the top within which new posts are shown at once. */
const TOP = 40;
/** What one connection can watch: the feed, and posts. */
const MAX_WATCHED = 50;
/** Posts above the first one in view that are watched, too, and how far the view moves before others are. */
const WATCHED_ABOVE = 17;
const WATCH_STEP = 15;
/** Posts behind the fold that are watched: all of a few, and never instead of those in view. */
const WATCHED_FOLDED = 15;
/** Pages to load until they reach the posts that were loaded before. */
const MAX_PAGES = 10;

export class PostFeed {
  element;
  #api;
  #posts = [];
  #nextCursor = null;
  /** The cursor of the page that a post is on, by its id, unless it is the first page. */
  #pageOf = new Map();
  #loaded = false;
  #cards;
  #list;
  #composer;
  #socket;
  #me;
  #unsubscribe = () => {};
  #isPaused = false;
  #scrollTop = 0;
  /** What is watched: posts by their ids, and "feed". */
  #watched = new Set();
  /** Of what is watched, that which may have changed before it was. */
  #stale = new Set();
  /** The index of the first post in view when the watched ones were chosen. */
  #watchedAt = 0;
  /** The ids of posts that were created, changed or deleted since pages were requested: a response may be older. */
  #changed = new Set();
  /** The ids of the user's own posts since the newest were loaded: what lies between them and the others is not known. */
  #published = new Set();
  /** New posts that wait behind the fold. */
  #folded = [];
  #fold = newsFold("posts.new", () => this.#unfold());
  #status = el("div", { role: "status" });
  #loadMore = loadMoreButton(() => this.#load());
  #loader;

  constructor(app) {
    this.#api = app.api;
    this.#socket = app.socket;
    this.#me = app.me;
    this.#list = el("section.feed", { "aria-label": t("posts.title") });
    this.#cards = new KeyedList(this.#list, {
      key: ({ id }) => id,
      create: (post) =>
        postCard(app, post, {
          onChanged: (changed) => this.#update(changed),
          onDeleted: () => this.#remove(post.id),
        }),
      update: (card, post) => card.show(post),
    });
    this.#composer = postComposer({
      app,
      draftKey: "posts",
      label: t("posts.write"),
      placeholder: t("posts.placeholder"),
      submitLabel: t("posts.publish"),
      send: (content, attachments) => this.#publish(content, attachments),
    });
    this.element = el(
      "main.page.scroll",
      { id: "content", onscroll: throttleToFrame(() => this.#onScroll()) },
      el(
        "div.page-content",
        {},
        el("header", {}, el("h1", { tabindex: "-1" }, t("posts.title"))),
        el("section.card", { "aria-label": t("posts.write") }, this.#composer.element),
        this.#fold.element,
        this.#list,
        this.#status,
        this.#loadMore.element,
      ),
    );
    setChildren(this.#status, el("p.muted", {}, t("loading")));
    this.#loader = new AutoRetry(
      () => this.#loadStale(),
      (error) => this.#showError(error),
    );
    this.#loader.run();
    this.resume();
  }

  /** Get the changes again, after `pause`. */
  resume() {
    this.#isPaused = false;
    this.#unsubscribe = this.#socket.subscribe((event) => this.#onEvent(event));
    this.#watch();
    this.element.scrollTop = this.#scrollTop;
  }

  /** Get no changes while another page is shown, and keep the place. */
  pause() {
    this.#isPaused = true;
    this.#scrollTop = this.element.scrollTop;
    this.#unsubscribe();
    this.#unsubscribe = () => {};
    this.#watched = new Set();
    this.#socket.watchPosts([]);
  }

  close() {
    this.#unsubscribe();
    this.#composer.close();
    this.#loadMore.close();
    this.#loader.close();
  }

  /** Take a post as another page has shown it. */
  update(post) {
    if (post.deleted) this.#remove(post.id);
    else this.#update(post);
  }

  /** Load the newest posts. Call when the server can be reached again. */
  refresh() {
    this.#stale.add("feed");
    this.#loader.run();
  }

  /** Load the pages again on which something may be old. */
  async #loadStale() {
    const stale = this.#stale;
    this.#stale = new Set();
    this.#changed.clear();
    try {
      if (!this.#loaded || [...stale].some((id) => !this.#pageOf.has(id))) await this.#loadNewest();
      const cursors = new Set([...stale].map((id) => this.#pageOf.get(id)));
      for (const before of cursors) if (before) await this.#reloadPage(before);
    } catch (error) {
      for (const id of stale) this.#stale.add(id);
      throw error;
    }
  }

  /**
   * Load the first page; if the user is somewhere below, and has a place to lose, also those behind it until they reach the
   * loaded posts. Posts that are not reached are dropped: there would be a gap. New posts wait behind the fold if they would
   * move what the user reads.
   */
  async #loadNewest() {
    const { items, next } = await this.#newestPages();
    const loaded = new Map(items.map((post) => [post.id, post]));
    const known = this.#posts.filter(({ id }) => loaded.has(id) && !this.#published.has(id));
    if (this.#loaded && known.length) {
      const last = items.indexOf(loaded.get(known.at(-1).id));
      const since = items[last].created_at;
      // What is missing in the first page although it is newer than its end has been deleted.
      const current = (posts) =>
        posts
          .filter(({ id, created_at: at }) => loaded.has(id) || at < since || this.#changed.has(id))
          .map((post) => (this.#changed.has(post.id) ? post : (loaded.get(post.id) ?? post)));
      this.#posts = current(this.#posts);
      this.#folded = current(this.#folded);
      // New posts have moved others to the next page.
      for (const { id } of this.#posts) if (!loaded.has(id) && !this.#pageOf.has(id)) this.#pageOf.set(id, next);
      for (const post of items.slice(0, last).reverse()) if (!this.#changed.has(post.id)) this.#onPost(post);
      // One that was created meanwhile is newer than those.
      this.#posts = newestFirst(this.#posts);
      this.#folded = newestFirst(this.#folded);
    } else {
      const newest = items[0]?.created_at ?? "";
      const arrived = ({ id, created_at: at }) => this.#changed.has(id) && at > newest;
      this.#posts = [...this.#folded.filter(arrived), ...this.#posts.filter(arrived), ...items];
      this.#nextCursor = next;
      for (const id of this.#pageOf.keys()) if (!loaded.has(id)) this.#pageOf.delete(id);
      this.#folded = [];
      this.#scrollTop = this.element.scrollTop = 0;
    }
    this.#loaded = true;
    this.#published.clear();
    this.#render();
  }

  async #newestPages() {
    const ids = new Set(this.#posts.map(({ id }) => id).filter((id) => !this.#published.has(id)));
    let { items, next } = await this.#api.posts();
    for (let count = 1; count < MAX_PAGES && next && !this.#isAtTop; count += 1) {
      if (items.some(({ id }) => ids.has(id))) break;
      const before = next;
      const page = await this.#api.posts({ before });
      for (const { id } of page.items) this.#pageOf.set(id, before);
      items = [...items, ...page.items];
      next = page.next;
    }
    return { items, next };
  }

  /** Load a later page again. What is missing in it has been deleted. */
  async #reloadPage(before) {
    const { items } = await this.#api.posts({ before });
    const loaded = new Map(items.map((post) => [post.id, post]));
    const end = items.at(-1)?.created_at ?? "";
    this.#posts = this.#posts
      .filter(
        ({ id, created_at: at }) =>
          this.#pageOf.get(id) !== before || loaded.has(id) || at < end || this.#changed.has(id),
      )
      .map((post) => (this.#changed.has(post.id) ? post : (loaded.get(post.id) ?? post)));
    this.#render();
  }

  #onEvent({ type, data }) {
    // A new connection has missed changes.
    if (type === "hello") this.#stale = new Set(this.#watched);
    if (type === "watching" && data.post_ids.includes("feed") && this.#loaded) this.#loader.run();
    if (type === "post_created") {
      this.#changed.add(data.id);
      this.#onPost({ my_reactions: [], muted: false, ...data });
      this.#render();
    }
    if (type === "post_updated") this.update(data);
  }

  /** A new post: shown at once at the top of the page, otherwise behind the fold. */
  #onPost(post) {
    if ([...this.#posts, ...this.#folded].some(({ id }) => id === post.id)) return;
    if (this.#isAtTop || post.author.id === this.#me.id) {
      this.#posts = [post, ...this.#posts];
    } else {
      this.#folded.unshift(post);
    }
  }

  /** While another page is shown, the element has no place of its own. */
  get #isAtTop() {
    return (this.#isPaused ? this.#scrollTop : this.element.scrollTop) < TOP;
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
    this.#changed.add(id);
    this.#posts = this.#posts.filter((post) => post.id !== id);
    this.#folded = this.#folded.filter((post) => post.id !== id);
    this.#render();
  }

  #onScroll() {
    if (this.#isPaused || Math.abs(firstVisible(this.element, this.#list) - this.#watchedAt) < WATCH_STEP) return;
    this.#watchedAt = firstVisible(this.element, this.#list);
    this.#watch();
  }

  /** Watch the feed, and as many posts as can be watched: those in view and around it. Another page has its own. */
  #watch() {
    if (this.#isPaused) return;
    const shown = this.#posts.slice(Math.max(0, this.#watchedAt - WATCHED_ABOVE));
    const posts = [...this.#folded.slice(0, WATCHED_FOLDED), ...shown];
    const watched = new Set(["feed", ...posts.slice(0, MAX_WATCHED - 1).map(({ id }) => id)]);
    const added = [...watched].filter((id) => !this.#watched.has(id));
    if (!added.length && watched.size === this.#watched.size) return;
    for (const id of added) this.#stale.add(id);
    this.#watched = watched;
    this.#socket.watchPosts([...watched]);
  }

  async #load() {
    const before = this.#nextCursor;
    const { items, next } = await this.#api.posts({ before });
    const ids = new Set(this.#posts.map(({ id }) => id));
    const added = items.filter(({ id }) => !ids.has(id));
    for (const { id } of added) this.#pageOf.set(id, before);
    this.#posts = [...this.#posts, ...added];
    this.#nextCursor = next;
    this.#render();
  }

  async #publish(content, attachments) {
    const post = await this.#api.createPost(content, attachments);
    this.#changed.add(post.id);
    this.#published.add(post.id);
    this.#posts = [post, ...this.#posts.filter(({ id }) => id !== post.id)];
    this.#render();
  }

  /** Posts that were loaded before stay. */
  #showError(error) {
    if (this.#loaded) return;
    const retry = el("button.button", { type: "button", onclick: () => this.#loader.run() }, t("try_again"));
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

function newestFirst(posts) {
  return [...posts].sort((a, b) => b.created_at.localeCompare(a.created_at));
}
