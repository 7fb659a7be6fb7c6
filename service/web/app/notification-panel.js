/**
 * Notifications: a list of groups, and a toast for each notification. Those of a type that the app does not know, which
 * the servers of a site have sent, are shown with their sender, preview and link.
 */

import { AutoRetry } from "./auto-retry.js";
import { avatar, iconAvatar } from "./avatar.js";
import { closeButton } from "./dialog.js";
import { el, KeyedList, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { loadMoreButton } from "./load-more.js";
import { NotificationFilter } from "./notification-filter.js";
import { NotificationInbox } from "./notification-inbox.js";
import { groupHeadingOf, headingOf, targetOf } from "./notification-labels.js";
import { timeElement } from "./time-format.js";
import { closeNotificationToasts, hostToasts, showNews, showToast } from "./toast.js";

export class NotificationPanel {
  /** A popover: the bell button opens it; Escape or a press outside closes it. */
  panel;
  #store;
  #inbox;
  #loader;
  #groups;
  #filter;
  #heading = el("h2", { id: "notifications-title", tabindex: "-1" }, t("notifications.title"));
  #emptyState = el("div", { role: "status" });
  #markAllRead;
  #loadMore;
  /** The state rendered last. */
  #state = null;
  /** The state for which the groups were loaded. */
  #loadedFor = null;

  /** `onOpenSettings()`: opens the settings of notifications. */
  constructor({ store, api }, onOpenSettings) {
    this.#store = store;
    this.#inbox = new NotificationInbox(api);
    this.#loader = new AutoRetry(
      () => this.#load(),
      (error) => this.#inbox.isLoaded || setChildren(this.#emptyState, el("p.empty-state", {}, errorText(error))),
    );
    const list = el("ul", { role: "list" });
    this.#groups = new KeyedList(list, {
      key: ({ key }) => key,
      create: () => el("li"),
      update: (element, group) => this.#updateGroup(element, group),
    });
    this.#filter = new NotificationFilter(this.#inbox, () => this.#renderGroups());
    this.#loadMore = loadMoreButton(async () => {
      await this.#inbox.loadMore();
      this.#renderGroups();
    });
    const onMarkAllRead = () => {
      // The button disappears: move the focus first, or it would be lost.
      this.#heading.focus();
      this.#inbox.showAsRead(() => true);
      this.#renderGroups();
      this.#reportError(store.markNotificationsRead());
    };
    this.#markAllRead = el(
      "button.button.link",
      { type: "button", onclick: onMarkAllRead },
      t("notifications.mark_all_read"),
    );
    const openSettings = () => {
      this.panel.hidePopover();
      onOpenSettings();
    };
    this.panel = el(
      "section.notification-panel",
      { id: "notifications", popover: "auto", role: "dialog", "aria-labelledby": this.#heading.id },
      el(
        "header",
        {},
        this.#heading,
        el(
          "button.icon-button",
          { type: "button", "aria-label": t("settings.title"), onclick: openSettings },
          icon("settings"),
        ),
        closeButton(() => this.panel.hidePopover()),
      ),
      el("div.toolbar", {}, this.#filter.element, this.#markAllRead),
      el("div.scroll", {}, list, this.#emptyState, this.#loadMore.element),
    );
    let releaseToasts = () => {};
    this.panel.addEventListener("toggle", ({ newState }) => {
      releaseToasts();
      if (newState !== "open") return;
      releaseToasts = hostToasts(this.panel);
      // They are in the list.
      closeNotificationToasts(() => true);
      this.#heading.focus();
      this.#refresh();
    });
  }

  close() {
    this.#loadMore.close();
    this.#loader.close();
  }

  get #isOpen() {
    return this.panel.matches(":popover-open");
  }

  /** `notifications`: of the store's state. */
  render(notifications) {
    this.#state = notifications;
    const { items, unreadCount } = notifications;
    const read = new Set(items.filter(({ data }) => data.read).map(({ data }) => data.notification_id));
    closeNotificationToasts((id) => read.has(id));
    setAttr(this.#markAllRead, "hidden", unreadCount === 0);
    if (this.#isOpen) this.#refresh();
  }

  /**
   * Show a toast for a new notification, unless it is read already or the list is open. While the page is hidden, only the
   * list has it, and `alerts`, a DeviceAlerts, may tell of it. `isInView`: whether the user is looking at the post.
   */
  announce(notification, alerts, isInView) {
    const { read, notification_id: id, preview } = notification.data;
    if (read) return;
    alerts.alert(id, () => ({
      title: headingOf(notification) ?? t("notifications.title"),
      body: preview,
      tag: id,
      onPress: () => this.#toastContent(notification).click(),
    }));
    if (document.hidden || this.#isOpen || isInView) return;
    showNews(picture(notification.data.sender), this.#toastContent(notification), id);
  }

  /** Load the groups again if the notifications have changed. */
  #refresh() {
    if (this.#loadedFor === this.#state) return;
    this.#loadedFor = this.#state;
    if (!this.#inbox.isLoaded) setChildren(this.#emptyState, el("p.empty-state", {}, t("loading")));
    this.#loader.run();
  }

  async #load() {
    await this.#inbox.refresh();
    this.#renderGroups();
  }

  #renderGroups() {
    const { groups } = this.#inbox;
    const hasMore = this.#inbox.hasMore(this.#state?.unreadCount ?? 0);
    this.#groups.render(groups);
    this.#filter.render();
    this.#loadMore.setHasMore(hasMore);
    setChildren(this.#emptyState, groups.length === 0 && !hasMore && emptyState(this.#filter.isActive));
  }

  #updateGroup(element, group) {
    const isUnread = group.unread_count > 0;
    const content = linkTo(group.latest, ["a.notification", "button.notification"], {
      heading: groupHeadingOf(group),
      onFollow: () => {
        this.panel.hidePopover();
        this.#markGroupRead(group);
      },
    });
    content.prepend(picture(group.senders[0]));
    content.querySelector(".text").append(timeElement(group.latest.data.created_at));
    content.classList.toggle("read", !isUnread);
    const hadFocus = element.contains(document.activeElement);
    const markRead = () => {
      content.focus();
      this.#markGroupRead(group);
    };
    const label = t("notifications.mark_read");
    setChildren(
      element,
      content,
      isUnread &&
        el(
          "button.icon-button.mark-read",
          { type: "button", title: label, "aria-label": label, onclick: markRead },
          el("span.unread-dot"),
          icon("check"),
        ),
    );
    if (isUnread) content.append(el("span.visually-hidden", {}, t("notifications.unread")));
    if (hadFocus) content.focus({ preventScroll: true });
  }

  #markGroupRead(group) {
    if (!group.unread_count) return;
    this.#inbox.showAsRead(({ key }) => key === group.key);
    this.#renderGroups();
    this.#reportError(this.#store.markGroupRead(group));
  }

  #toastContent(notification) {
    return linkTo(notification, ["a", "button"], {
      heading: headingOf(notification),
      onFollow: () => this.#reportError(this.#store.markNotificationRead(notification.data.notification_id)),
    });
  }

  #reportError(promise) {
    promise.catch((error) => showToast(errorText(error)));
  }
}

/** Return a link to what the notification is about; if there is nothing, the second element of `selectors`. */
function linkTo(notification, [linkSelector, otherSelector], { heading, onFollow }) {
  const target = targetOf(notification);
  return el(
    target ? linkSelector : otherSelector,
    { ...(target ?? { type: "button" }), onclick: onFollow },
    el(
      "span.text",
      {},
      heading && el("strong", { dir: "auto" }, heading),
      el("span.preview", { dir: "auto" }, notification.data.preview),
    ),
  );
}

function picture(sender) {
  return sender ? avatar(sender, "small") : iconAvatar("bell", "small");
}

function emptyState(isFiltered) {
  if (isFiltered) return el("p.empty-state", {}, t("notifications.no_match"));
  return el(
    "div.empty-state",
    {},
    icon("bell"),
    el("p", {}, t("notifications.none")),
    el("p.small", {}, t("notifications.none.hint")),
  );
}
