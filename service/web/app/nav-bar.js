/** The main navigation: chats, posts, notifications and the account. On the left, or at the bottom on a phone. */

import { avatar } from "./avatar.js";
import { el, setAttr, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { formatNumber, t } from "./i18n.js";

/** Badges show a larger count as "99+". */
const MAX_COUNT = 99;

export class NavBar {
  element;
  #chats = navItem("a", { href: "#/" }, icon("chats"), t("nav.chats"));
  #posts = navItem("a", { href: "#/posts" }, icon("posts"), t("nav.posts"));
  #bell = navItem(
    "button",
    { type: "button", "aria-label": t("notifications.title") },
    icon("bell"),
    t("nav.notifications"),
  );
  #avatar = el("span");
  #account;

  /** `notificationPanel`: the popover that the bell opens. */
  constructor(me, notificationPanel, onOpenAccount) {
    this.#account = navItem("button", { type: "button", onclick: onOpenAccount }, this.#avatar, t("nav.account"));
    this.setProfile(me);
    this.#bell.element.popoverTargetElement = notificationPanel;
    this.element = el(
      "nav.nav-bar",
      { "aria-label": t("nav.label") },
      el("img.logo", { src: "/app/icon.svg", alt: "" }),
      this.#chats.element,
      this.#posts.element,
      this.#bell.element,
      el("span.spacer"),
      this.#account.element,
    );
  }

  /** Show the avatar of the signed-in user. */
  setProfile(me) {
    setChildren(this.#avatar, avatar(me, "small"));
  }

  /** `section`: the current one, "chats" or "posts"; then the numbers of unread messages and notifications. */
  render(section, unreadMessages, unreadNotifications) {
    setAttr(this.#chats.element, "aria-current", section === "chats" ? "page" : null);
    setAttr(this.#posts.element, "aria-current", section === "posts" ? "page" : null);
    updateBadge(this.#chats.badge, unreadMessages);
    updateBadge(this.#bell.badge, unreadNotifications);
    setAttr(this.#bell.element, "aria-label", withUnreadCount(t("notifications.title"), unreadNotifications));
  }
}

function navItem(tag, attributes, image, label) {
  const badge = el("span.badge", { hidden: true });
  return { badge, element: el(`${tag}.nav-item`, attributes, image, el("span", {}, label), badge) };
}

function updateBadge(badge, count) {
  if (badge.count === count) return;
  badge.count = count;
  badge.hidden = count === 0;
  setChildren(
    badge,
    count > MAX_COUNT ? `${MAX_COUNT}+` : formatNumber(count),
    el("span.visually-hidden", {}, ` ${t("nav.unread", { count })}`),
  );
}

function withUnreadCount(label, count) {
  return count ? `${label}, ${t("nav.unread", { count })}` : label;
}
