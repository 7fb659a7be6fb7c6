/** What the export of the user's data has, and the button that downloads it. */

import { el } from "./dom.js";
import { createForm } from "./form.js";
import { t } from "./i18n.js";
import { saveFile } from "./save-file.js";
import { showToast } from "./toast.js";

export function dataExport(api) {
  const form = createForm([], t("account.export.begin"), async () => {
    saveFile(await api.exportData(), "loa-export.ndjson");
    showToast(t("account.export.done"));
  });
  form.querySelector("button").classList.remove("primary");
  return el("div.confirmation", {}, el("p", {}, t("account.export.what")), form);
}
