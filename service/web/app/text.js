/** Facts about user-written text: its length as the server counts it, and how high it is. */

/** Characters on a line that is as wide as a message's bubble, roughly. */
const LINE_LENGTH = 60;

/** Return the number of code points, which the server counts. `length` counts UTF-16 units: two for an emoji. */
export function codePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** Return whether `text`, without leading and trailing white space, has `min` to `max` code points. */
export function hasLength(text, min, max) {
  const length = codePoints(text.trim());
  return length >= min && length <= max;
}

/** Return `text` for a comparison without regard to case and accents. */
export function searchable(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase().replaceAll("đ", "d");
}

/**
 * Return whether each word of `query` begins a word of `text`, without regard to case and accents; of a query without
 * words, such as an emoji, whether `text` contains it.
 */
export function matchesWords(text, query) {
  const wanted = wordsOf(query);
  if (!wanted.length) return text.includes(query.trim());
  const words = wordsOf(text);
  return wanted.every((each) => words.some((word) => word.startsWith(each)));
}

function wordsOf(text) {
  return searchable(text).match(/[\p{L}\p{N}_]+/gu) ?? [];
}

/** Return whether the server accepts the length of this password. */
export function isPassword(text) {
  const length = codePoints(text);
  return length >= 8 && length <= 128;
}

/** Estimate how many lines `text` takes, without measuring its layout. Combining marks take no space. */
export function estimatedLines(text) {
  let lines = 0;
  for (const paragraph of text.replace(/\p{Mn}/gu, "").split("\n")) {
    lines += Math.max(1, Math.ceil(paragraph.length / LINE_LENGTH));
  }
  return lines;
}
