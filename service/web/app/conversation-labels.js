/** Name, avatar and presence text of a conversation. `me` is the signed-in user's id. */

import { avatar, groupAvatar } from "./avatar.js";
import { formatList, t } from "./i18n.js";
import { relativeTime } from "./time-format.js";

/** Names that stand for a group without a title. */
const MAX_NAMES = 3;

/** Return the other participant's profile of a direct conversation; null for a group. */
export function otherParticipant({ kind, participants }, me) {
  return kind === "direct" ? (participants.find(({ id }) => id !== me) ?? null) : null;
}

/** Return the other participant's name, the group's title, or else the names of its participants. */
export function conversationName(details, me) {
  const other = otherParticipant(details, me);
  if (other) return other.display_name;
  if (details.title) return details.title;
  const names = details.participants.filter(({ id }) => id !== me).map((profile) => profile.display_name);
  return names.length > 0 ? formatList(names.slice(0, MAX_NAMES)) : t("chats.group");
}

export function conversationAvatar(details, me, size) {
  const other = otherParticipant(details, me);
  return other ? avatar(other, size) : groupAvatar(details.id, size);
}

/** Return "Online", "Last seen: 5 min. ago" or "4 people, 2 online"; an empty string if nothing is known. */
export function conversationPresence(details, me, presence) {
  const other = otherParticipant(details, me);
  if (other) return presenceText(presence[other.id]);
  const people = t("conversation.people", { count: details.participant_count ?? details.participant_ids.length });
  const online = details.participant_ids.filter((id) => presence[id]?.online || id === me).length;
  return online > 1 ? t("conversation.people_online", { people, count: online }) : people;
}

export function presenceText(presence) {
  if (presence?.online) return t("conversation.online");
  return presence?.last_seen ? t("conversation.last_seen", { when: relativeTime(presence.last_seen) }) : "";
}

/** Return whether the conversation is hidden from the list: a message after it was archived ends that. */
export function isArchived({ details, lastSeq }) {
  return details.archived && lastSeq <= details.last_seq;
}

export function isMuted({ muted_until }) {
  return Boolean(muted_until) && Date.parse(muted_until) > Date.now();
}
