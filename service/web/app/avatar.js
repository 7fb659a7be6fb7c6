/** A person's picture, or their initials on a colour that is always theirs. */

import { el, fill } from "./dom.js";
import { icon } from "./icon.js";

const COLOURS = 8;

/** `profile`: {id, display_name, avatar}. Hidden from screen readers: a name stands beside it. */
export function avatar(profile, size = "medium") {
  const element = el(`span.avatar.${size}.colour-${colourOf(profile.id)}`, { "aria-hidden": "true" });
  const letters = initials(profile.display_name);
  if (!profile.avatar) {
    fill(element, letters);
    return element;
  }
  const fallBack = () => fill(element, letters);
  // No referrer: whoever hosts the picture need not learn who looks at it, and from where.
  fill(
    element,
    el("img", { src: profile.avatar, alt: "", referrerpolicy: "no-referrer", loading: "lazy", onerror: fallBack }),
  );
  return element;
}

export function groupAvatar(id, size = "medium") {
  return el(`span.avatar.${size}.colour-${colourOf(id)}`, { "aria-hidden": "true" }, icon("people"));
}

/** The first letters of the first and the last word: of a Vietnamese name, of the family's and the given one. */
function initials(name) {
  const words = name.trim().split(/\s+/u);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => firstLetter(word)).join("");
}

function firstLetter(word) {
  const [first] = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(word);
  return (first?.segment ?? "?").toLocaleUpperCase();
}

function colourOf(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 4099;
  return sum % COLOURS;
}
