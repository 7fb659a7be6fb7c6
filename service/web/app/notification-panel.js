/**
 * Notifications: a list, and a toast for each. Those of a type that the app does not know, which the servers of a site
 * have sent, are shown with their sender, preview and link.
 */

import { avatar, iconAvatar } from "./avatar.js";
import { closeButton } from "./dialog.js";
import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { linkAttributes } from "./links.js";
import { loadMoreButton } from "./load-more.js";
import { linkToComment } from "./router.js";
import { timeElement } from "./time-format.js";
import { closeNotificationToasts, hostToasts, showNews, showToast } from "./toast.js";

/** Types that are about a comment and have a text of their own. */
const COMMENT_TYPES = new Set(["NEW_COMMENT", "NEW_REPLY"]);

export class NotificationPanel {
  /** A popover: the bell button opens it; Escape or a press outside closes it. */
  panel;
  #store;
  #items;
  #emptyState = el("div");
  #markAllRead;
  #loadMore;

  /** `onOpenSettings()`: opens the settings of notifications. */
  constructor(store, onOpenSettings) {
    this.#store = store;
    const list = el("ul", { role: "list" });
    this.#items = new KeyedList(list, {
      key: ({ seq }) => seq,
      create: (notification) => this.#create(notification),
      update: (element, { data }) => setRead(element, data.read),
    });
    this.#loadMore = loadMoreButton(() => store.loadOlderNotifications());
    const heading = el("h2", { id: "notifications-title", tabindex: "-1" }, t("notifications.title"));
    const onMarkAllRead = () => {
      // The button disappears: move the focus first, or it would be lost.
      heading.focus();
      this.#reportError(store.markNotificationsRead());
    };
    this.#markAllRead = el(
      "button.button.link",
      { type: "button", onclick: onMarkAllRead },
      t("notifications.mark_all_read"),
    );
    this.panel = el(
      "section.notification-panel",
      { id: "notifications", popover: "auto", role: "dialog", "aria-labelledby": heading.id },
      el(
        "header",
        {},
        heading,
        this.#markAllRead,
        el(
          "button.icon-button",
          {
            type: "button",
            "aria-label": t("settings.title"),
            onclick: () => {
              this.panel.hidePopover();
              onOpenSettings();
            },
          },
          icon("settings"),
        ),
        closeButton(() => this.panel.hidePopover()),
      ),
      el("div.scroll", {}, list, this.#emptyState, this.#loadMore.element),
    );
    let releaseToasts = () => {};
    this.panel.addEventListener("toggle", ({ newState }) => {
      releaseToasts();
      if (newState !== "open") return;
      releaseToasts = hostToasts(this.panel);
      // They are in the list.
      closeNotificationToasts(() => true);
      heading.focus();
    });
  }

  close() {
    this.#loadMore.close();
  }

  render({ items, unreadCount, hasOlder }) {
    this.#items.render(items);
    const read = new Set(items.filter(({ data }) => data.read).map(({ data }) => data.notification_id));
    closeNotificationToasts((id) => read.has(id));
    this.#loadMore.setHasMore(hasOlder);
    setAttr(this.#markAllRead, "hidden", unreadCount === 0);
    setChildren(this.#emptyState, items.length === 0 && !hasOlder && emptyState());
  }

  /**
   * Show a toast for a new notification, unless it is read already or the list is open. While the page is hidden, only the
   * list has it, and `alerts`, a DeviceAlerts, may tell of it.
   */
  announce(notification, alerts) {
    const { read, notification_id: id, preview } = notification.data;
    if (read) return;
    alerts.alert(id, () => ({
      title: headingOf(notification) ?? t("notifications.title"),
      body: preview,
      tag: id,
      onPress: () => this.#link(notification, ["a", "button"]).click(),
    }));
    if (document.hidden || this.panel.matches(":popover-open")) return;
    showNews(picture(notification), this.#link(notification, ["a", "button"]), id);
  }

  #create(notification) {
    const link = this.#link(notification, ["a.notification", "button.notification"]);
    link.prepend(picture(notification));
    link.append(el("span.unread-dot"));
    link.querySelector(".text").append(timeElement(notification.data.created_at));
    return el("li", {}, link);
  }

  /** Return a link to what the notification is about; if there is nothing, the second element of `selectors`. */
  #link(notification, [linkSelector, otherSelector]) {
    const { data } = notification;
    const target = targetOf(notification);
    const heading = headingOf(notification);
    return el(
      target ? linkSelector : otherSelector,
      { ...(target ?? { type: "button" }), onclick: () => this.#onFollow(data) },
      el(
        "span.text",
        {},
        heading && el("strong", { dir: "auto" }, heading),
        el("span.preview", { dir: "auto" }, data.preview),
      ),
    );
  }

  #onFollow({ notification_id }) {
    this.panel.hidePopover();
    this.#reportError(this.#store.markNotificationRead(notification_id));
  }

  #reportError(promise) {
    promise.catch((error) => showToast(errorText(error)));
  }
}

function picture({ data }) {
  return data.sender ? avatar(data.sender, "small") : iconAvatar("bell", "small");
}

function targetOf({ type, data }) {
  if (COMMENT_TYPES.has(type)) return { href: linkToComment(data.post_id, data.comment_id) };
  return linkAttributes(data.url);
}

function headingOf({ type, data }) {
  if (COMMENT_TYPES.has(type)) return t(`notifications.${type}`, { name: data.sender.display_name });
  return data.sender?.display_name;
}

function setRead(element, read) {
  const link = element.firstChild;
  link.classList.toggle("read", read);
  setChildren(link.querySelector(".unread-dot"), !read && el("span.visually-hidden", {}, t("notifications.unread")));
}

function emptyState() {
  return el(
    "div.empty-state",
    {},
    icon("bell"),
    el("p", {}, t("notifications.none")),
    el("p.small", {}, t("notifications.none.hint")),
  );
}
