/** Hash-based routing: the URL's fragment names the current view, so links, the back button and reloading work. */

/** What an invitation's link has before the token. */
const INVITATION = "join";
const USER = "users";
/** What the link has before the token with which a user chooses a new password; `reset-password` prints it. */
const RESET = "reset";
const MODERATION = "moderation";
/** The page of moderators. */
export const LINK_TO_MODERATION = `#/${MODERATION}`;

/**
 * Return {section: "chats", conversationId, messageSeq}, {section: "posts", postId, commentId}, {section: "users", userId},
 * {section: "join", token}, {section: "reset", token}, {section: "moderation"} or {section: "missing"}; an id that is not in the URL is null.
 */
export function currentRoute() {
  const [path, fragment = ""] = location.hash.slice(1).split("#");
  const [, name, id = null] = path.split("/");
  if (name === "posts")
    return { section: name, postId: id, commentId: id && fragment.startsWith("comment-") ? fragment.slice(8) : null };
  if (name === USER && id) return { section: name, userId: id };
  if (name === MODERATION) return { section: name };
  if (name === RESET && id) return { section: name, token: id };
  if (name === INVITATION && id) return { section: name, token: id };
  if (name && name !== "c") return { section: "missing" };
  const seq = fragment.startsWith("message-") ? Number(fragment.slice(8)) : 0;
  return { section: "chats", conversationId: name === "c" ? id : null, messageSeq: seq > 0 ? seq : null };
}

export function linkToConversation(id) {
  return `#/c/${id}`;
}

export function linkToUser(id) {
  return `#/${USER}/${id}`;
}

export function linkToMessage(conversationId, seq) {
  return `#/c/${conversationId}#message-${seq}`;
}

export function linkToPost(id) {
  return `#/posts/${id}`;
}

export function linkToComment(postId, commentId) {
  return `#/posts/${postId}#comment-${commentId}`;
}

/**
 * Return the link to what a report or an entry of the log of moderation is about; null for a message, which a moderator
 * sees only in a conversation of their own.
 */
export function linkToSubject({ kind, id, post_id: postId }) {
  if (kind === "user") return linkToUser(id);
  if (kind === "post") return linkToPost(id);
  return kind === "comment" ? linkToComment(postId, id) : null;
}

/** Return the whole address, for people who are somewhere else. */
export function linkToInvitation(token) {
  return new URL(`#/${INVITATION}/${token}`, location.href).href;
}

/** Go to `link`, also if it is the address already: a message is scrolled into view again. */
export function navigate(link) {
  if (location.hash === link) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = link;
}

/** Go to `link` without a history entry for the current view, which no longer exists. */
export function replaceRoute(link) {
  history.replaceState(null, "", link);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
