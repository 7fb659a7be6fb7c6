/** The header of an open conversation: its name, who is online, and the button for its details. */

import { keepCurrent } from "./clock.js";
import { conversationAvatar, conversationName, conversationPresence } from "./conversation-labels.js";
import { el, setChildren, setText } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

export class ConversationHeader {
  element;
  #me;
  #heading = el("h2.ellipsis", { tabindex: "-1", dir: "auto" });
  #presence = el("p.presence.ellipsis");
  #avatar = el("span");
  #rendered = {};

  /** `onOpenMenu(opener)`: `opener` is the button. */
  constructor(me, onSearch, onOpenDetails, onOpenMenu) {
    this.#me = me;
    const label = t("conversation.details");
    this.element = el(
      "header",
      {},
      el("a.icon-button.back", { href: "#/", "aria-label": t("back") }, icon("back")),
      this.#avatar,
      el("div.grow", {}, this.#heading, this.#presence),
      el(
        "button.icon-button",
        { type: "button", "aria-label": t("search.here"), title: t("search.here"), onclick: onSearch },
        icon("search"),
      ),
      el(
        "button.icon-button",
        { type: "button", "aria-label": label, title: label, onclick: onOpenDetails },
        icon("info"),
      ),
      el(
        "button.icon-button",
        {
          type: "button",
          "aria-label": t("conversation.menu"),
          title: t("conversation.menu"),
          "aria-haspopup": "menu",
          onclick: ({ currentTarget }) => onOpenMenu(currentTarget),
        },
        icon("more"),
      ),
    );
  }

  focus() {
    this.#heading.focus();
  }

  render(details, presence) {
    if (details === this.#rendered.details && presence === this.#rendered.presence) return;
    if (details !== this.#rendered.details) {
      setText(this.#heading, conversationName(details, this.#me.id));
      setChildren(this.#avatar, conversationAvatar(details, this.#me.id));
    }
    // "Last seen: 5 min. ago" changes with time.
    keepCurrent(this.#presence, () => conversationPresence(details, this.#me.id, presence));
    this.#rendered = { details, presence };
  }
}
