/** Toasts: short messages at the edge of the page that disappear by themselves. */

import { closeButton } from "./dialog.js";
import { el } from "./dom.js";

/** Milliseconds that a toast is shown. */
const DURATION = 8000;

const region = el("div.toasts", { role: "status", "aria-live": "polite" });

/**
 * Return the container of the toasts. It must be in the document before the first toast, or screen readers would not
 * announce that one.
 */
export function toastRegion() {
  return region;
}

export function showToast(text) {
  showRichToast(null, el("p", {}, text));
}

/**
 * Show a toast with an element in front of `content`, which is a paragraph or a link. The toast stays while it is
 * hovered or focused.
 */
export function showRichToast(leading, content) {
  const toast = el(
    "div.toast",
    {},
    leading,
    content,
    closeButton(() => toast.remove()),
  );
  let timer;
  const startTimer = () => {
    timer = setTimeout(() => toast.remove(), DURATION);
  };
  const stopTimer = () => clearTimeout(timer);
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, stopTimer);
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, startTimer);
  if (content.localName === "a") content.addEventListener("click", () => toast.remove());
  region.append(toast);
  startTimer();
}
