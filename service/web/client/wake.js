/**
 * Call `handler` when the browser is online again or the page becomes visible: a failed connection may work now, and a
 * connection that seems to work may have died in the meantime.
 * @param {Window | undefined} window
 * @param {() => void} handler
 * @returns {() => void} removes the listeners
 */
export function onWake(window, handler) {
  if (!window) return () => {};
  const { document } = window;
  const onVisibilityChange = () => {
    if (document.visibilityState === "visible") handler();
  };
  window.addEventListener("online", handler);
  document.addEventListener("visibilitychange", onVisibilityChange);
  return () => {
    window.removeEventListener("online", handler);
    document.removeEventListener("visibilitychange", onVisibilityChange);
  };
}

/**
 * Call `onHide` when the user leaves the page, and `onShow` when the browser shows it again as it was (from its
 * back/forward cache).
 * @param {Window | undefined} window
 * @param {{onHide: () => void, onShow: () => void}} handlers
 * @returns {() => void} removes the listeners
 */
export function onPageCache(window, { onHide, onShow }) {
  if (!window) return () => {};
  const onPageShow = (/** @type {PageTransitionEvent} */ { persisted }) => persisted && onShow();
  window.addEventListener("pagehide", onHide);
  window.addEventListener("pageshow", onPageShow);
  return () => {
    window.removeEventListener("pagehide", onHide);
    window.removeEventListener("pageshow", onPageShow);
  };
}
