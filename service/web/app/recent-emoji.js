/** The emoji that were picked last on this device, and the skin tone that was chosen. */

import { browserStorage, load, save } from "/client/storage.js";

const RECENT = "loa:recent-emoji";
const TONE = "loa:skin-tone";
const MAX_RECENT = 24;
const storage = browserStorage("localStorage");

/** Return the emoji, the latest first. */
export function recentEmoji() {
  const stored = load(storage, RECENT);
  return Array.isArray(stored) ? stored.filter((text) => typeof text === "string").slice(0, MAX_RECENT) : [];
}

export function rememberEmoji(text) {
  save(storage, RECENT, [text, ...recentEmoji().filter((each) => each !== text)].slice(0, MAX_RECENT));
}

/** Return the skin tone, 0 to 5; see `withTone`. */
export function skinTone() {
  const tone = load(storage, TONE);
  return Number.isInteger(tone) && tone >= 0 && tone <= 5 ? tone : 0;
}

export function setSkinTone(tone) {
  save(storage, TONE, tone);
}

/** Forget them: the next user of this browser must not find them. */
export function forgetEmoji() {
  save(storage, RECENT, null);
  save(storage, TONE, null);
}
