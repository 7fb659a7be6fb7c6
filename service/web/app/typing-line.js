/** Who is writing just now. */

import { el, fill } from "./dom.js";
import { listOf, t } from "./i18n.js";
import { nameOf } from "./message-bubble.js";

/** "An is typing…"; empty where nobody is. `typing`: until when each is, by user id. */
export function typingText(typing, people) {
  const now = Date.now();
  const names = Object.keys(typing)
    .filter((id) => typing[id] > now)
    .map((id) => nameOf(people[id]));
  if (names.length === 0) return "";
  return names.length === 1
    ? t("pane.typing.one", { name: names[0] })
    : t("pane.typing.some", { names: listOf(names) });
}

export class TypingLine {
  element = el("div.typing-line");
  #shown = "";

  render(typing, people) {
    const text = typingText(typing, people);
    if (text === this.#shown) return;
    this.#shown = text;
    const dots = el("span", { "aria-hidden": "true" }, el("i"), el("i"), el("i"));
    fill(this.element, text && el("p", {}, dots, text));
  }
}
