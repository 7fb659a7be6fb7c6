/** The menu of a conversation: what the user does with it for themselves. */

import { conversationName, isArchived, isMuted, otherParticipant } from "./conversation-labels.js";
import { confirm } from "./dialog.js";
import { errorText, t } from "./i18n.js";
import { withDialogs } from "./later.js";
import { openMenu } from "./menu.js";
import { navigate } from "./router.js";
import { showToast } from "./toast.js";

const HOUR = 3_600_000;
/** Milliseconds for which a conversation can be muted; null: until it is unmuted. */
const MUTES = {
  "conversation.mute.hour": HOUR,
  "conversation.mute.hours": 8 * HOUR,
  "conversation.mute.week": 7 * 24 * HOUR,
  "conversation.mute.ever": null,
};

/** `conversation`: of the store's state. */
export function openConversationMenu(opener, { api, me, blocked }, conversation) {
  const { id, details } = conversation;
  const other = otherParticipant(details, me.id);
  const name = conversationName(details, me.id);

  async function attempt(action) {
    try {
      await action();
    } catch (error) {
      showToast(errorText(error));
    }
  }

  function chooseMute() {
    const items = Object.entries(MUTES).map(([key, length]) => ({
      label: t(key),
      icon: length === null ? "muted" : "clock",
      action: () => attempt(() => api.mute(id, length && new Date(Date.now() + length).toISOString())),
    }));
    openMenu(opener, t("conversation.mute"), items);
  }

  async function archive() {
    await api.archive(id);
    navigate("#/");
  }

  async function deleteChat() {
    if (!(await confirm(t("conversation.delete.question"), t("conversation.delete")))) return;
    await attempt(async () => {
      await api.clearHistory(id);
      await archive();
    });
  }

  async function block() {
    if (await confirm(t("block.question", { name }), t("block.begin"))) await attempt(() => api.block(other.id));
  }

  const items = [
    isMuted(details)
      ? { label: t("conversation.unmute"), icon: "bell", action: () => attempt(() => api.unmute(id)) }
      : { label: t("conversation.mute"), icon: "muted", action: chooseMute },
    isArchived(conversation)
      ? { label: t("conversation.unarchive"), icon: "archive", action: () => attempt(() => api.unarchive(id)) }
      : { label: t("conversation.archive"), icon: "archive", action: () => attempt(archive) },
    other && blocked.has(other.id)
      ? { label: t("block.end_of", { name }), icon: "block", action: () => attempt(() => api.unblock(other.id)) }
      : other && { label: t("block.begin_of", { name }), icon: "block", danger: true, action: block },
    other && {
      label: t("report.begin_of", { name }),
      icon: "flag",
      action: () =>
        withDialogs(({ openReportDialog }) => openReportDialog(api, { kind: "user", id: other.id }, name)),
    },
    { label: t("conversation.delete"), icon: "delete", danger: true, action: deleteChat },
  ];
  openMenu(opener, t("conversation.menu"), items);
}
