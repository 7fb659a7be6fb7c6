/** The menu of a message. */

import { openMenu } from "./menu.js";
import { t } from "./i18n.js";
import { reactionChoices } from "./reaction-choices.js";

/** `actions`: see MessageList. Does nothing for a pending or deleted message. */
export function openMessageMenu(opener, { message, mine, pending }, actions) {
  if (pending || message.deleted) return;
  const reactions = reactionChoices(
    (emoji) => Boolean(message.reactions[emoji]?.includes(actions.me)),
    (emoji) => actions.toggleReaction(message, emoji),
  );
  openMenu(
    opener,
    t("message.actions"),
    [
      { label: t("message.reply"), icon: "reply", action: () => actions.reply(message) },
      { label: t("message.copy"), icon: "copy", action: () => actions.copy(message) },
      mine && { label: t("message.edit"), icon: "edit", action: () => actions.edit(message) },
      mine && { label: t("message.delete"), icon: "delete", danger: true, action: () => actions.remove(message) },
      actions.isGroup() && { label: t("readers.title"), icon: "checks", action: () => actions.showReaders(message) },
      !mine && { label: t("report.begin"), icon: "flag", action: () => actions.report(message) },
    ],
    reactions,
  );
}
