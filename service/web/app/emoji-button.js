/** The button that inserts an emoji into a text. */

import { el } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { withDialogs } from "./later.js";

/** Return the button; the emoji replaces what is selected in `textarea`, as if it was typed. */
export function emojiButton(textarea) {
  const label = t("emoji.insert");
  const insert = (emoji) => {
    textarea.setRangeText(emoji, textarea.selectionStart, textarea.selectionEnd, "end");
    textarea.dispatchEvent(new Event("input", { bubbles: true }));
    textarea.focus();
  };
  const open = () => withDialogs(({ openEmojiPicker }) => openEmojiPicker(insert));
  return el("button.icon-button", { type: "button", "aria-label": label, title: label, onclick: open }, icon("smile"));
}
