/** Turns URLs in plain text into links. */

import { el } from "./dom.js";
import { findLinks } from "./links.js";

/** Return `text` as a list of strings and link elements. Only http and https URLs become links. */
export function linkify(text) {
  return findLinks(text).map((part) => (part.isLink ? createLink(part.text) : part.text));
}

function createLink(url) {
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, url);
}
