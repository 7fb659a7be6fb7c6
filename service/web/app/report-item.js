/** The entry of a menu that reports a post or comment. */

import { t } from "./i18n.js";
import { withDialogs } from "./later.js";

/** `subject`: `{kind, id}`. */
export function reportItem(api, subject) {
  const report = () => withDialogs(({ openReportDialog }) => openReportDialog(api, subject));
  return { label: t("report.begin"), icon: "flag", action: report };
}
