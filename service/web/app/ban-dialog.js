/** The dialog with which a moderator bans a user, and the end of a ban. */

import { showDialog } from "./dialog.js";
import { createForm, Field } from "./form.js";
import { t } from "./i18n.js";
import { RadioField } from "./radio-field.js";
import { hasLength } from "./text.js";
import { showToast } from "./toast.js";

const DAY = 86_400_000;
/** Milliseconds of a ban; null: for ever. */
const DURATIONS = { day: DAY, week: 7 * DAY, ever: null };

/** `onBanned()` is called once the user is banned. */
export function openBanDialog(api, { id, display_name: name }, onBanned) {
  const duration = new RadioField("ban_duration", [
    { value: "day", label: t("moderation.ban.day") },
    { value: "week", label: t("moderation.ban.week") },
    { value: "ever", label: t("moderation.ban.ever") },
  ]);
  const reason = new Field("ban_reason", (value) => hasLength(value.trim(), 1, 500), {
    hint: "field.ban_reason.hint",
    autocapitalize: "sentences",
    autocomplete: "off",
  });
  const form = createForm([duration, reason], t("moderation.ban.confirm"), async () => {
    const length = DURATIONS[duration.value];
    const until = length === null ? null : new Date(Date.now() + length).toISOString();
    await api.ban(id, until, reason.value);
    dialog.close();
    await dialog.closed;
    showToast(t("moderation.banned", { name }));
    onBanned();
  });
  const dialog = showDialog(t("moderation.ban.title", { name }), form);
}

/** End the ban of a user, who can then sign in again. Rejects if that fails. */
export async function endBan(api, { id, display_name: name }) {
  await api.unban(id);
  showToast(t("moderation.unbanned", { name }));
}
