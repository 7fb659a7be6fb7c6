/**
 * Parses the formatting of user-written text: a part of CommonMark, in time that the length of a text bounds.
 *
 * Inline: `**strong**`, `*emphasis*` or `_emphasis_`, `~~deleted~~`, `` `code` ``, links and mentions. Blocks, by line:
 * fenced code, `- ` and `1. ` lists, `> ` quotes. What is not closed is text, as are HTML and everything else.
 */

import { findLinks } from "./links.js";
import { findMentions } from "./mentions.js";

/** Stands for code, a link or a mention while emphasis is searched for. One that the text contains is replaced, too. */
const ATOM = "\uE000";
const CODE = /`([^`\n]+)`/gu;
/** A marker inside a word is text: `snake_case`, `2*3*4`. */
const EMPHASIS =
  /(?<![\p{L}\p{N}*_~])(\*\*|~~|\*(?!\*)|_(?!_))(?=\S)([^\n]{1,1000}?)(?<=\S)\1(?![\p{L}\p{N}*_~])/u;
const KINDS = { "**": "strong", "~~": "deleted", "*": "emphasis", _: "emphasis" };
/** Emphasis within emphasis; deeper markers are text. */
const MAX_DEPTH = 4;

const FENCE = /^```[^`]*$/u;
const BLOCKS = [
  { kind: "list", pattern: /^[-*•] +(\S.*)$/u },
  { kind: "numbered-list", pattern: /^(\d{1,9})[.)] +(\S.*)$/u },
  { kind: "quote", pattern: /^> ?(.*)$/u },
];

/**
 * Return the blocks of `text` in order:
 *
 * - {kind: "text", content}, where `content` are inline nodes;
 * - {kind: "code-block", text};
 * - {kind: "list", items}, {kind: "numbered-list", start, items}, where each item is a list of inline nodes;
 * - {kind: "quote", content}.
 *
 * An inline node is a string, {kind: "code" | "link" | "mention", text}, or {kind: "strong" | "emphasis" | "deleted",
 * content}.
 */
export function parseFormat(text) {
  const lines = text.split("\n");
  /** The line of each closing fence, from the last one on. */
  const closing = lines.flatMap((line, index) => (line.trimEnd() === "```" ? [index] : [])).reverse();
  const blocks = [];
  let plain = [];
  const flush = () => {
    if (plain.length) blocks.push({ kind: "text", content: parseInline(plain.join("\n")) });
    plain = [];
  };
  for (let index = 0; index < lines.length; ) {
    while (closing.length && closing.at(-1) <= index) closing.pop();
    const end = FENCE.test(lines[index]) ? closing.at(-1) : undefined;
    const block = BLOCKS.find(({ pattern }) => pattern.test(lines[index]));
    if (end !== undefined) {
      flush();
      blocks.push({ kind: "code-block", text: lines.slice(index + 1, end).join("\n") });
      index = end + 1;
    } else if (block) {
      flush();
      const first = index;
      while (index < lines.length && block.pattern.test(lines[index])) index += 1;
      blocks.push(parseLines(block, lines.slice(first, index)));
    } else {
      plain.push(lines[index]);
      index += 1;
    }
  }
  flush();
  return blocks;
}

/** Return `text` without its formatting, for a preview of one line. */
export function plainText(text) {
  const blocks = parseFormat(text).map(({ content, text: code, items, start }) => {
    if (!items) return content ? plainInline(content) : code;
    return items.map((item, index) => `${start === undefined ? "•" : `${start + index}.`} ${plainInline(item)}`).join("\n");
  });
  return blocks.join("\n");
}

function plainInline(nodes) {
  return nodes.map((node) => (typeof node === "string" ? node : (node.text ?? plainInline(node.content)))).join("");
}

function parseLines({ kind, pattern }, lines) {
  const matches = lines.map((line) => pattern.exec(line));
  const texts = matches.map((match) => match.at(-1));
  if (kind === "quote") return { kind, content: parseInline(texts.join("\n")) };
  const items = texts.map(parseInline);
  return kind === "list" ? { kind, items } : { kind, start: Number(matches[0][1]), items };
}

function parseInline(text) {
  const atoms = [];
  const masked = findAtoms(text)
    .map((part) => {
      if (typeof part === "string" && part !== ATOM) return part;
      atoms.push(part);
      return ATOM;
    })
    .join("");
  return parseEmphasis(masked, atoms[Symbol.iterator](), 0);
}

/** Return the strings, links, mentions and pieces of code that make up `text`. */
function findAtoms(text) {
  const parts = [];
  let end = 0;
  for (const { 0: match, 1: code, index } of text.matchAll(CODE)) {
    parts.push(...findLinksAndMentions(text.slice(end, index)), { kind: "code", text: code });
    end = index + match.length;
  }
  return [...parts, ...findLinksAndMentions(text.slice(end))];
}

function findLinksAndMentions(text) {
  return findLinks(text).flatMap((part) =>
    part.isLink
      ? [{ kind: "link", text: part.text }]
      : findMentions(part.text).flatMap(({ text, isMention }) =>
          isMention ? [{ kind: "mention", text }] : text.split(/(\uE000)/u).filter(Boolean),
        ),
  );
}

/** `atoms`: an iterator of what each ATOM in `masked` stands for, in order. */
function parseEmphasis(masked, atoms, depth) {
  const nodes = [];
  const addText = (part) => {
    for (const piece of part.split(/(\uE000)/u).filter(Boolean)) nodes.push(piece === ATOM ? atoms.next().value : piece);
  };
  let rest = masked;
  for (let match; depth < MAX_DEPTH && (match = EMPHASIS.exec(rest)); ) {
    const [whole, marker, content] = match;
    addText(rest.slice(0, match.index));
    nodes.push({ kind: KINDS[marker], content: parseEmphasis(content, atoms, depth + 1) });
    // The look-behind of the next match sees the closing marker as the beginning of the text: no letter.
    rest = rest.slice(match.index + whole.length);
  }
  addText(rest);
  return nodes;
}
