/** The "Load more" button at the end of a list; it also loads by itself when it scrolls into view. */

import { whileBusy } from "./busy-button.js";
import { el, setAttr } from "./dom.js";
import { errorText, t } from "./i18n.js";
import { showToast } from "./toast.js";

/** The next page is loaded when the button is this close to the viewport. */
const PRELOAD_MARGIN = "400px";

/** `load()` fetches the next page. Returns {element, setHasMore(hasMore), close()}; hidden until `setHasMore(true)`. */
export function loadMoreButton(load) {
  const button = el("button.button", { type: "button", hidden: true, onclick: () => loadNext() }, t("load_more"));
  const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && !button.hidden && loadNext(), {
    rootMargin: `${PRELOAD_MARGIN} 0px`,
  });
  observer.observe(button);

  function loadNext() {
    return whileBusy(button, loadPage);
  }

  async function loadPage() {
    try {
      await load();
    } catch (error) {
      showToast(errorText(error));
    } finally {
      // The observer reports only changes: observe again, in case the button is still in view.
      observer.unobserve(button);
      observer.observe(button);
    }
  }

  return {
    element: button,
    setHasMore: (hasMore) => setAttr(button, "hidden", !hasMore),
    close: () => observer.disconnect(),
  };
}
