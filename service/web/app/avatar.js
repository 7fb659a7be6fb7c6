/** Avatars: a user's image, or their initials on a colour derived from their id. */

import { el, setChildren } from "./dom.js";
import { icon } from "./icon.js";

/** The CSS classes `colour-0` to `colour-7`. */
const COLOURS = 8;

/** `profile`: {id, display_name, avatar}. Hidden from screen readers: the name is always next to it. */
export function avatar(profile, size = "medium") {
  const selector = `span.avatar.${size}.colour-${colourOf(profile.id)}`;
  const element = el(selector, { "aria-hidden": "true", "data-user": profile.id });
  render(element, profile);
  return element;
}

/** Show the changed profile in all avatars of that user in the document. */
export function updateAvatars(profile) {
  const elements = document.querySelectorAll(`.avatar[data-user="${CSS.escape(profile.id)}"]`);
  for (const element of elements) render(element, profile);
}

function render(element, profile) {
  const letters = initials(profile.display_name);
  if (!profile.avatar) {
    setChildren(element, letters);
    return;
  }
  const showInitials = () => setChildren(element, letters);
  // No referrer: the image's host must not learn who views it, or on which page.
  setChildren(
    element,
    el("img", { src: profile.avatar, alt: "", referrerpolicy: "no-referrer", loading: "lazy", onerror: showInitials }),
  );
}

export function iconAvatar(name, size = "medium") {
  return el(`span.avatar.${size}`, { "aria-hidden": "true" }, icon(name));
}

export function groupAvatar(id, size = "medium") {
  return el(`span.avatar.${size}.colour-${colourOf(id)}`, { "aria-hidden": "true" }, icon("people"));
}

/** Return the first letters of the first and the last word: of a Vietnamese name, of family and given name. */
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
  let hash = 0;
  for (const character of id) hash = (hash * 31 + character.codePointAt(0)) % 4099;
  return hash % COLOURS;
}
