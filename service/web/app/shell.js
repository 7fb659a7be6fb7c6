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

export class Shell {
  element;
  #loa;
  #rail;
  #bell;
  #banner = new Banner();
  #chats;
  #place = el("div.place");
  #view = null;
  #shown = {};
  #announcement;
  #ends = new AbortController();

  /** `loa`: the client's {api, session, socket, stream, store}, and {me}: one's own profile. */
  constructor(loa) {
    this.#loa = loa;
    this.#bell = new Bell(loa.store);
    this.#rail = new Rail(loa.me, this.#bell.panel, () => openAccount(loa, loa.onProfile));
    this.#chats = new Chats(loa);
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
    const draw = oncePerFrame(() => this.#draw());
    signal.addEventListener("abort", loa.store.subscribe(() => { this.#title(); draw(); }));
    signal.addEventListener("abort", loa.stream.subscribe((event) => this.#onNotification(event)));
    this.#go();
  }

  close() {
    this.#ends.abort();
    this.#view?.close?.();
    this.#chats.close();
    this.#bell.close();
    this.#banner.close();
    document.title = "Loa";
  }

  #go() {
    const route = currentRoute();
    const same = route.place === this.#shown.place && route.postId === this.#shown.postId;
    if (!same) this.#enter(route);
    this.#shown = route;
    if (route.commentId) this.#view.show(route.commentId);
    if (route.place === "chats") this.#chats.open(route.conversationId);
    this.element.classList.toggle("in-conversation", Boolean(route.conversationId));
    this.#draw();
  }

  #enter(route) {
    this.#view?.close?.();
    this.#view = null;
    if (route.place === "posts") this.#view = route.postId ? new PostPage(this.#loa, route.postId) : new PostFeed(this.#loa);
    fill(this.#place, this.#view?.element ?? this.#chats.element);
    // A reader of screens goes on from the new heading, not from a link that is gone.
    if (this.#shown.place) this.#place.querySelector("h1[tabindex]")?.focus();
  }

  #draw() {
    const state = this.#loa.store.getSnapshot();
    this.#rail.render(this.#shown.place, unreadMessages(state), state.notifications.unreadCount);
    this.#bell.render(state.notifications);
    this.#banner.render(state.chat);
    if (this.#shown.place === "chats") this.#chats.render(state);
    this.#announce(state.announcement);
    this.#title();
  }

  /** What the badges say together, for who is on another tab. */
  #title() {
    const state = this.#loa.store.getSnapshot();
    const unread = unreadMessages(state) + state.notifications.unreadCount;
    const title = unread ? `(${unread}) Loa` : "Loa";
    if (document.title !== title) document.title = title;
  }

  #announce(announcement) {
    if (announcement === this.#announcement) return;
    this.#announcement = announcement;
    if (announcement) showToast(icon("megaphone"), el("p", {}, announcement));
  }

  #onNotification(event) {
    if (event.type !== "notification") return;
    this.#bell.announce(event.data);
    if (event.data.data.post_id === this.#shown.postId) this.#view.refresh();
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
