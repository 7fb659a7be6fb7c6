/** Formatted user-written text. A very high one is folded, with a button that shows the rest. */

import { el } from "./dom.js";
import { formattedText } from "./formatted-text.js";
import { t } from "./i18n.js";
import { estimatedLines } from "./text.js";

/** A text with more lines is folded to the height that `.user-text.folded` has. */
const MAX_LINES = 24;

/**
 * Return the element of the text, and after it the button if there is one. `owner`: an element that remembers that the
 * user has expanded the text, for when it is rendered again.
 */
export function expandableText(text, owner) {
  const element = el("span.user-text.written", {}, formattedText(text));
  if (owner.expanded || estimatedLines(text) <= MAX_LINES) return [element];
  element.classList.add("folded");
  const expand = () => {
    owner.expanded = true;
    element.classList.remove("folded");
    button.remove();
  };
  const button = el("button.button.link.show-more", { type: "button", onclick: expand }, t("show_more"));
  return [element, button];
}
