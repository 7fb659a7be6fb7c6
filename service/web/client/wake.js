/**
 * Call `handler` whenever the browser has the network back, or someone looks at the page again: what was lost may work
 * now, and what seems to work may have died in the meantime.
 * @param {Window | undefined} window
 * @param {() => void} handler
 * @returns {() => void} ends it
 */
export function onWake(window, handler) {
  if (!window) return () => {};
  const { document } = window;
  const seen = () => {
    if (document.visibilityState === "visible") handler();
  };
  window.addEventListener("online", handler);
  document.addEventListener("visibilitychange", seen);
  return () => {
    window.removeEventListener("online", handler);
    document.removeEventListener("visibilitychange", seen);
  };
}
