/** Keeps current what depends on the present time, such as the texts "5 min. ago" and "Today". */

import { setText } from "./dom.js";

const MINUTE = 60_000;
const listeners = new Set([updateTexts]);

/**
 * Show `compute()` in `element`, and again at the start of every minute, as long as the element is in the document. A
 * later call replaces `compute`.
 */
export function keepCurrent(element, compute) {
  element.classList.add("current-text");
  element.computeText = compute;
  setText(element, compute());
  return element;
}

/**
 * Call `listener` at the start of every minute, and when the user returns to the page. Return a function that ends this.
 */
export function subscribeToClock(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function updateTexts() {
  for (const element of document.querySelectorAll(".current-text")) setText(element, element.computeText());
}

function update() {
  for (const listener of listeners) listener();
}

/** At the start of a minute, since at midnight "Today" becomes "Yesterday". */
function scheduleUpdate() {
  setTimeout(
    () => {
      update();
      scheduleUpdate();
    },
    MINUTE - (Date.now() % MINUTE),
  );
}

scheduleUpdate();
// Timers do not run while the computer sleeps, and late in a page in the background.
document.addEventListener("visibilitychange", update);
addEventListener("focus", update);
