/** Keeps texts current that depend on the present time, such as "5 min. ago" and "Today". */

import { setText } from "./dom.js";

const MINUTE = 60_000;

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

function update() {
  for (const element of document.querySelectorAll(".current-text")) setText(element, element.computeText());
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
