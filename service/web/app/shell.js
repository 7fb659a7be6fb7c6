/** The app of somebody signed in: the rail, and the place that the address names. */

import { openAccount } from "./account.js";
import { Banner } from "./banner.js";
import { Bell } from "./bell.js";
import { Chats } from "./chats.js";
import { el, fill } from "./dom.js";
import { oncePerFrame } from "./frame.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { PostFeed } from "./post-feed.js";
import { PostPage } from "./post-page.js";
import { Rail } from "./rail.js";
import { currentRoute } from "./route.js";
import { showToast, toastRegion } from "./toast.js";

const BEGINNINGS = new Set(["hello", "reset"]);

export class Shell {
  element;
  #app;
  #rail;
  #bell;
  #banner = new Banner();
  #chats;
  #place = el("div.place");
  #view = null;
  #shown = {};
  #announcement;
  #ends = new AbortController();

  /** `loa`: the client; `me`: the profile of who is signed in. What they have begun to write is theirs alone. */
  constructor(loa, me) {
    const app = { ...loa, me, drafts: new Map() };
    this.#app = app;
    this.#bell = new Bell(app.store);
    this.#rail = new Rail(me, this.#bell.panel, () => openAccount(app, (profile) => this.#become(profile)));
    this.#chats = new Chats(app);
    const skip = el("a.skip.unseen", { href: "#content", onclick: (event) => this.#skip(event) }, t("app.skip"));
    this.element = el(
      "div.shell",
      {},
      skip,
      this.#rail.element,
      this.#banner.element,
      this.#place,
      this.#bell.panel,
      toastRegion(),
    );
    const { signal } = this.#ends;
    addEventListener("hashchange", () => this.#go(), { signal });
    const leave = [
      app.store.subscribe(() => this.#title()),
      app.store.subscribe(oncePerFrame(() => this.#draw())),
      app.stream.subscribe((event) => this.#onNotification(event)),
    ];
    signal.addEventListener("abort", () => leave.forEach((unsubscribe) => unsubscribe()));
    this.#go();
    // What the session remembers may be older than a change made elsewhere.
    app.api.me().then(
      (profile) => this.#become(profile),
      () => {},
    );
  }

  close() {
    this.#ends.abort();
    this.#view?.close?.();
    this.#chats.close();
    this.#bell.close();
    this.#banner.close();
    document.title = "Loa";
  }

  #become(profile) {
    this.#app.me = profile;
    this.#rail.show(profile);
  }

  #go() {
    const route = currentRoute();
    const same = route.place === this.#shown.place && route.postId === this.#shown.postId;
    if (!same) this.#enter(route);
    this.#shown = route;
    if (route.commentId) this.#view.show(route.commentId);
    this.#chats.open(route.conversationId ?? null);
    this.element.classList.toggle("in-conversation", Boolean(route.conversationId));
    this.#draw();
  }

  #enter(route) {
    this.#view?.close?.();
    this.#view = null;
    if (route.place === "posts")
      this.#view = route.postId ? new PostPage(this.#app, route.postId) : new PostFeed(this.#app);
    fill(this.#place, this.#view?.element ?? this.#chats.element);
    // A reader of screens goes on from the new heading, not from a link that is gone.
    if (this.#shown.place) this.#place.querySelector("h1[tabindex]")?.focus();
  }

  #draw() {
    const state = this.#app.store.getSnapshot();
    this.#rail.render(this.#shown.place, unreadMessages(state), state.notifications.unreadCount);
    this.#bell.render(state.notifications);
    this.#banner.render(state.chat);
    if (this.#shown.place === "chats") this.#chats.render(state);
    this.#announce(state.announcement);
    this.#title();
  }

  /** What the badges say together, for who is on another tab. */
  #title() {
    const state = this.#app.store.getSnapshot();
    const unread = unreadMessages(state) + state.notifications.unreadCount;
    const title = unread ? `(${unread}) Loa` : "Loa";
    if (document.title !== title) document.title = title;
  }

  #announce(announcement) {
    if (announcement === this.#announcement) return;
    this.#announcement = announcement;
    if (announcement) showToast(icon("megaphone"), el("p", {}, announcement));
  }

  #onNotification({ type, data }) {
    if (type === "notification") this.#bell.announce(data);
    // A stream that begins tells nothing of what came before it, be it after the comments were loaded.
    const concernsPost = type === "notification" ? data.data.post_id === this.#shown.postId : BEGINNINGS.has(type);
    if (concernsPost && this.#shown.postId) this.#view.refresh();
  }

  #skip(event) {
    event.preventDefault();
    const target = this.#place.querySelector("h1, h2");
    target?.focus();
  }
}

function unreadMessages({ conversations }) {
  return Object.values(conversations).reduce((sum, { unreadCount }) => sum + unreadCount, 0);
}
