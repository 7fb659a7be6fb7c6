/** The foot of a list that has more: it loads when it comes near, and by a button for who does not scroll. */

import { el, set } from "./dom.js";
import { say } from "./toast.js";
import { errorText, t } from "./i18n.js";

/** `load()` fetches one page more. Returns {element, hasMore(yes): show it or not, close}. */
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
      await load();
    } catch (error) {
      say(errorText(error));
    } finally {
      button.disabled = false;
      // It only speaks when it comes into view: ask again, in case it has never left.
      watcher.unobserve(button);
      watcher.observe(button);
    }
  }

  return { element: button, hasMore: (yes) => set(button, "hidden", !yes), close: () => watcher.disconnect() };
}
