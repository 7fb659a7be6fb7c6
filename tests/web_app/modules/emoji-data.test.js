/** The emoji's names, the search for them, and their skin tones, with the real data. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { EmojiData, withTone } from "../../../service/web/app/emoji-data.js";

const DATA = JSON.parse(readFileSync(new URL("../../../service/web/app/emoji.json", import.meta.url)));
const english = new EmojiData(DATA, "en-GB");
const vietnamese = new EmojiData(DATA, "vi");

const found = (data, query, limit = 5) => data.search(query, limit).map(({ text }) => text);

test("the search takes words of both languages, whatever the language of the names is", () => {
  for (const data of [english, vietnamese]) {
    assert.ok(found(data, "thumbs up").includes("👍️") || found(data, "thumbs up").includes("👍"));
    assert.ok(found(data, "meo", 60).includes("🐱"));
    assert.ok(found(data, "MÈO", 60).includes("🐱"));
  }
  assert.deepEqual(found(english, "nothing like it"), []);
  assert.deepEqual(found(english, "🎉"), ["🎉"]);
  assert.equal(found(english, "a", 7).length, 7);
});

test("those whose name begins with the first word come first", () => {
  assert.match(english.search("grin", 1)[0].name, /^grin/);
});

test("names, categories and tones are in the user's language", () => {
  assert.equal(english.search("🎉", 1)[0].name, "party popper");
  assert.notEqual(vietnamese.search("🎉", 1)[0].name, "party popper");
  assert.equal(english.groups.length, 9);
  assert.notEqual(english.tones[0], vietnamese.tones[0]);
});

test("a skin tone follows each person's part", () => {
  assert.equal(withTone("👋", 5), "👋🏿");
  assert.equal(withTone("☝️", 1), "☝🏻");
  assert.equal(withTone("🧑‍🚀", 3), "🧑🏽‍🚀");
  assert.equal(withTone("👩‍❤️‍👨", 2), "👩🏼‍❤️‍👨🏼");
  assert.equal(withTone("🧑‍🤝‍🧑", 4), "🧑🏾‍🤝‍🧑🏾");
  assert.equal(withTone("👋", 0), "👋");
});

test("what was picked last keeps its own tone, and what is no emoji is left out", () => {
  assert.deepEqual(english.entriesOf(["👋🏿", "x", "❤"]).map(({ text, name }) => [text, name]), [
    ["👋🏿", "waving hand"],
    ["❤", "red heart"],
  ]);
});
