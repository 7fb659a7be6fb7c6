/** Above a conversation: whose it is, who of them is there, and the way to its details. */

import { conversationAvatar, conversationName, conversationPresence } from "./conversation-name.js";
import { el, fill, setText } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

export class PaneHeader {
  element;
  #me;
  #heading = el("h2.line", { tabindex: "-1" });
  #presence = el("p.state.line");
  #portrait = el("span");
  #shown = {};

  constructor(me, openDetails) {
    this.#me = me;
    const label = t("pane.details");
    this.element = el(
      "header",
      {},
      el("a.icon-button.back", { href: "#/", "aria-label": t("back") }, icon("back")),
      this.#portrait,
      el("div.grow", {}, this.#heading, this.#presence),
      el(
        "button.icon-button",
        { type: "button", "aria-label": label, title: label, onclick: openDetails },
        icon("info"),
      ),
    );
  }

  focus() {
    this.#heading.focus();
  }

  render(details, presence) {
    if (details === this.#shown.details && presence === this.#shown.presence) return;
    if (details !== this.#shown.details) {
      setText(this.#heading, conversationName(details, this.#me.id));
      fill(this.#portrait, conversationAvatar(details, this.#me.id));
    }
    setText(this.#presence, conversationPresence(details, this.#me.id, presence));
    this.#shown = { details, presence };
  }
}
