/** What notification types are called. */

import { t } from "./i18n.js";

const TYPES = new Set(["NEW_COMMENT", "NEW_REPLY", "NEW_MENTION", "NEW_REACTION"]);

/** Return the name of a type, for a list of types. One of the site's own is shown in small letters: "Order shipped". */
export function typeLabel(type) {
  if (TYPES.has(type)) return t(`settings.kind.${type}`);
  const words = type.toLowerCase().replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
