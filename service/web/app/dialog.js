/** A modal dialog: the browser keeps the focus in it, closes it on Escape, and gives the focus back. */

import { el, fill } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

/** Show `body`, with `actions` below it. Returns {close(), closed}: `closed` is a promise of the end. */
export function showDialog(title, body, actions = []) {
  const heading = el("h2", { id: "dialog-title", tabindex: "-1" }, title);
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
    actions.length > 0 && el("footer", {}, actions),
  );
  // A press on the veil is one on the dialog itself: all that is seen of it has an element of its own. Not a click,
  // which also ends the selecting of text in a field.
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  // Whoever goes elsewhere, by the back button of a phone above all, does not take it along.
  addEventListener("hashchange", () => dialog.close(), { once: true });
  closed.then(() => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  if (!body.querySelector?.("[autofocus]")) heading.focus();
  return { close: () => dialog.close(), closed, setTitle: (text) => fill(heading, text) };
}

/** Ask before what cannot be taken back. A promise of yes or no. */
export async function confirm(question, yes) {
  let answer = false;
  const finish = (value) => () => {
    answer = value;
    dialog.close();
  };
  const dialog = showDialog(question, el("div"), [
    el("button.button", { type: "button", onclick: finish(false) }, t("cancel")),
    el("button.button.danger", { type: "button", onclick: finish(true) }, yes),
  ]);
  await dialog.closed;
  return answer;
}

export function closeButton(close) {
  return el("button.icon-button", { type: "button", "aria-label": t("close"), onclick: close }, icon("close"));
}
