/** Where one writes a post or a comment. */

import { avatar } from "./avatar.js";
import { el, setText } from "./dom.js";
import { growing } from "./form.js";
import { errorText, t } from "./i18n.js";

const MAX = 4000;
/** Characters, as the server counts them. */

/** `send(content)`: what is written is kept until it has succeeded. `cancel`: shown where it is given. */
export function writer({ me, label, placeholder, action, send, cancel }) {
  const text = el("textarea.input", {
    rows: "1",
    maxlength: String(MAX),
    "aria-label": label,
    placeholder: placeholder ?? label,
    oninput: () => update(),
    onkeydown: (event) => onKey(event),
  });
  const problem = el("p.problem", { role: "alert" });
  const button = el("button.button.primary", { type: "submit" }, action);
  const grow = growing(text);

  const update = () => {
    button.disabled = text.value.trim() === "";
  };
  const onKey = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) element.requestSubmit();
    if (event.key === "Escape") cancel?.();
  };
  const submit = async (event) => {
    event.preventDefault();
    const content = text.value.trim();
    if (!content || button.disabled) return;
    button.disabled = true;
    setText(problem, "");
    try {
      await send(content);
      text.value = "";
      grow();
    } catch (error) {
      setText(problem, errorText(error));
    } finally {
      update();
    }
  };

  const element = el(
    "form.writer",
    { onsubmit: submit },
    avatar(me, "small"),
    text,
    el(
      "div.actions",
      {},
      problem,
      cancel && el("button.button.plain", { type: "button", onclick: cancel }, t("cancel")),
      button,
    ),
  );
  update();
  return { element, focus: () => text.focus() };
}
