/** The way about: chats, posts, what is new, and oneself; along the side, or below on a phone. */

import { avatar } from "./avatar.js";
import { el, fill, set } from "./dom.js";
import { icon } from "./icon.js";
import { number, t } from "./i18n.js";

/** `panel`: what the bell opens; `openAccount()`. */
export class Rail {
  element;
  #chats = tab("a", { href: "#/" }, icon("chats"), t("nav.chats"));
  #posts = tab("a", { href: "#/posts" }, icon("posts"), t("nav.posts"));
  #bell = tab("button", { type: "button", "aria-label": t("bell.title") }, icon("bell"), t("nav.notifications"));
  #portrait = el("span");
  #account;

  constructor(me, panel, openAccount) {
    this.#account = tab("button", { type: "button", onclick: openAccount }, this.#portrait, t("nav.account"));
    this.show(me);
    this.#bell.element.popoverTargetElement = panel;
    this.element = el(
      "nav.rail",
      { "aria-label": t("nav.label") },
      el("img.logo", { src: "/app/icon.svg", alt: "" }),
      this.#chats.element,
      this.#posts.element,
      this.#bell.element,
      el("span.gap"),
      this.#account.element,
    );
  }

  /** Show one's own picture. */
  show(me) {
    fill(this.#portrait, avatar(me, "small"));
  }

  /** `place`: where one is; the counts of what is unread. */
  render(place, messages, notifications) {
    set(this.#chats.element, "aria-current", place === "chats" ? "page" : null);
    set(this.#posts.element, "aria-current", place === "posts" ? "page" : null);
    count(this.#chats.badge, messages);
    count(this.#bell.badge, notifications);
    set(this.#bell.element, "aria-label", withUnread(t("bell.title"), notifications));
  }
}

function tab(tag, attributes, picture, label) {
  const badge = el("span.badge", { hidden: true });
  return { badge, element: el(`${tag}.tab`, attributes, picture, el("span", {}, label), badge) };
}

function count(badge, unread) {
  if (badge.count === unread) return;
  badge.count = unread;
  badge.hidden = unread === 0;
  fill(badge, unread > 99 ? "99+" : number(unread), el("span.unseen", {}, ` ${t("nav.unread", { count: unread })}`));
}

function withUnread(label, unread) {
  return unread ? `${label}, ${t("nav.unread", { count: unread })}` : label;
}
