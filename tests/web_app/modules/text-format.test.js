/** Formatted text: what is formatting and what is text, and that nothing of a text is lost. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseFormat, plainText } from "../../../service/web/app/text-format.js";
import { random } from "./random.js";

/** Return inline nodes as a tagged string. */
const inline = (nodes) =>
  nodes.map((node) => (typeof node === "string" ? node : `<${node.kind}:${node.text ?? inline(node.content)}>`)).join("");

/** Return the only block of a text that has nothing but inline formatting. */
function format(text) {
  const [block, ...others] = parseFormat(text);
  assert.deepEqual([block.kind, others], ["text", []]);
  return inline(block.content);
}

const INLINE = [
  ["**a b** c", "<strong:a b> c"],
  ["*a* _b_ ~~c~~ `d`", "<emphasis:a> <emphasis:b> <deleted:c> <code:d>"],
  ["***a***", "<strong:<emphasis:a>>"],
  ["**a *b* c**", "<strong:a <emphasis:b> c>"],
  ["(**a**), **b**!", "(<strong:a>), <strong:b>!"],
  ["**Đặng** và *Ånn*", "<strong:Đặng> và <emphasis:Ånn>"],
  // Not formatting: inside words, next to spaces, over lines, empty, unclosed.
  ["2*3*4 snake_case_name", "2*3*4 snake_case_name"],
  ["a * b * c", "a * b * c"],
  ["**a\nb**", "**a\nb**"],
  ["**** ** `` ~~", "**** ** `` ~~"],
  ["*a", "*a"],
  // Code, links and mentions are not searched for markers.
  ["`**a**` `*", "<code:**a**> `*"],
  ["https://example.org/a_b_c_d", "<link:https://example.org/a_b_c_d>"],
  ["**https://example.org**", "<strong:<link:https://example.org>>"],
  ["*@anna* and @ben_", "<emphasis:<mention:@anna>> and <mention:@ben_>"],
  ["`https://example.org @anna`", "<code:https://example.org @anna>"],
  // The character that stands for them may be in the text.
  ["\uE000 **\uE000** `a` \uE000", "\uE000 <strong:\uE000> <code:a> \uE000"],
  ["<b>a</b> &amp;", "<b>a</b> &amp;"],
];

test("inline formatting", () => {
  for (const [text, expected] of INLINE) assert.equal(format(text), expected, text);
});

test("blocks", () => {
  const blocks = parseFormat("a\n- b\n* **c**\nd\n7. e\n8) f\n> g\n> h\n```js\n*i*\n\n- j\n```\nk");
  const shown = blocks.map(({ kind, content, items, start, text }) => [
    kind,
    text ?? (items ? items.map(inline) : inline(content)),
    start,
  ]);
  assert.deepEqual(shown, [
    ["text", "a", undefined],
    ["list", ["b", "<strong:c>"], undefined],
    ["text", "d", undefined],
    ["numbered-list", ["e", "f"], 7],
    ["quote", "g\nh", undefined],
    ["code-block", "*i*\n\n- j", undefined],
    ["text", "k", undefined],
  ]);
});

test("what is no block is text", () => {
  for (const text of ["-a", "- ", "1.a", "1234567890. a", "```\nunclosed", "a ```\nb\n```", "–"]) {
    assert.equal(format(text), text, text);
  }
});

test("emphasis has a depth", () => {
  const levels = "<emphasis:a <emphasis:b <emphasis:c <emphasis:d *e*>>>>";
  assert.equal(format("*a *b *c *d *e*****"), levels);
});

const PIECES = [..."*_~`->.1 ab\n\uE000", "**", "~~", "```", "```\n", "- ", "1. ", "> ", "http://a.b/c_d", "@anna"];
const MARKERS = new Set("*_~`->.) \n•0123456789");

const plain = (nodes) => nodes.map((node) => (typeof node === "string" ? node : (node.text ?? plain(node.content)))).join("");
const plainBlock = ({ text, content, items }) => text ?? (items ? items.map(plain).join("\n") : plain(content));

test("only markers are removed, and nothing is moved or added", () => {
  const next = random(20261127);
  for (let example = 0; example < 5000; example++) {
    const text = Array.from({ length: Math.floor(next() * 30) }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
    let position = 0;
    for (const character of parseFormat(text).map(plainBlock).join("\n")) {
      for (; text[position] !== character; position++) {
        // The word behind an opening fence names a language, and is not shown.
        const isFence = text.slice(text.lastIndexOf("\n", position) + 1).startsWith("```");
        assert.ok(position < text.length && (MARKERS.has(text[position]) || isFence), JSON.stringify(text));
      }
      position += 1;
    }
  }
});

test("a long text of markers does not stop the page", () => {
  for (const piece of ["*a ", "**a ", "~~x ", "_", "`", "```\n", "```x\n", "> ", "*a _b **c ", "**a*b"]) {
    const text = piece.repeat(16_000 / piece.length);
    const start = process.cpuUsage();
    parseFormat(text);
    const { user } = process.cpuUsage(start);
    // The longest allowed text is a quarter of this. Quadratic time would be seconds.
    assert.ok(user < 1_000_000, `${piece}: ${user} µs`);
  }
});

test("a preview has the text without its formatting", () => {
  for (const [text, preview] of [
    ["**a *b*** ~~c~~ `d_e` https://example.org/a_b @anna", "a b c d_e https://example.org/a_b @anna"],
    ["- one\n- **two**\n3. three\n> quoted", "• one\n• two\n3. three\nquoted"],
    ["```\nlet x = **y**;\n```", "let x = **y**;"],
    ["**unclosed <b>", "**unclosed <b>"],
    ["", ""],
  ]) {
    assert.equal(plainText(text), preview);
  }
});
