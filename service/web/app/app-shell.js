/** The signed-in app: navigation, banner, notifications, and the view that the URL names. */

import { browserStorage } from "/client/storage.js";

import { Announcements } from "./announcements.js";
import { AutoRetry } from "./auto-retry.js";
import { updateAvatars } from "./avatar.js";
import { BlockedUsers } from "./blocked-users.js";
import { ChatPage } from "./chat-page.js";
import { subscribeToClock } from "./clock.js";
import { ConnectionBanner } from "./connection-banner.js";
import { el, setChildren } from "./dom.js";
import { DeviceAlerts } from "./device-alerts.js";
import { Drafts } from "./drafts.js";
import { throttleToFrame } from "./frame-throttle.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { preloadDialogs, withDialogs } from "./later.js";
import { LeftTrays } from "./left-trays.js";
import { InvitationPage } from "./invitation-page.js";
import { missingPage } from "./missing-page.js";
import { ModerationPage } from "./moderation-page.js";
import { previewText } from "./message-bubble.js";
import { NavBar } from "./nav-bar.js";
import { NotificationPanel } from "./notification-panel.js";
import { OwnPreferences } from "./own-preferences.js";
import { OwnProfile } from "./own-profile.js";
import { PostFeed } from "./post-feed.js";
import { PostPage } from "./post-page.js";
import { ProfileLoader } from "./profile-loader.js";
import { isQuiet } from "./quiet-hours.js";
import { currentRoute, linkToConversation, navigate } from "./router.js";
import { isSystemMessage } from "./system-message.js";
import { showNews, toastRegion } from "./toast.js";
import { UnreadCounter } from "./unread-counter.js";
import { UserPage } from "./user-page.js";

/** Events after which the stream may have skipped notifications. */
const STREAM_START = new Set(["hello", "reset"]);
/** Milliseconds until the dialogs are loaded: the chats come first, also on a slow line. */
const DIALOG_DELAY = 10_000;
/** Without a connection it is not known who is online. */
const NO_PRESENCE = {};

export class AppShell {
  element;
  #app;
  #navBar;
  #notifications;
  #banner;
  #chatPage;
  #viewContainer = el("div.view");
  /** The post feed, the page of a post, a user, an invitation, the moderators or nothing; null while the chat page is shown. */
  #pageView = null;
  /** The list of posts, which keeps its place while another page is shown. */
  #feed = null;
  #profiles;
  #ownProfile;
  #unread;
  #route = {};
  #announcements;
  /** Of a burst, one request is under way at a time. What cannot be marked stays unread. */
  #postReader = new AutoRetry(
    () => this.#markPostRead(),
    () => {},
  );
  #abort = new AbortController();

  /** `loa`: the client; `me`: the profile of the signed-in user. */
  constructor(loa, me) {
    this.#profiles = new ProfileLoader(loa.api);
    this.#unread = new UnreadCounter();
    this.#ownProfile = new OwnProfile(me.id, loa.socket);
    this.#ownProfile.subscribe((profile) => this.#setProfile(profile));
    const preferences = new OwnPreferences(loa.api, loa.stream);
    const storage = browserStorage("localStorage");
    const app = {
      ...loa,
      me,
      preferences,
      alerts: new DeviceAlerts(me.id, () => isQuiet(preferences.current?.quiet_hours), storage),
      blocked: new BlockedUsers(loa.api, loa.socket),
      drafts: new Drafts(me.id),
      leftTrays: new LeftTrays(loa.api),
      /** The ids of the groups that the user is leaving in this tab. */
      leaving: new Set(),
      profiles: this.#profiles,
      getState: () => this.#state(),
    };
    this.#app = app;
    const announce = (message) => showNews(icon("megaphone"), el("p", { dir: "auto" }, message));
    this.#announcements = new Announcements(app, announce, storage);
    this.#notifications = new NotificationPanel(app, () =>
      withDialogs(({ openNotificationSettings }) => openNotificationSettings(app)),
    );
    this.#navBar = new NavBar(me, this.#notifications.panel, () =>
      withDialogs(({ openAccountDialog }) =>
        openAccountDialog(app, this.#ownProfile, (profile) => this.#onProfileSaved(profile)),
      ),
    );
    const render = throttleToFrame(() => this.#render());
    this.#banner = new ConnectionBanner(render);
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
    if (app.alerts.sound || app.alerts.desktop) preferences.load().catch(() => {});
    const { signal } = this.#abort;
    document.addEventListener("visibilitychange", () => this.#postReader.run(), { signal });
    addEventListener("hashchange", () => this.#onRouteChange(), { signal });
    addEventListener("keydown", (event) => this.#onKeyDown(event), { signal });
    // A short outage may leave the stream intact, and it carries no posts.
    addEventListener("online", () => this.#pageView?.refresh(), { signal });
    const unsubscribers = [
      app.socket.subscribe((event) => this.#unread.onEvent(event)),
      app.socket.subscribe((event) => this.#alertOfMessage(event)),
      app.store.subscribe(() => this.#updateTitle()),
      app.store.subscribe(render),
      this.#profiles.subscribe(render),
      // A chat may not be muted any more.
      subscribeToClock(render),
      app.stream.subscribe((event) => this.#onStreamEvent(event)),
    ];
    signal.addEventListener("abort", () => unsubscribers.forEach((unsubscribe) => unsubscribe()));
    const preload = setTimeout(preloadDialogs, DIALOG_DELAY);
    signal.addEventListener("abort", () => clearTimeout(preload));
    this.#onRouteChange();
    // The profile stored with the session may be older than a change made on another device.
    app.api.me().then(
      (profile) => this.#setProfile(profile),
      () => {},
    );
  }

  close() {
    this.#abort.abort();
    this.#postReader.close();
    if (this.#pageView !== this.#feed) this.#pageView?.close?.();
    this.#feed?.close();
    this.#chatPage.close();
    this.#app.leftTrays.close();
    this.#notifications.close();
    this.#banner.close();
    this.#profiles.close();
    this.#app.preferences.close();
    this.#app.alerts.close();
    this.#announcements.close();
    this.#app.blocked.close();
    this.#ownProfile.close();
    // What they show belongs to the user who was signed in.
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    document.title = "Loa";
  }

  /** Return the store's state, with all profiles that are known, and without presence while there is no connection. */
  #state() {
    const state = this.#app.store.getSnapshot();
    const presence = this.#banner.isShown ? NO_PRESENCE : state.presence;
    return { ...state, people: this.#profiles.mergeInto(state.people), presence };
  }

  #onProfileSaved(profile) {
    this.#setProfile(profile);
    this.#ownProfile.publish(profile);
  }

  #setProfile(profile) {
    // An event about a change has only what everybody sees.
    this.#app.me = { ...this.#app.me, ...profile };
    this.#navBar.setProfile(profile);
    updateAvatars(profile);
  }

  /** Mark the notifications about the post in view as read. */
  async #markPostRead() {
    const { postId } = this.#route;
    if (postId && !document.hidden && this.#app.store.getSnapshot().notifications.unreadCount)
      await this.#app.store.markPostRead(postId);
  }

  #onRouteChange() {
    const route = currentRoute();
    const sameView = ["section", "postId", "userId", "token"].every((name) => route[name] === this.#route[name]);
    if (!sameView) this.#showView(route);
    this.#route = route;
    if (route.commentId) this.#pageView.showComment(route.commentId);
    this.#chatPage.open(route.conversationId ?? null, route.messageSeq);
    if (!sameView) this.#postReader.run();
    this.element.classList.toggle("in-conversation", Boolean(route.conversationId));
    this.#render();
  }

  /**
   * Ctrl+F searches in the open chat, Ctrl+Shift+F in all; Ctrl+K switches to another chat. In a dialog, the keys are the
   * browser's.
   */
  #onKeyDown(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || document.querySelector("dialog[open]")) return;
    const { conversationId } = this.#route;
    const key = event.key.toLowerCase();
    if (key === "k" && !event.shiftKey) {
      withDialogs(({ openQuickSwitcher }) => openQuickSwitcher(this.#app));
    }
    else if (key === "f" && (event.shiftKey || conversationId)) {
      withDialogs(({ openSearch }) => openSearch(this.#app, event.shiftKey ? null : conversationId));
    } else return;
    event.preventDefault();
  }

  #showView(route) {
    if (this.#feed && this.#pageView === this.#feed) this.#feed.pause();
    else this.#pageView?.close?.();
    this.#pageView = null;
    if (route.section === "posts" && route.postId) this.#pageView = this.#postPage(route.postId);
    if (route.section === "posts" && !route.postId) this.#pageView = this.#feed ?? new PostFeed(this.#app);
    const returnsToFeed = this.#feed !== null && this.#pageView === this.#feed;
    if (route.section === "posts" && !route.postId) this.#feed = this.#pageView;
    if (route.section === "users") this.#pageView = new UserPage(this.#app, route.userId);
    if (route.section === "moderation") this.#pageView = new ModerationPage(this.#app);
    if (route.section === "missing") this.#pageView = missingPage();
    if (route.section === "join") this.#pageView = new InvitationPage(this.#app, route.token);
    setChildren(this.#viewContainer, this.#pageView?.element ?? this.#chatPage.element);
    // In the document again, so that it has a place to return to.
    if (returnsToFeed) this.#feed.resume();
    // A screen reader continues at the new heading: the link that was followed may be gone.
    if (this.#route.section) this.#viewContainer.querySelector("h1[tabindex]")?.focus({ preventScroll: returnsToFeed });
  }

  #postPage(id) {
    return new PostPage(this.#app, id, (post) => this.#feed?.update(post));
  }

  #render() {
    const state = this.#state();
    this.#navBar.render(this.#route.section, this.#unread.total(state), state.notifications.unreadCount);
    this.#notifications.render(state.notifications);
    this.#banner.render(state.chat);
    if (this.#route.section === "chats") this.#chatPage.render(state);
    this.#updateTitle();
  }

  /** Show the total of both badges in the title, for users who are on another tab. */
  #updateTitle() {
    const state = this.#app.store.getSnapshot();
    const unread = this.#unread.total(state) + state.notifications.unreadCount;
    const title = unread ? `(${unread}) Loa` : "Loa";
    if (document.title !== title) document.title = title;
  }

  #onStreamEvent({ type, data }) {
    const isInView = Boolean(data?.data?.post_id) && data.data.post_id === this.#route.postId;
    if (type === "notification") this.#notifications.announce(data, this.#app.alerts, isInView);
    // A new stream replays no earlier notifications, and the posts or comments may have been loaded before them.
    if (type === "notification" ? isInView : STREAM_START.has(type)) {
      this.#pageView?.refresh();
      this.#postReader.run();
    }
  }

  /** While the page is hidden, tell of a new message as this device is set to. */
  #alertOfMessage({ type, data, conversation_id: id }) {
    const { me, alerts, blocked } = this.#app;
    if (type !== "new_message" || data.sender_id === me.id || data.deleted || isSystemMessage(data)) return;
    // In a group, messages of somebody whom the user blocks arrive, too.
    if (blocked.has(data.sender_id)) return;
    const mutedUntil = this.#state().conversations[id]?.details?.muted_until;
    if (mutedUntil && Date.parse(mutedUntil) > Date.now()) return;
    alerts.alert(data.id, () => ({
      // Of a new conversation, the participants are known a moment later.
      title: this.#state().people[data.sender_id]?.display_name ?? t("message.unknown_sender"),
      body: previewText(data),
      tag: id,
      onPress: () => navigate(linkToConversation(id)),
    }));
  }

  #skipToContent(event) {
    event.preventDefault();
    this.#viewContainer.querySelector("h1, h2")?.focus();
  }
}
