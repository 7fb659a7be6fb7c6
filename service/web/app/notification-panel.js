/** Notifications about comments on the user's posts and replies to their comments: a list, and a toast for each. */

import { avatar } from "./avatar.js";
import { closeButton } from "./dialog.js";
import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { linkToComment } from "./router.js";
import { timeElement } from "./time-format.js";
import { hostToasts, showRichToast, showToast } from "./toast.js";

export class NotificationPanel {
  /** A popover: the bell button opens it; Escape or a press outside closes it. */
  panel;
  #store;
  #items;
  #emptyState = el("div");
  #markAllRead;
  #loadMore;

  constructor(store) {
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
        closeButton(() => this.panel.hidePopover()),
      ),
      el("div.scroll", {}, list, this.#emptyState, this.#loadMore.element),
    );
    let releaseToasts = () => {};
    this.panel.addEventListener("toggle", ({ newState }) => {
      releaseToasts();
      if (newState !== "open") return;
      releaseToasts = hostToasts(this.panel);
      heading.focus();
    });
  }

  close() {
    this.#loadMore.close();
  }

  render({ items, unreadCount, hasOlder }) {
    this.#items.render(items);
    this.#loadMore.setHasMore(hasOlder);
    setAttr(this.#markAllRead, "hidden", unreadCount === 0);
    setChildren(this.#emptyState, items.length === 0 && !hasOlder && emptyState());
  }

  /** Show a toast for a new notification, unless the page is hidden: then only the list has it. */
  showToast(notification) {
    const { sender } = notification.data;
    if (document.hidden) return;
    showRichToast(avatar(sender, "small"), this.#link(notification, "a"));
  }

  #create(notification) {
    const { sender, created_at } = notification.data;
    const link = this.#link(notification, "a.notification");
    link.prepend(avatar(sender, "small"));
    link.append(el("span.unread-dot"));
    link.querySelector(".text").append(timeElement(created_at));
    return el("li", {}, link);
  }

  #link({ type, data }, selector) {
    return el(
      selector,
      { href: linkToComment(data.post_id, data.comment_id), onclick: () => this.#onFollow(data) },
      el(
        "span.text",
        {},
        el("strong", { dir: "auto" }, t(`notifications.${type}`, { name: data.sender.display_name })),
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
