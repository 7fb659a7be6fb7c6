/**
 * Toasts: short messages that disappear by themselves. They stand below the header of the view, where they cover no
 * button. In an open dialog or panel, because everything outside of a modal dialog is dimmed and cannot be used, the
 * results of the user's own actions stand at its end; news wait until it closes.
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
/** The toasts, oldest first: {element, text, isNews, notificationId, startTimer(), stopTimer()}. */
let toasts = [];
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
  update();
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
    update();
  };
}

/** Show the result of an action of the user. */
export function showToast(text) {
  addToast(null, el("p", { dir: "auto" }, text), { isNews: false });
}

/**
 * Show news, with an element in front of `content`: a paragraph, link or button. `notificationId`: of the notification
 * that it announces.
 */
export function showNews(leading, content, notificationId = null) {
  addToast(leading, content, { isNews: true, notificationId });
}

/** Close the toasts that announce a notification with an id for which `matches` returns true. */
export function closeNotificationToasts(matches) {
  const closing = toasts.filter(({ notificationId }) => notificationId && matches(notificationId));
  if (closing.length) remove(closing);
}

/** A toast with the same text is replaced. It stays while it is hovered or focused. */
function addToast(leading, content, kind) {
  const close = () => remove([toast]);
  const element = el(
    "div.toast",
    {},
    leading,
    content,
    el("button.icon-button", { type: "button", "aria-label": t("close"), onclick: close }, icon("close")),
  );
  let timer;
  const stopTimer = () => clearTimeout(timer);
  const startTimer = () => {
    stopTimer();
    timer = setTimeout(close, DURATION);
  };
  const toast = { element, text: content.textContent, startTimer, stopTimer, ...kind };
  for (const event of ["pointerenter", "focusin"]) element.addEventListener(event, stopTimer);
  for (const event of ["pointerleave", "focusout"]) element.addEventListener(event, startTimer);
  if (content.localName !== "p") content.addEventListener("click", close);
  remove(toasts.filter(({ text }) => text === toast.text));
  toasts.push(toast);
  region.append(element);
  startTimer();
  remove(toasts.slice(0, -MAX_KEPT));
}

function remove(closing) {
  toasts = toasts.filter((toast) => !closing.includes(toast));
  for (const { element, stopTimer } of closing) {
    stopTimer();
    element.remove();
  }
  update();
}

function unfold() {
  isUnfolded = true;
  update();
}

/** Show the latest toasts, and how many are folded. */
function update() {
  const isHeld = ({ isNews }) => isNews && stays.length > 0;
  const showable = toasts.filter((toast) => !isHeld(toast));
  if (showable.length <= MAX_SHOWN) isUnfolded = false;
  const folded = isUnfolded ? 0 : Math.max(0, showable.length - MAX_SHOWN);
  const hidden = new Set([...toasts.filter(isHeld), ...showable.slice(0, folded)]);
  for (const toast of toasts) {
    const wasHeld = toast.held;
    toast.held = isHeld(toast);
    if (toast.held) toast.stopTimer();
    else if (wasHeld) toast.startTimer();
    setAttr(toast.element, "hidden", hidden.has(toast));
  }
  setAttr(fold, "hidden", folded === 0);
  setText(fold, t("toasts.more", { count: folded }));
}
