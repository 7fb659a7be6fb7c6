/** The dialog that reports a user, or what they have written, to the moderators. */

import { showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { autoGrow, createForm, labelled } from "./form.js";
import { t } from "./i18n.js";
import { RadioField } from "./radio-field.js";
import { showToast } from "./toast.js";

/** The server's limit for a note. */
const MAX_NOTE = 1000;

const TITLES = {
  user: "report.user",
  message: "report.message",
  post: "report.post",
  comment: "report.comment",
};

/** `subject`: `{kind, id}`, see the client's `ReportSubject`. `name`: of the user who is reported. */
export function openReportDialog(api, subject, name = "") {
  const reason = new RadioField("report_reason", [
    { value: "spam", label: t("report.spam") },
    { value: "abuse", label: t("report.abuse") },
    { value: "other", label: t("report.other") },
  ]);
  const note = el("textarea.input", { rows: 2, maxlength: MAX_NOTE, dir: "auto" });
  autoGrow(note);
  const report = async () => {
    await api.report(subject, reason.value, note.value);
    dialog.close();
    await dialog.closed;
    showToast(t("report.thanks"));
  };
  const form = createForm([reason], t("report.send"), report, [
    labelled("report.note", note),
    el("p.hint", {}, t("report.who_sees_it")),
  ]);
  const dialog = showDialog(t(TITLES[subject.kind], { name }), form);
}
