/** URLs in text: found as a person would, and in linear time. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { findLinks, linkAttributes } from "../../../service/web/app/links.js";
import { random } from "./random.js";

const PIECES = [..."()[]{}.,;:!?'’”…x/ \n<>\"", "http://a", "https://example.org/b", "HTTP://C", "http://", "😀", "http"];
const EXAMPLES = 3000;
const MAX_PIECES = 30;
/** Characters, and how many times as many are measured against them. */
const SHORT = 5000;
const FACTOR = 16;
/** A linear algorithm takes 16 times as long, a quadratic one 256 times. The rest is for the noise of a busy machine. */
const MAX_RATIO = 4 * FACTOR;

/** The definition, without regard to time: remove punctuation, and closing brackets that were not opened, from the end. */
function withoutPunctuation(url) {
  const count = (character) => url.split(character).length - 1;
  const opening = { ")": "(", "]": "[", "}": "{" }[url.at(-1)];
  const isPunctuation = opening ? count(url.at(-1)) > count(opening) : url !== "" && ".,;:!?*~'’”…".includes(url.at(-1));
  return isPunctuation ? withoutPunctuation(url.slice(0, -1)) : url;
}

test("the parts make up the text, and links end as defined", () => {
  const next = random(20261126);
  let links = 0;
  for (let example = 0; example < EXAMPLES; example++) {
    const length = Math.floor(next() * MAX_PIECES);
    const text = Array.from({ length }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
    const parts = findLinks(text);
    assert.equal(parts.map((part) => part.text).join(""), text);
    const expected = [...text.matchAll(/\bhttps?:\/\/[^\s<>"]+/giu)]
      .map(([match]) => withoutPunctuation(match))
      .filter((url) => URL.canParse(url) && /^https?:$/u.test(new URL(url).protocol));
    const found = parts.filter(({ isLink }) => isLink).map((part) => part.text);
    assert.deepEqual(found, expected, JSON.stringify(text));
    links += found.length;
  }
  assert.ok(links > EXAMPLES / 2);
});

for (const [name, build] of [
  ["closing brackets", (n) => `http://a${")".repeat(n)}`],
  ["mixed closing brackets", (n) => `http://a${")]}".repeat(n / 3)}`],
  ["opening and closing brackets", (n) => `http://a${"(".repeat(n / 2)}${")".repeat(n / 2)}`],
  ["punctuation", (n) => `http://a${".".repeat(n)}`],
  ["many URLs", (n) => "http://a) ".repeat(n / 10)],
  ["schemes", (n) => "http://".repeat(n / 7)],
]) {
  test(`the time for ${name} is proportional to their number`, () => {
    // Processor time: a clock would count the work of other processes, too.
    const least = (text) => {
      const durations = Array.from({ length: 5 }, () => {
        const start = process.cpuUsage();
        findLinks(text);
        const { user, system } = process.cpuUsage(start);
        return user + system;
      });
      return Math.min(...durations);
    };
    const long = least(build(SHORT * FACTOR));
    const ratio = long / least(build(SHORT));
    assert.ok(ratio < MAX_RATIO, `${ratio}`);
  });
}

test("a link in data leads to http or https, and one to another origin opens in a tab of its own", () => {
  const base = "https://chat.example.org/app/#/posts";
  const other = { target: "_blank", rel: "noopener noreferrer" };
  for (const [url, attributes] of [
    ["/orders/7", { href: "https://chat.example.org/orders/7" }],
    ["#/c/1", { href: "https://chat.example.org/app/#/c/1" }],
    ["https://chat.example.org/x", { href: "https://chat.example.org/x" }],
    ["https://shop.example.org/x", { href: "https://shop.example.org/x", ...other }],
    ["http://chat.example.org/x", { href: "http://chat.example.org/x", ...other }],
  ])
    assert.deepEqual(linkAttributes(url, base), attributes, url);
  for (const url of ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "http://[", "", null])
    assert.equal(linkAttributes(url, base), null, url);
  for (const url of ["//evil.example", "/\\evil.example", "\\/evil.example", " /\t/evil.example", "///evil.example"])
    assert.equal(linkAttributes(url, base), null, url);
});
