/** What has happened on one's posts and comments: the list behind the bell, and a toast for each as it comes. */

import { avatar } from "./avatar.js";
import { closeButton } from "./dialog.js";
import { el, fill, KeyedList, set } from "./dom.js";
import { icon } from "./icon.js";
import { errorText, t } from "./i18n.js";
import { moreButton } from "./paging.js";
import { linkToComment } from "./route.js";
import { agoElement } from "./time.js";
import { say, showToast } from "./toast.js";

export class Bell {
  /** A popover: the bell's button opens it, Escape or a press elsewhere closes it. */
  panel;
  #store;
  #items;
  #none = el("div");
  #allRead;
  #more;

  constructor(store) {
    this.#store = store;
    const list = el("ul", { role: "list" });
    this.#items = new KeyedList(list, {
      key: ({ seq }) => seq,
      create: (notification) => this.#create(notification),
      update: (element, { data }) => mark(element, data.read),
    });
    this.#more = moreButton(() => store.loadOlderNotifications());
    const heading = el("h2", { id: "bell-title", tabindex: "-1" }, t("bell.title"));
    const readAll = () => {
      // The button goes, and may not take the focus along.
      heading.focus();
      this.#try(store.markNotificationsRead());
    };
    this.#allRead = el("button.button.link", { type: "button", onclick: readAll }, t("bell.all_read"));
    this.panel = el(
      "section.panel",
      { id: "bell", popover: "auto", role: "dialog", "aria-labelledby": "bell-title" },
      el(
        "header",
        {},
        heading,
        this.#allRead,
        closeButton(() => this.panel.hidePopover()),
      ),
      el("div.scroll", {}, list, this.#none, this.#more.element),
    );
    this.panel.addEventListener("toggle", ({ newState }) => newState === "open" && heading.focus());
  }

  close() {
    this.#more.close();
  }

  render({ items, unreadCount, hasOlder }) {
    this.#items.render(items);
    this.#more.hasMore(hasOlder);
    set(this.#allRead, "hidden", unreadCount === 0);
    fill(this.#none, items.length === 0 && !hasOlder && NONE());
  }

  /** One has come just now. Where nobody looks, it is in the list when they do. */
  announce(notification) {
    const { sender } = notification.data;
    if (document.hidden) return;
    showToast(avatar(sender, "small"), this.#link(notification, "a"));
  }

  #create(notification) {
    const { sender, created_at } = notification.data;
    const link = this.#link(notification, "a.notice");
    link.prepend(avatar(sender, "small"));
    link.append(el("span.mark"));
    link.querySelector(".words").append(agoElement(created_at));
    return el("li", {}, link);
  }

  #link({ type, data }, selector) {
    return el(
      selector,
      { href: linkToComment(data.post_id, data.comment_id), onclick: () => this.#follow(data) },
      el(
        "span.words",
        {},
        el("strong", {}, t(`bell.${type}`, { name: data.sender.display_name })),
        el("span.preview", {}, data.preview),
      ),
    );
  }

  #follow({ notification_id }) {
    this.panel.hidePopover();
    this.#try(this.#store.markNotificationRead(notification_id));
  }

  #try(marking) {
    marking.catch((error) => say(errorText(error)));
  }
}

function mark(element, read) {
  const link = element.firstChild;
  link.classList.toggle("read", read);
  fill(link.querySelector(".mark"), !read && el("span.unseen", {}, t("bell.unread")));
}

const NONE = () =>
  el("div.empty", {}, icon("bell"), el("p", {}, t("bell.none")), el("p.small", {}, t("bell.none.hint")));
