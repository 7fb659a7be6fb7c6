/** The dialog in which a user describes an image, for those who do not see it. */

import { showDialog } from "./dialog.js";
import { el } from "./dom.js";
import { autoGrow, createForm, labelled } from "./form.js";
import { t } from "./i18n.js";

/** The server's limit. */
const MAX_LENGTH = 250;

/** `attachment`: an image that is not used yet. `onDescribed(attachment)` is called once the dialog has closed. */
export function openDescriptionDialog(api, attachment, onDescribed) {
  const text = el("textarea.input", { rows: 2, maxlength: MAX_LENGTH, dir: "auto", autofocus: true });
  text.value = attachment.description ?? "";
  autoGrow(text);
  const describe = async () => {
    const described = await api.describeAttachment(attachment.id, text.value);
    dialog.close();
    await dialog.closed;
    onDescribed(described);
  };
  const form = createForm([], t("save"), describe, [
    el("img.described", { src: attachment.thumbnail_url, alt: "" }),
    labelled("attachments.description", text),
    el("p.hint", {}, t("attachments.description.hint")),
  ]);
  const dialog = showDialog(t("attachments.describe", { name: attachment.name }), form);
}
