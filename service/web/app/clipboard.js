/** Copying text. */

/** Copy `text`; must be called by an event of the user. Rejects if the browser does not allow it. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // On a page without TLS, only the selection can be copied; the event says what is copied instead of it.
  const onCopy = (event) => {
    event.preventDefault();
    event.clipboardData.setData("text/plain", text);
  };
  document.addEventListener("copy", onCopy, { once: true });
  const copied = document.execCommand("copy");
  document.removeEventListener("copy", onCopy);
  if (!copied) throw new DOMException("The browser did not copy the text.", "NotAllowedError");
}
