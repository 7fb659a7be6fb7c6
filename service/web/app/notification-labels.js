/** What notification types are called, and what a notification or a group of them says. */

import { formatList, t } from "./i18n.js";
import { linkAttributes } from "./links.js";
import { linkToComment, linkToPost } from "./router.js";

const TYPES = new Set(["NEW_COMMENT", "NEW_REPLY", "NEW_MENTION", "NEW_REACTION"]);

/** Return the name of a type, for a list of types. One of the site's own is shown in small letters: "Order shipped". */
export function typeLabel(type) {
  if (TYPES.has(type)) return t(`settings.kind.${type}`);
  const words = type.toLowerCase().replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Return the sentence about a notification, without its preview: of the site's own types, only the sender's name. */
export function headingOf({ type, data }) {
  return data.sender && sentence(type, data, data.sender.display_name);
}

/** Return the sentence about a group: "Bình and 12 others commented on your post". */
export function groupHeadingOf({ type, senders, sender_count: count, latest }) {
  if (!senders.length) return null;
  const [first, ...others] = senders.map((sender) => sender.display_name);
  if (count > 2) return sentence(type, latest.data, t("notifications.names", { name: first, count: count - 1 }));
  return sentence(type, latest.data, formatList([first, ...others]));
}

/** Return the attributes of the link to what the notification is about; null if there is nothing. */
export function targetOf({ data }) {
  if (!data.post_id) return linkAttributes(data.url);
  return { href: data.comment_id ? linkToComment(data.post_id, data.comment_id) : linkToPost(data.post_id) };
}

function sentence(type, { comment_id: commentId, emoji }, name) {
  if (!TYPES.has(type)) return name;
  if (type === "NEW_MENTION" || type === "NEW_REACTION") {
    return t(`notifications.${type}.${commentId ? "comment" : "post"}`, { name, emoji });
  }
  return t(`notifications.${type}`, { name });
}
