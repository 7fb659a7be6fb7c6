/** The reactions that a menu offers: a few at once, and all others in the emoji picker. */

import { t } from "./i18n.js";
import { withDialogs } from "./later.js";

const REACTIONS = ["👍", "❤️", "😂", "😮", "😢", "🎉"];

/** Return the row of toggles for `openMenu`. `isMine(emoji)`: whether the user reacted so; `toggle(emoji)` changes that. */
export function reactionChoices(isMine, toggle) {
  const choices = REACTIONS.map((emoji) => ({
    text: emoji,
    label: t("message.react_with", { emoji }),
    pressed: isMine(emoji),
    action: () => toggle(emoji),
  }));
  const pick = () => withDialogs(({ openEmojiPicker }) => openEmojiPicker(toggle));
  return [...choices, { icon: "add", label: t("emoji.more"), action: pick }];
}
