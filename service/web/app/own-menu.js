/** The menu of a post or comment of the user's own, and the form that edits it. */

import { confirm } from "./dialog.js";
import { errorText, t } from "./i18n.js";
import { menuButton } from "./menu.js";
import { postComposer } from "./post-composer.js";
import { showToast } from "./toast.js";

/**
 * Return the button that opens the menu, with this `label`. `edit()` shows the form; `remove()` deletes the post or
 * comment, once the user has answered the `question`, and returns a promise.
 */
export function ownMenuButton(label, { edit, question, remove }) {
  const askAndRemove = async () => {
    if (!(await confirm(question, t("own.delete")))) return;
    try {
      await remove();
    } catch (error) {
      showToast(errorText(error));
    }
  };
  return menuButton(label, [
    { label: t("own.edit"), icon: "edit", action: edit },
    { label: t("own.delete"), icon: "delete", danger: true, action: askAndRemove },
  ]);
}

/** Return the key of the draft of an edit. */
export function editDraftKey({ id }) {
  return `edit:${id}`;
}

/**
 * Return the form that edits a post or comment; see `postComposer`. `save(content)` returns a promise; `close()` is
 * called when the form is to go.
 */
export function editForm(app, subject, save, close) {
  return postComposer({
    app,
    draftKey: editDraftKey(subject),
    label: t("own.edit"),
    submitLabel: t("save"),
    initialText: subject.content,
    withFiles: false,
    send: async (content) => {
      await save(content);
      close();
    },
    onCancel: close,
  });
}
