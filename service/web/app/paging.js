/** The foot of a list that has more: it loads when it comes near, and by a button for who does not scroll. */

import { el, set } from "./dom.js";
import { say } from "./toast.js";
import { errorText, t } from "./i18n.js";

/** `load()` fetches one page more and returns whether there are still others. Returns {element, hasMore(yes), close}. */
export function moreButton(load) {
  const button = el("button.button", { type: "button", hidden: true, onclick: () => more() }, t("more"));
  const watcher = new IntersectionObserver(([entry]) => entry.isIntersecting && !button.hidden && more(), {
    rootMargin: "400px 0px",
  });
  watcher.observe(button);

  async function more() {
    if (button.disabled) return;
    button.disabled = true;
    try {
      hasMore(await load());
    } catch (error) {
      say(errorText(error));
    } finally {
      button.disabled = false;
    }
  }

  function hasMore(yes) {
    set(button, "hidden", !yes);
    // It only speaks when it comes into view: ask again, in case it has never left.
    watcher.unobserve(button);
    watcher.observe(button);
  }

  return { element: button, hasMore, close: () => watcher.disconnect() };
}
