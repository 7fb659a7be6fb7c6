/** The filter of the list of notifications: all or unread ones, and of which type. */

import { el, setAttr, setChildren } from "./dom.js";
import { t } from "./i18n.js";
import { typeLabel } from "./notification-labels.js";

export class NotificationFilter {
  element;
  #inbox;
  #unread;
  #types;
  #shownTypes = "";

  /** `inbox`: a NotificationInbox, whose filter is set; `onChange()` is called after that. */
  constructor(inbox, onChange) {
    this.#inbox = inbox;
    this.#unread = el(
      "button.chip",
      {
        type: "button",
        onclick: () => {
          inbox.unreadOnly = !inbox.unreadOnly;
          onChange();
        },
      },
      t("notifications.unread"),
    );
    this.#types = el("select.chip", {
      "aria-label": t("notifications.kind"),
      onchange: () => {
        inbox.type = this.#types.value || null;
        onChange();
      },
    });
    this.element = el("div.filter", { role: "group", "aria-label": t("notifications.filter") }, this.#unread, this.#types);
    this.render();
  }

  get isActive() {
    return this.#inbox.unreadOnly || this.#inbox.type !== null;
  }

  render() {
    setAttr(this.#unread, "aria-pressed", String(this.#inbox.unreadOnly));
    const { type, types } = this.#inbox;
    const shown = type && !types.includes(type) ? [...types, type] : types;
    this.#types.hidden = shown.length < 2 && !type;
    if (String(shown) === this.#shownTypes) return;
    this.#shownTypes = String(shown);
    const options = shown.map((each) => el("option", { value: each }, typeLabel(each)));
    setChildren(this.#types, el("option", { value: "" }, t("notifications.all_kinds")), options);
    this.#types.value = type ?? "";
  }
}
