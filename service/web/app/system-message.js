/** The messages that say how a group has changed. */

import { formatList, t } from "./i18n.js";

/** Users that one message names; of the others it has only the number. */
const MAX_NAMES = 3;

const ROLE_KEYS = { owner: "system.role.owner", admin: "system.role.admin", member: "system.role.member" };
const KEYS = { left: "system.left", removed: "system.removed", renamed: "system.renamed" };

export function isSystemMessage({ event }) {
  return Boolean(event);
}

/** Return the ids of the users that the text names. */
export function namedUsers({ event }) {
  return [event.by, ...(event.user_ids ?? []).slice(0, MAX_NAMES)];
}

/** Return for example "An added you and Chi". `nameOf(userId)` returns a name; `me`: the signed-in user's id. */
export function systemText({ kind, event }, nameOf, me) {
  const { by, user_ids: userIds = [], user_count: count = userIds.length, title, role } = event;
  const name = by === me ? t("message.you") : nameOf(by);
  const names = userIds.slice(0, MAX_NAMES).map((id) => (id === me ? t("system.you") : nameOf(id)));
  if (count > names.length) names.push(t("message.reacted.others", { count: count - names.length }));
  const key = kind === "role" ? ROLE_KEYS[role] : kind === "joined" ? joinedKey(event) : KEYS[kind];
  return t(key, { name, title, names: formatList(names) });
}

function joinedKey({ by, user_ids: userIds }) {
  return userIds.length === 1 && userIds[0] === by ? "system.joined" : "system.added";
}
