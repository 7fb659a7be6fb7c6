/** The emoji with their names, which are loaded when the picker opens first. */

import { locale } from "./i18n.js";
import { searchable } from "./text.js";

const TONES = ["\u{1f3fb}", "\u{1f3fc}", "\u{1f3fd}", "\u{1f3fe}", "\u{1f3ff}"];
const VARIATION_SELECTOR = "\u{fe0f}";
const JOINER = "\u{200d}";
/** The handshake between two people has no skin tone of its own. */
const HANDSHAKE = "\u{1f91d}";

let loading;

/** Load the data; after a failure, the next call tries again. Returns a promise of `EmojiData`. */
export function loadEmoji() {
  loading ??= fetchEmoji().catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function fetchEmoji() {
  const url = document.querySelector('meta[name="loa:emoji"]').content;
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new EmojiData(await response.json(), locale());
}

export class EmojiData {
  /** [{name, emoji: [{text, name, hasTones}]}]. */
  groups;
  /** The names of the five skin tones, from light to dark. */
  tones;
  #entries;

  /** `data`: what `emoji.json` has. `language`: that of the names; the search takes the words of all languages. */
  constructor({ languages, tones, groups }, language) {
    const own = Math.max(0, languages.indexOf(language.split("-")[0]));
    this.tones = tones.map((names) => names[own]);
    this.groups = groups.map(({ names, emoji }) => ({
      name: names[own],
      emoji: emoji.map(([text, ...rest]) => {
        const words = rest.slice(0, 2 * languages.length);
        const all = ` ${searchable(words.join(" ")).replace(/[^\p{L}\p{N}]+/gu, " ")}`;
        return { text, name: words[2 * own], words: all, hasTones: rest.length > words.length };
      }),
    }));
    this.#entries = this.groups.flatMap(({ emoji }) => emoji);
  }

  /** Return the emoji of which each word of `query` begins a word; at most `limit`. The emoji itself finds itself. */
  search(query, limit) {
    const wanted = searchable(query).match(/[\p{L}\p{N}]+/gu);
    const found = wanted
      ? this.#entries.filter(({ words }) => wanted.every((word) => words.includes(` ${word}`)))
      : this.#entries.filter(({ text }) => bare(text) === bare(query.trim()));
    // Those whose name begins so come first; both in the order of Unicode.
    const first = new Set(wanted ? found.filter(({ name }) => searchable(name).startsWith(wanted[0])) : []);
    return [...first, ...found.filter((entry) => !first.has(entry))].slice(0, limit);
  }

  /** Return entries for these emoji, each with the skin tone that it has; those that do not exist are left out. */
  entriesOf(texts) {
    const byText = new Map(this.#entries.map((entry) => [bare(entry.text), entry]));
    const entries = texts.map((text) => ({ ...byText.get(bare(text)), text, hasTones: false }));
    return entries.filter(({ name }) => name);
  }
}

/** Return `text` with the skin tone from 1, light, to 5, dark; 0: without one. */
export function withTone(text, tone) {
  if (!tone) return text;
  let toned = "";
  let before = "";
  for (const character of text) {
    const isTonable = /^\p{Emoji_Modifier_Base}$/u.test(character) && !(character === HANDSHAKE && before === JOINER);
    // The selector asks for a colourful picture, which the tone does, too.
    if (!(character === VARIATION_SELECTOR && TONES.includes(before))) toned += character;
    if (isTonable) toned += TONES[tone - 1];
    before = isTonable ? TONES[tone - 1] : character;
  }
  return toned;
}

/** Return the emoji without its skin tone and without the selectors that are optional. */
function bare(text) {
  return text.replace(/[\u{1f3fb}-\u{1f3ff}\u{fe0f}]/gu, "");
}
