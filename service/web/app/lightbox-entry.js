/** The history entry of an enlarged image: the back button, above all of a phone, closes the image. */

/** The state of such an entry. */
const STATE = "loa:lightbox";

let isOpen = false;

/** Add the entry. `onBack()` is called when the user goes back. Returns a function to call once the image has closed. */
export function addLightboxEntry(onBack) {
  const abort = new AbortController();
  history.pushState(STATE, "");
  isOpen = true;
  addEventListener("popstate", onBack, { signal: abort.signal });
  return () => {
    isOpen = false;
    abort.abort();
    leaveOldEntry();
  };
}

/**
 * Leave an entry that shows nothing: it stays behind if a link is followed from the image, or the page is reloaded. When
 * the app starts, this must come first: going back takes a moment, in which an image that is opened would close again.
 */
export function leaveOldEntry() {
  if (!isOpen && history.state === STATE) history.back();
}
