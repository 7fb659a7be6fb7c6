/** A part of a message around what a search has found. */

import { el } from "./dom.js";

/** Code points before the first match, and of the whole part. */
const BEFORE = 40;
const LENGTH = 240;

/** Return text and `mark` elements. `highlights`: [start, length] of each match, in code points. */
export function snippet(content, highlights) {
  const characters = [...content];
  const begin = Math.max(0, (highlights[0]?.[0] ?? 0) - BEFORE);
  const end = Math.min(characters.length, begin + LENGTH);
  const parts = [begin > 0 ? "…" : ""];
  let position = begin;
  for (const [start, length] of highlights) {
    if (start + length > end) break;
    parts.push(characters.slice(position, start).join(""));
    position = start + length;
    parts.push(el("mark", {}, characters.slice(start, position).join("")));
  }
  parts.push(characters.slice(position, end).join(""), end < characters.length ? "…" : "");
  return parts.filter((part) => part !== "");
}
