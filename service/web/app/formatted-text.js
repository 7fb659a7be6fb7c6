/** Shows formatted user-written text: see text-format.js. */

import { el } from "./dom.js";
import { parseFormat } from "./text-format.js";

/** Return the nodes of `text`. Only http and https URLs become links. */
export function formattedText(text) {
  return parseFormat(text).map(renderBlock);
}

function renderBlock(block) {
  switch (block.kind) {
    case "text":
      return renderInline(block.content);
    case "code-block":
      return el("pre.code", { dir: "ltr", tabindex: "0" }, block.text);
    case "list":
      return el("ul", {}, renderItems(block));
    case "numbered-list":
      return el("ol", { start: block.start }, renderItems(block));
    case "quote":
      return el("blockquote", {}, renderInline(block.content));
  }
}

function renderItems({ items }) {
  return items.map((content) => el("li", {}, renderInline(content)));
}

function renderInline(nodes) {
  return nodes.map((node) => {
    if (typeof node === "string") return node;
    const { kind, text, content } = node;
    switch (kind) {
      case "code":
        return el("code", { dir: "ltr" }, text);
      case "link":
        return el("a", { href: text, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
      case "mention":
        return el("bdi.mention", {}, text);
      case "strong":
        return el("strong", {}, renderInline(content));
      case "emphasis":
        return el("em", {}, renderInline(content));
      case "deleted":
        return el("s", {}, renderInline(content));
    }
  });
}
