/** Turns URLs in plain text into links, and marks mentions. */

import { el } from "./dom.js";
import { findLinks } from "./links.js";
import { findMentions } from "./mentions.js";

/** Return `text` as a list of strings and link elements. Only http and https URLs become links. */
export function linkify(text) {
  return findLinks(text).map((part) => (part.isLink ? createLink(part.text) : part.text));
}

/** As `linkify`, with the mentions marked. */
export function linkifyWithMentions(text) {
  return findLinks(text).flatMap((part) => (part.isLink ? createLink(part.text) : markMentions(part.text)));
}

function markMentions(text) {
  return findMentions(text).map((part) => (part.isMention ? el("bdi.mention", {}, part.text) : part.text));
}

function createLink(url) {
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, url);
}
