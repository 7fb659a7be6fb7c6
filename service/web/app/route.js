/** Where in the app one is: what follows the `#` of the address, so that links, the back button and reloading work. */

/** {place: "chats", conversationId} | {place: "posts", postId, commentId}; an id is null where there is none. */
export function currentRoute() {
  const [path, fragment = ""] = location.hash.slice(1).split("#");
  const [, place, id = null] = path.split("/");
  if (place === "posts")
    return { place, postId: id, commentId: fragment.startsWith("comment-") ? fragment.slice(8) : null };
  return { place: "chats", conversationId: place === "c" ? id : null };
}

export function linkToConversation(id) {
  return `#/c/${id}`;
}

export function linkToComment(postId, commentId) {
  return `#/posts/${postId}#comment-${commentId}`;
}

export function go(link) {
  location.hash = link;
}

/** Go, and leave no way back to where one was: it is not there any longer. */
export function replaceRoute(link) {
  history.replaceState(null, "", link);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
