/** Mentions in text: `@username`, found as the server finds them, in linear time. */

/** Neither an e-mail address (`a@b.example`) nor a part of a URL (`/@ann`) is a mention. */
const MENTION = /(?<![\p{L}\p{M}\p{N}_@./])@([A-Za-z0-9_.]+)(?![\p{L}\p{M}\p{N}_@])/gu;
/** The mention that is being written at the end of a text; by a name, too, as the search for people finds both. */
const UNFINISHED = /(?<![\p{L}\p{M}\p{N}_@./])@([\p{L}\p{M}\p{N}_.]{1,32})$/u;
/** Characters of a username. */
const MIN_NAME = 3;
const MAX_NAME = 32;

/** Return the parts of `text` in order, [{text, isMention}]. A dot behind a name ends the sentence. */
export function findMentions(text) {
  const parts = [];
  let end = 0;
  for (const { 1: written, index } of text.matchAll(MENTION)) {
    const name = written.replace(/\.+$/u, "");
    if (name.length < MIN_NAME || name.length > MAX_NAME) continue;
    if (index > end) parts.push({ text: text.slice(end, index), isMention: false });
    end = index + 1 + name.length;
    parts.push({ text: text.slice(index, end), isMention: true });
  }
  if (end < text.length) parts.push({ text: text.slice(end), isMention: false });
  return parts;
}

/** Return the mention that is being written before the caret, {start, query}, or null. `start` is the place of its `@`. */
export function unfinishedMention(text, caret) {
  // More than the longest match, so that a long text is not searched from its beginning.
  const offset = Math.max(0, caret - 2 * MAX_NAME);
  const match = UNFINISHED.exec(text.slice(offset, caret));
  return match && { start: offset + match.index, query: match[1] };
}
