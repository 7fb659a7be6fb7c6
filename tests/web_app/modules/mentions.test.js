/** Mentions in text: the same ones that the server finds, and the one that is being written. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { findMentions, unfinishedMention } from "../../../service/web/app/mentions.js";

const mentions = (text) => findMentions(text).flatMap((part) => (part.isMention ? [part.text] : []));

for (const [text, expected] of [
  ["@binh chào", ["@binh"]],
  ["Cảm ơn @binh, @Le.Chi!", ["@binh", "@Le.Chi"]],
  ["Ends here @binh. And @chi...", ["@binh", "@chi"]],
  ["(@binh)", ["@binh"]],
  ["a@binh.example", []],
  ["/@binh", []],
  ["@@binh", []],
  ["@binh@chi", []],
  ["@bình", []],
  ["@ab", []],
  [`@${"a".repeat(33)}`, []],
]) {
  test(`mentions of ${text.slice(0, 40)}`, () => {
    assert.deepEqual(mentions(text), expected);
    assert.equal(
      findMentions(text)
        .map((part) => part.text)
        .join(""),
      text,
    );
  });
}

for (const [text, expected] of [
  ["Chào @b", { start: 5, query: "b" }],
  ["@Bình", { start: 0, query: "Bình" }],
  [`${"x ".repeat(100)}@chi`, { start: 200, query: "chi" }],
  ["@", null],
  ["a@b", null],
  ["@binh ", null],
  [`@${"a".repeat(33)}`, null],
]) {
  test(`the mention being written at the end of ${text.slice(-40)}`, () => {
    assert.deepEqual(unfinishedMention(`${text} and more`, text.length), expected);
  });
}
