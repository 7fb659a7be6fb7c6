/** Written text for the page: as it was typed, with its web addresses as links. */

import { el } from "./dom.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/giu;
const SCHEMES = new Set(["http:", "https:"]);
const CLOSING = { ")": "(", "]": "[", "}": "{" };

/** Nodes: text, and links made by code from what is an http(s) address. */
export function richText(text) {
  const nodes = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = withoutSentence(found);
    const link = linkTo(address);
    if (!link) continue;
    if (index > done) nodes.push(text.slice(done, index));
    nodes.push(link);
    done = index + address.length;
  }
  if (done < text.length) nodes.push(text.slice(done));
  return nodes;
}

/** What ends the sentence does not belong to the address; a bracket does that was opened in it. */
function withoutSentence(found) {
  let address = found;
  for (;;) {
    const last = address.at(-1);
    const opened = CLOSING[last];
    const closesSentence = opened ? count(address, last) > count(address, opened) : ".,;:!?'’”…".includes(last);
    if (!closesSentence) return address;
    address = address.slice(0, -1);
  }
}

function count(text, character) {
  return text.split(character).length - 1;
}

function linkTo(address) {
  if (!URL.canParse(address) || !SCHEMES.has(new URL(address).protocol)) return null;
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address);
}
