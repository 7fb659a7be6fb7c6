/** What a conversation is called, and what is known of the people in it. */

import { avatar, groupAvatar } from "./avatar.js";
import { listOf, t } from "./i18n.js";
import { ago } from "./time.js";

/** The other one of a direct conversation; null of a group. */
export function otherOf({ kind, participants }, me) {
  return kind === "direct" ? (participants.find(({ id }) => id !== me) ?? null) : null;
}

/** The other's name, the group's title, or the names of who is in it. */
export function conversationName(details, me) {
  const other = otherOf(details, me);
  if (other) return other.display_name;
  if (details.title) return details.title;
  const names = details.participants.filter(({ id }) => id !== me).map((profile) => profile.display_name);
  return names.length > 0 ? listOf(names.slice(0, 3)) : t("chats.group");
}

export function conversationAvatar(details, me, size) {
  const other = otherOf(details, me);
  return other ? avatar(other, size) : groupAvatar(details.id, size);
}

/** "Online", "Last seen: 5 min. ago", "4 people, 2 online"; empty where nothing is known. */
export function conversationPresence(details, me, presence) {
  const other = otherOf(details, me);
  if (other) return personPresence(presence[other.id]);
  const people = t("pane.people", { count: details.participant_ids.length });
  const online = details.participant_ids.filter((id) => presence[id]?.online || id === me).length;
  return online > 1 ? t("pane.people_online", { people, count: online }) : people;
}

export function personPresence(state) {
  if (state?.online) return t("pane.online");
  return state?.last_seen ? t("pane.last_seen", { when: ago(state.last_seen) }) : "";
}
