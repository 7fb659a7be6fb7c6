/** Words at the edge of the page that go again by themselves. */

import { closeButton } from "./dialog.js";
import { el } from "./dom.js";

const SECONDS = 8;

const region = el("div.toasts", { role: "status", "aria-live": "polite" });

/** Where the toasts are; it has to be in the page before the first of them, or that one would not be read out. */
export function toastRegion() {
  return region;
}

/** `before`: a picture; `content`: a paragraph or a link. It waits for as long as it is pointed at or in focus. */
export function showToast(before, content) {
  const toast = el(
    "div.toast",
    {},
    before,
    content,
    closeButton(() => toast.remove()),
  );
  let timer;
  const wait = () => {
    timer = setTimeout(() => toast.remove(), SECONDS * 1000);
  };
  const stay = () => clearTimeout(timer);
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, stay);
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, wait);
  if (content.localName === "a") content.addEventListener("click", () => toast.remove());
  region.append(toast);
  wait();
}

export function say(text) {
  showToast(null, el("p", {}, text));
}
