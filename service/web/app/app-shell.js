/** The signed-in app: navigation, banner, notifications, and the view that the URL names. */

import { openAccountDialog } from "./account-dialog.js";
import { ChatPage } from "./chat-page.js";
import { ConnectionBanner } from "./connection-banner.js";
import { el, setChildren } from "./dom.js";
import { throttleToFrame } from "./frame-throttle.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { NavBar } from "./nav-bar.js";
import { NotificationPanel } from "./notification-panel.js";
import { PostFeed } from "./post-feed.js";
import { PostPage } from "./post-page.js";
import { currentRoute } from "./router.js";
import { showRichToast, toastRegion } from "./toast.js";

/** Events after which the stream may have skipped notifications. */
const STREAM_START = new Set(["hello", "reset"]);

export class AppShell {
  element;
  #app;
  #navBar;
  #notifications;
  #banner = new ConnectionBanner();
  #chatPage;
  #viewContainer = el("div.view");
  /** The post feed or a post's page; null while the chat page is shown. */
  #postView = null;
  #route = {};
  #announcement;
  #abort = new AbortController();

  /** `loa`: the client; `me`: the profile of the signed-in user. Drafts are kept per sign-in. */
  constructor(loa, me) {
    const app = { ...loa, me, drafts: new Map() };
    this.#app = app;
    this.#notifications = new NotificationPanel(app.store);
    this.#navBar = new NavBar(me, this.#notifications.panel, () =>
      openAccountDialog(app, (profile) => this.#setProfile(profile)),
    );
    this.#chatPage = new ChatPage(app);
    const skipLink = el(
      "a.skip-link.visually-hidden",
      { href: "#content", onclick: (event) => this.#skipToContent(event) },
      t("app.skip_to_content"),
    );
    this.element = el(
      "div.app-shell",
      {},
      skipLink,
      this.#navBar.element,
      this.#banner.element,
      this.#viewContainer,
      this.#notifications.panel,
      toastRegion(),
    );
    const { signal } = this.#abort;
    addEventListener("hashchange", () => this.#onRouteChange(), { signal });
    const unsubscribers = [
      app.store.subscribe(() => this.#updateTitle()),
      app.store.subscribe(throttleToFrame(() => this.#render())),
      app.stream.subscribe((event) => this.#onStreamEvent(event)),
    ];
    signal.addEventListener("abort", () => unsubscribers.forEach((unsubscribe) => unsubscribe()));
    this.#onRouteChange();
    // The profile stored with the session may be older than a change made on another device.
    app.api.me().then(
      (profile) => this.#setProfile(profile),
      () => {},
    );
  }

  close() {
    this.#abort.abort();
    this.#postView?.close?.();
    this.#chatPage.close();
    this.#notifications.close();
    this.#banner.close();
    document.title = "Loa";
  }

  #setProfile(profile) {
    this.#app.me = profile;
    this.#navBar.setProfile(profile);
  }

  #onRouteChange() {
    const route = currentRoute();
    const sameView = route.section === this.#route.section && route.postId === this.#route.postId;
    if (!sameView) this.#showView(route);
    this.#route = route;
    if (route.commentId) this.#postView.showComment(route.commentId);
    this.#chatPage.open(route.conversationId ?? null);
    this.element.classList.toggle("in-conversation", Boolean(route.conversationId));
    this.#render();
  }

  #showView(route) {
    this.#postView?.close?.();
    this.#postView = null;
    if (route.section === "posts")
      this.#postView = route.postId ? new PostPage(this.#app, route.postId) : new PostFeed(this.#app);
    setChildren(this.#viewContainer, this.#postView?.element ?? this.#chatPage.element);
    // A screen reader continues at the new heading: the link that was followed may be gone.
    if (this.#route.section) this.#viewContainer.querySelector("h1[tabindex]")?.focus();
  }

  #render() {
    const state = this.#app.store.getSnapshot();
    this.#navBar.render(this.#route.section, countUnreadMessages(state), state.notifications.unreadCount);
    this.#notifications.render(state.notifications);
    this.#banner.render(state.chat);
    if (this.#route.section === "chats") this.#chatPage.render(state);
    this.#showAnnouncement(state.announcement);
    this.#updateTitle();
  }

  /** Show the total of both badges in the title, for users who are on another tab. */
  #updateTitle() {
    const state = this.#app.store.getSnapshot();
    const unread = countUnreadMessages(state) + state.notifications.unreadCount;
    const title = unread ? `(${unread}) Loa` : "Loa";
    if (document.title !== title) document.title = title;
  }

  #showAnnouncement(announcement) {
    if (announcement === this.#announcement) return;
    this.#announcement = announcement;
    if (announcement) showRichToast(icon("megaphone"), el("p", {}, announcement));
  }

  #onStreamEvent({ type, data }) {
    if (type === "notification") this.#notifications.showToast(data);
    // A stream that starts does not replay earlier notifications, and the comments may have been loaded before it.
    const concernsPost = type === "notification" ? data.data.post_id === this.#route.postId : STREAM_START.has(type);
    if (concernsPost && this.#route.postId) this.#postView.refresh();
  }

  #skipToContent(event) {
    event.preventDefault();
    this.#viewContainer.querySelector("h1, h2")?.focus();
  }
}

function countUnreadMessages({ conversations }) {
  return Object.values(conversations).reduce((sum, { unreadCount }) => sum + unreadCount, 0);
}
