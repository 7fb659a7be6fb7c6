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
