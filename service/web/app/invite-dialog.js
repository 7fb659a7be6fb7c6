/** The dialog with an invitation's link, to be sent to those who shall join a group. */

import { copyText } from "./clipboard.js";
import { confirm, showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { linkToInvitation } from "./router.js";
import { fullDateTime } from "./time-format.js";
import { showToast } from "./toast.js";

/** Create an invitation and show its link. */
export async function openInviteDialog(api, conversationId) {
  let invitation;
  try {
    invitation = await api.createInvitation(conversationId);
  } catch (error) {
    showToast(errorText(error));
    return;
  }
  const link = linkToInvitation(invitation.token);
  const input = el("input.input", {
    readonly: true,
    dir: "ltr",
    value: link,
    "aria-label": t("invite.link"),
    onfocus: () => input.select(),
  });
  const copy = async () => {
    try {
      await copyText(link);
      showToast(t("invite.copied"));
    } catch {
      // The link can be copied by hand.
      input.focus();
    }
  };
  const endAll = async () => {
    if (!(await confirm(t("invite.end_all.question"), t("invite.end_all")))) return;
    try {
      await api.endInvitations(conversationId);
      dialog.close();
      showToast(t("invite.ended"));
    } catch (error) {
      showToast(errorText(error));
    }
  };
  const dialog = showDialog(
    t("invite.title"),
    el(
      "div.form",
      {},
      el("p", {}, t("invite.hint")),
      input,
      el("p.muted.small", {}, t("invite.until", { when: fullDateTime(invitation.expires_at) })),
    ),
    [
      el("button.button.danger", { type: "button", onclick: endAll }, t("invite.end_all")),
      el("button.button.primary", { type: "button", onclick: copy }, t("invite.copy")),
    ],
  );
}
