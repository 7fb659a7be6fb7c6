/** Links of others: finds URLs in plain text, in linear time, since anybody may send any text; checks those in data. */

const URL_PATTERN = /\bhttps?:\/\/[^\s<>"]+/giu;
const SCHEMES = new Set(["http:", "https:"]);
const PUNCTUATION = new Set(".,;:!?*~'’”…");
/** Closing brackets, each with the one that opens it. */
const OPENING = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);

/** Return the parts of `text` in order, [{text, isLink}]. */
export function findLinks(text) {
  const parts = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(URL_PATTERN)) {
    const url = match.slice(0, lengthWithoutPunctuation(match));
    if (!isHttpUrl(url)) continue;
    if (index > end) parts.push({ text: text.slice(end, index), isLink: false });
    parts.push({ text: url, isLink: true });
    end = index + url.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), isLink: false });
  return parts;
}

/**
 * Return the length of `match` without the punctuation that ends a sentence. A closing bracket stays if it was opened
 * within the URL. Brackets are counted once, and the counts kept up to date while the end moves.
 */
function lengthWithoutPunctuation(match) {
  const counts = new Map();
  for (const character of "()[]{}") counts.set(character, 0);
  for (const character of match) if (counts.has(character)) counts.set(character, counts.get(character) + 1);
  let length = match.length;
  for (; length > 0; length -= 1) {
    const last = match[length - 1];
    const opening = OPENING.get(last);
    if (opening ? counts.get(last) <= counts.get(opening) : !PUNCTUATION.has(last)) break;
    if (opening) counts.set(last, counts.get(last) - 1);
  }
  return length;
}

/**
 * Return the attributes of a link to `url`, which may be relative to `base`; null if it does not lead to http or https, or
 * if it leads to another origin without naming its scheme (`//host`). A page of another origin opens in a tab of its own,
 * which gets no hold of this one.
 */
export function linkAttributes(url, base = location.href) {
  if (!url || !URL.canParse(url, base)) return null;
  const { protocol, origin, href } = new URL(url, base);
  if (!SCHEMES.has(protocol)) return null;
  if (origin === new URL(base).origin) return { href };
  return isHttpUrl(url) ? { href, target: "_blank", rel: "noopener noreferrer" } : null;
}

function isHttpUrl(text) {
  return URL.canParse(text) && SCHEMES.has(new URL(text).protocol);
}
