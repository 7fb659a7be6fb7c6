/**
 * Toasts: short messages that disappear by themselves. They stand below the header of the view, where they cover no
 * button; in an open dialog or panel they stand at its end, because everything outside of a modal dialog is dimmed and
 * cannot be used.
 */

import { el, setAttr, setText } from "./dom.js";
import { icon } from "./icon.js";
import { t } from "./i18n.js";

/** Milliseconds that a toast is shown. */
const DURATION = 8000;
/** Toasts shown at once; older ones are folded. */
const MAX_SHOWN = 3;
/** Toasts kept at all; beyond, the oldest is dropped. */
const MAX_KEPT = 20;

const fold = el("button.button.fold", { type: "button", hidden: true, onclick: () => unfold() });
const region = el("div.toasts", { role: "status", "aria-live": "polite", "aria-atomic": "false" }, fold);
/** Where the toasts were moved by `hostToasts`, the latest last: {host, previous, previousNext}. */
const stays = [];
let isUnfolded = false;

/**
 * Return the container of the toasts. It must be in the document before the first toast, or screen readers would not
 * announce that one.
 */
export function toastRegion() {
  return region;
}

/** Show the toasts in `host`, before `next` or at its end. Returns a function that moves them back. */
export function hostToasts(host, next = null) {
  const stay = { host, previous: region.parentElement, previousNext: region.nextSibling };
  stays.push(stay);
  host.insertBefore(region, next);
  return () => {
    const index = stays.indexOf(stay);
    if (index < 0) return;
    stays.splice(index, 1);
    const { previous, previousNext } = stay;
    // If another host was opened later, the toasts are there, and go on to `previous` from there.
    if (index < stays.length) Object.assign(stays[index], { previous, previousNext });
    else if (region.parentElement === host) {
      previous?.insertBefore(region, previousNext?.parentNode === previous ? previousNext : null);
    }
  };
}

export function showToast(text) {
  showRichToast(null, el("p", { dir: "auto" }, text));
}

/**
 * Show a toast with an element in front of `content`: a paragraph, link or button. The toast stays while it is
 * hovered or focused. A toast with the same text is replaced.
 */
export function showRichToast(leading, content) {
  for (const shown of toasts()) if (shown.text === content.textContent) shown.remove();
  const remove = () => {
    clearTimeout(timer);
    toast.remove();
    update();
  };
  const toast = el(
    "div.toast",
    {},
    leading,
    content,
    el("button.icon-button", { type: "button", "aria-label": t("close"), onclick: remove }, icon("close")),
  );
  toast.text = content.textContent;
  let timer;
  const startTimer = () => {
    clearTimeout(timer);
    timer = setTimeout(remove, DURATION);
  };
  for (const event of ["pointerenter", "focusin"]) toast.addEventListener(event, () => clearTimeout(timer));
  for (const event of ["pointerleave", "focusout"]) toast.addEventListener(event, startTimer);
  if (content.localName !== "p") content.addEventListener("click", remove);
  region.append(toast);
  startTimer();
  update();
}

function toasts() {
  return [...region.querySelectorAll(".toast")];
}

function unfold() {
  isUnfolded = true;
  update();
}

/** Show the latest toasts, and how many are folded. */
function update() {
  for (const oldest of toasts().slice(0, -MAX_KEPT)) oldest.remove();
  const all = toasts();
  if (all.length <= MAX_SHOWN) isUnfolded = false;
  const folded = isUnfolded ? 0 : Math.max(0, all.length - MAX_SHOWN);
  all.forEach((toast, index) => setAttr(toast, "hidden", index < folded));
  setAttr(fold, "hidden", folded === 0);
  setText(fold, t("toasts.more", { count: folded }));
}
