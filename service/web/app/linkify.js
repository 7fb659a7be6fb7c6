/** Turns URLs in plain text into links. */

import { el } from "./dom.js";

const URL_PATTERN = /\bhttps?:\/\/[^\s<>"]+/giu;
const SCHEMES = new Set(["http:", "https:"]);
const BRACKETS = { ")": "(", "]": "[", "}": "{" };

/** Return `text` as a list of strings and link elements. Only http and https URLs become links. */
export function linkify(text) {
  const nodes = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(URL_PATTERN)) {
    const url = trimPunctuation(match);
    const link = createLink(url);
    if (!link) continue;
    if (index > end) nodes.push(text.slice(end, index));
    nodes.push(link);
    end = index + url.length;
  }
  if (end < text.length) nodes.push(text.slice(end));
  return nodes;
}

/** Remove the punctuation that ends a sentence; a closing bracket stays if it was opened within the URL. */
function trimPunctuation(match) {
  let url = match;
  for (;;) {
    const last = url.at(-1);
    const opening = BRACKETS[last];
    const isPunctuation = opening ? count(url, last) > count(url, opening) : ".,;:!?'’”…".includes(last);
    if (!isPunctuation) return url;
    url = url.slice(0, -1);
  }
}

function count(text, character) {
  return text.split(character).length - 1;
}

function createLink(url) {
  if (!URL.canParse(url) || !SCHEMES.has(new URL(url).protocol)) return null;
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, url);
}
