/** What can be done with a message. */

import { openMenu } from "./menu.js";
import { t } from "./i18n.js";

const REACTIONS = ["👍", "❤️", "😂", "😮", "😢", "🎉"];

/** `actions`: see MessageList. */
export function openMessageMenu(opener, { message, mine, pending }, actions) {
  if (pending || message.deleted) return;
  const reactions = REACTIONS.map((emoji) => ({
    text: emoji,
    label: t("message.react_with", { emoji }),
    pressed: Boolean(message.reactions[emoji]?.includes(actions.me)),
    act: () => actions.react({ message }, emoji),
  }));
  openMenu(
    opener,
    t("message.actions"),
    [
      { label: t("message.reply"), icon: "reply", act: () => actions.reply(message) },
      { label: t("message.copy"), icon: "copy", act: () => actions.copy(message) },
      mine && { label: t("message.edit"), icon: "edit", act: () => actions.edit(message) },
      mine && { label: t("message.delete"), icon: "delete", danger: true, act: () => actions.remove(message) },
    ],
    reactions,
  );
}
