/** Shows who is typing in a conversation. */

import { el, setChildren } from "./dom.js";
import { formatList, t } from "./i18n.js";
import { nameOf } from "./message-bubble.js";

/** Return for example "An is typing…"; an empty string if nobody is. `typing`: expiry times by user id. */
export function typingText(typing, profiles) {
  const now = Date.now();
  const names = Object.keys(typing)
    .filter((id) => typing[id] > now)
    .map((id) => nameOf(profiles[id]));
  if (names.length === 0) return "";
  return names.length === 1
    ? t("conversation.typing.one", { name: names[0] })
    : t("conversation.typing.some", { names: formatList(names) });
}

export class TypingIndicator {
  element = el("div.typing-indicator");
  #text = "";

  render(typing, profiles) {
    const text = typingText(typing, profiles);
    if (text === this.#text) return;
    this.#text = text;
    const dots = el("span", { "aria-hidden": "true" }, el("i"), el("i"), el("i"));
    setChildren(this.element, text && el("p", { dir: "auto" }, dots, text));
  }
}
