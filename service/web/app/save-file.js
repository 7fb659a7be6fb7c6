/** Files that the page has got from the server, saved on the device. */

import { el } from "./dom.js";

/** Let the browser download `blob` as a file of this name. */
export function saveFile(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
