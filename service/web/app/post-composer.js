/** The form for writing a post or a comment. */

import { avatar } from "./avatar.js";
import { el, setText } from "./dom.js";
import { autoGrow } from "./form.js";
import { errorText, t } from "./i18n.js";

/** Characters; the server's limit. */
const MAX_LENGTH = 4000;

/**
 * Return {element, focus()}. `send(content)` returns a promise; the text is cleared only after it resolves. With
 * `onCancel`, the form has a cancel button.
 */
export function postComposer({ me, label, placeholder, submitLabel, send, onCancel }) {
  const textarea = el("textarea.input", {
    rows: "1",
    maxlength: String(MAX_LENGTH),
    "aria-label": label,
    placeholder: placeholder ?? label,
    oninput: () => updateButton(),
    onkeydown: (event) => onKeyDown(event),
  });
  const errorLine = el("p.error", { role: "alert" });
  const button = el("button.button.primary", { type: "submit" }, submitLabel);
  const resize = autoGrow(textarea);

  const updateButton = () => {
    button.disabled = textarea.value.trim() === "";
  };
  const onKeyDown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) element.requestSubmit();
    if (event.key === "Escape") onCancel?.();
  };
  const onSubmit = async (event) => {
    event.preventDefault();
    const content = textarea.value.trim();
    if (!content || button.disabled) return;
    button.disabled = true;
    setText(errorLine, "");
    try {
      await send(content);
      textarea.value = "";
      resize();
    } catch (error) {
      setText(errorLine, errorText(error));
    } finally {
      updateButton();
    }
  };

  const element = el(
    "form.post-composer",
    { onsubmit: onSubmit },
    avatar(me, "small"),
    textarea,
    el(
      "div.actions",
      {},
      errorLine,
      onCancel && el("button.button.plain", { type: "button", onclick: onCancel }, t("cancel")),
      button,
    ),
  );
  updateButton();
  return { element, focus: () => textarea.focus() };
}
