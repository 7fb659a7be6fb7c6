/** Lengths and directions of user-written text. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isolated } from "../../../service/web/app/i18n.js";
import { codePoints, estimatedLines, hasLength, isPassword, matchesWords, searchable } from "../../../service/web/app/text.js";

test("lengths are counted in code points, without white space around the text", () => {
  assert.equal(codePoints("a😀👨‍👩‍👧"), 7);
  assert.ok(hasLength(` ${"😀".repeat(64)} `, 1, 64));
  assert.ok(!hasLength("😀".repeat(65), 1, 64));
  assert.ok(!hasLength("  ", 1, 64));
  assert.ok(isPassword("😀".repeat(128)));
  assert.ok(!isPassword("😀".repeat(7)));
});

test("the height of a text is estimated from its line breaks and its length, not from combining marks", () => {
  assert.equal(estimatedLines("one\ntwo"), 2);
  assert.equal(estimatedLines("\n".repeat(3990)), 3991);
  assert.equal(estimatedLines("x".repeat(601)), 11);
  assert.equal(estimatedLines(`z${"\u0301".repeat(1000)}algo`), 1);
});

test("a search does not regard case and accents", () => {
  assert.equal(searchable("Đà Nẵng"), "da nang");
  assert.ok(searchable("Trần Thuỳ").includes(searchable("THUY")));
});

test("each word of a search begins a word", () => {
  assert.ok(matchesWords("Trần Thị Hương", "huong tr"));
  assert.ok(matchesWords("Trần Thị Hương", ""));
  assert.ok(!matchesWords("Trần Thị Hương", "ương"));
  assert.ok(!matchesWords("Trần Thị Hương", "huong nguyen"));
});

test("only text from right to left is isolated from the words around it", () => {
  assert.equal(isolated("An"), "An");
  assert.equal(isolated("مرحبا!"), "\u2068مرحبا!\u2069");
  assert.equal(isolated("Loa שלום"), "\u2068Loa שלום\u2069");
});

test("a query without words is looked for as it is", () => {
  assert.deepEqual(["🎉 Party", "Lunch"].filter((text) => matchesWords(text, " 🎉 ")), ["🎉 Party"]);
  assert.ok(matchesWords("Lunch", ""));
});
