/** Modal dialogs. The browser traps the focus, closes them on Escape, and gives the focus back. */

import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";
import { hostToasts } from "./toast.js";

/** A dialog may open another, which has a title of its own. */
let dialogCount = 0;

/**
 * Show `body`, with the buttons `actions` below it. Returns {close(), focus(), closed, setTitle(text)}; `closed` is
 * a promise that resolves when the dialog closes, `focus` moves the focus to its title.
 */
export function showDialog(title, body, actions = []) {
  const heading = el("h2", { id: `dialog-title-${(dialogCount += 1)}`, tabindex: "-1", dir: "auto" }, title);
  const footer = actions.length > 0 ? el("footer", {}, actions) : null;
  const dialog = el(
    "dialog",
    { "aria-labelledby": heading.id },
    el(
      "header",
      {},
      heading,
      closeButton(() => dialog.close()),
    ),
    el("div.body.scroll", {}, body),
    footer,
  );
  // Only a press on the backdrop has the dialog itself as its target: child elements cover the rest. `pointerdown`
  // rather than `click`, because selecting text in a field may end with a click on the backdrop.
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const close = () => dialog.close();
  // Navigation closes the dialog, above all the back button of a phone.
  addEventListener("hashchange", close);
  document.body.append(dialog);
  dialog.showModal();
  const releaseToasts = hostToasts(dialog, footer);
  closed.then(() => {
    removeEventListener("hashchange", close);
    releaseToasts();
    dialog.remove();
  });
  if (!body.querySelector?.("[autofocus]")) heading.focus();
  return { close, focus: () => heading.focus(), closed, setTitle: (text) => setChildren(heading, text) };
}

/** Ask for confirmation of an action that cannot be undone. Resolves to a boolean. */
export async function confirm(question, confirmLabel) {
  let confirmed = false;
  const finish = (value) => () => {
    confirmed = value;
    dialog.close();
  };
  const dialog = showDialog(question, el("div"), [
    el("button.button", { type: "button", onclick: finish(false) }, t("cancel")),
    el("button.button.danger", { type: "button", onclick: finish(true) }, confirmLabel),
  ]);
  await dialog.closed;
  return confirmed;
}

export function closeButton(onClose) {
  return el("button.icon-button", { type: "button", "aria-label": t("close"), onclick: onClose }, icon("close"));
}
