/** The server's REST calls, one method each. All reject with a LoaError. */

import { readJson } from "./errors.js";

/** Milliseconds that an export may take. */
const EXPORT_TIMEOUT = 1_800_000;

/**
 * @typedef {import("./types.js").AuthResponse} AuthResponse
 * @typedef {import("./types.js").Profile} Profile
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Conversation} Conversation
 * @typedef {import("./types.js").Presence} Presence
 * @typedef {import("./types.js").Post} Post
 * @typedef {import("./types.js").Comment} Comment
 * @typedef {import("./types.js").Notification} Notification
 * @typedef {import("./types.js").Device} Device
 */
/** @typedef {import("./types.js").Participant} Participant */
/** @typedef {import("./types.js").Role} Role */
/** @typedef {import("./types.js").History} History */
/**
 * @template T
 * @template {string | number} [C=number]
 * @typedef {import("./types.js").Page<T, C>} Page
 */

export class Api {
  #session;

  /**
   * @param {{
   *   fetch(path: string, init?: RequestInit, timeout?: number): Promise<Response>,
   *   upload?(path: string, file: Blob, options?: import("./types.js").UploadOptions): Promise<Response>,
   *   replaceTokens?(response: AuthResponse): void,
   * }} session for example a Session
   */
  constructor(session) {
    this.#session = session;
  }

  // Users.

  /** @returns {Promise<import("./types.js").OwnProfile>} */
  me() {
    return this.#call("GET", "/users/me");
  }

  /**
   * @param {{display_name?: string, avatar?: string | null, show_presence?: boolean}} changes
   * @returns {Promise<import("./types.js").OwnProfile>}
   */
  updateMe(changes) {
    return this.#call("PATCH", "/users/me", { body: changes });
  }

  /**
   * Everything that the server has stored of the user, as lines of JSON. Rejects if it is not complete.
   * @returns {Promise<Blob>}
   */
  async exportData() {
    return (await this.#session.fetch("/api/v1/users/me/export", {}, EXPORT_TIMEOUT)).blob();
  }

  /**
   * @param {string} id
   * @returns {Promise<Profile>}
   */
  user(id) {
    return this.#call("GET", `/users/${id}`);
  }

  /**
   * Get the operator's last announcement, for a user who was away. Those who are connected get it by an event.
   * @returns {Promise<{announcement: {message: string, created_at: string} | null}>}
   */
  announcement() {
    return this.#call("GET", "/announcement");
  }

  /**
   * Find users: each word of `query` begins a word of the display name or username; after `@`, of the username. A page
   * can be empty although there is a `next` one.
   * @param {string} query
   * @param {number} [limit]
   * @param {string | null} [before] the `next` of the previous page
   * @returns {Promise<Page<Profile, string>>}
   */
  users(query, limit, before) {
    return this.#call("GET", "/users", { query: { query, limit, before } });
  }

  /**
   * Block a user: neither of the two can send in their direct conversation any more, and the caller gets no
   * notifications of the user, and does not see their presence, posts and comments.
   * @param {string} id
   * @returns {Promise<null>}
   */
  block(id) {
    return this.#call("PUT", `/users/${id}/block`);
  }

  /**
   * @param {string} id
   * @returns {Promise<null>}
   */
  unblock(id) {
    return this.#call("DELETE", `/users/${id}/block`);
  }

  /**
   * Return a page of the users whom the caller blocks, the latest first.
   * @param {{limit?: number, before?: string | null}} [page]
   * @returns {Promise<Page<import("./types.js").BlockedUser, string>>}
   */
  blocks(page = {}) {
    return this.#call("GET", "/blocks", { query: page });
  }

  /**
   * Report a user, or what they have written, to the moderators. Who has reported it before gets that report. Rejects with
   * `not_found` if the caller does not see the subject, and with `validation_failed` if it is the caller's own.
   * @param {import("./types.js").ReportSubject} subject
   * @param {import("./types.js").ReportReason} reason
   * @param {string} [note] up to 1000 characters
   * @returns {Promise<import("./types.js").OwnReport>}
   */
  report(subject, reason, note) {
    return this.#call("POST", "/reports", { body: { subject, reason, note } });
  }

  /**
   * @param {string[]} userIds
   * @returns {Promise<Record<string, Presence>>}
   */
  presence(userIds) {
    return this.#call("GET", "/presence", { query: { user_ids: userIds.join(",") } });
  }

  /**
   * Change the password. The session continues with the tokens of the response, and all other sessions end.
   * @param {string} currentPassword
   * @param {string} newPassword
   * @returns {Promise<void>}
   */
  async changePassword(currentPassword, newPassword) {
    const body = { current_password: currentPassword, new_password: newPassword };
    const response = await this.#call("POST", "/auth/password", { body });
    if (response?.access_token) this.#session.replaceTokens?.(response);
  }

  /** @returns {Promise<Page<Device>>} */
  devices() {
    return this.#call("GET", "/auth/sessions");
  }

  /**
   * End a session of the user. Another one than this needs the password if the user has signed in more than 15 minutes
   * ago: without it the error is `forbidden`, with a wrong one `bad_credentials`.
   * @param {string} id
   * @param {string} [password]
   * @returns {Promise<null>}
   */
  endDevice(id, password) {
    return this.#call("DELETE", `/auth/sessions/${id}`, password === undefined ? {} : { body: { password } });
  }

  // Moderation, for users with the role `moderator`; others get `forbidden`. They also delete what was reported, with
  // `deleteMessage`, `deletePost` and `deleteComment`.

  /**
   * Return a page of reports, the latest first.
   * @param {{state?: import("./types.js").ReportState, limit?: number, before?: string | null}} [page] `state`: `open` by
   *   default
   * @returns {Promise<Page<import("./types.js").Report, string>>}
   */
  reports(page = {}) {
    return this.#call("GET", "/moderation/reports", { query: page });
  }

  /**
   * Close or reopen a report.
   * @param {string} id
   * @param {import("./types.js").ReportState} state
   * @returns {Promise<import("./types.js").Report>}
   */
  setReportState(id, state) {
    return this.#call("PUT", `/moderation/reports/${id}`, { body: { state } });
  }

  /**
   * Return a page of what moderators have done, the latest first.
   * @param {{limit?: number, before?: string | null}} [page]
   * @returns {Promise<Page<import("./types.js").ModerationEntry, string>>}
   */
  moderationLog(page = {}) {
    return this.#call("GET", "/moderation/log", { query: page });
  }

  /**
   * Return a page of the bans that are in force, the latest first.
   * @param {{limit?: number, before?: string | null}} [page]
   * @returns {Promise<Page<import("./types.js").BannedUser, string>>}
   */
  bans(page = {}) {
    return this.#call("GET", "/moderation/bans", { query: page });
  }

  /**
   * End a user's sessions, and let nobody sign in as them.
   * @param {string} userId
   * @param {string | null} until a time in ISO 8601; null for ever
   * @param {string} reason for the log, 1 to 500 characters
   * @returns {Promise<{user_id: string, until: string | null}>}
   */
  ban(userId, until, reason) {
    return this.#call("PUT", `/moderation/users/${userId}/ban`, { body: { until, reason } });
  }

  /**
   * End the ban of a user.
   * @param {string} userId
   * @returns {Promise<null>}
   */
  unban(userId) {
    return this.#call("DELETE", `/moderation/users/${userId}/ban`);
  }

  // Conversations and messages.

  /**
   * Return a page of the user's conversations, latest activity first; or of the archived ones, the latest archived first.
   * @param {{limit?: number, before?: string | null, archived?: 1}} [page]
   * @returns {Promise<Page<Conversation, string>>}
   */
  conversations(page = {}) {
    return this.#call("GET", "/conversations", { query: page });
  }

  /**
   * @param {string} id
   * @returns {Promise<Conversation>}
   */
  conversation(id) {
    return this.#call("GET", `/conversations/${id}`);
  }

  /**
   * Create a conversation. With one participant and no title, return the direct conversation with that user.
   * @param {string[]} participantIds
   * @param {string | null} [title]
   * @param {History} [history] whether those who join a group later see earlier messages; by default they do not
   * @returns {Promise<Conversation>}
   */
  createConversation(participantIds, title = null, history) {
    return this.#call("POST", "/conversations", { body: { participant_ids: participantIds, title, history } });
  }

  /**
   * @param {string} id
   * @param {string} title
   * @returns {Promise<Conversation>}
   */
  renameConversation(id, title) {
    return this.#call("PATCH", `/conversations/${id}`, { body: { title } });
  }

  /**
   * Set whether those who join the group from now on see earlier messages.
   * @param {string} id
   * @param {History} history
   * @returns {Promise<Conversation>}
   */
  setHistory(id, history) {
    return this.#call("PATCH", `/conversations/${id}`, { body: { history } });
  }

  /**
   * @param {string} id
   * @param {string | null} [until] a time in ISO 8601; by default until it is unmuted
   * @returns {Promise<Conversation>}
   */
  mute(id, until = null) {
    return this.#call("PUT", `/conversations/${id}/mute`, { body: { until } });
  }

  /**
   * @param {string} id
   * @returns {Promise<Conversation>}
   */
  unmute(id) {
    return this.#call("DELETE", `/conversations/${id}/mute`);
  }

  /**
   * Hide a conversation from the user's list until a new message arrives.
   * @param {string} id
   * @returns {Promise<Conversation>}
   */
  archive(id) {
    return this.#call("PUT", `/conversations/${id}/archive`);
  }

  /**
   * @param {string} id
   * @returns {Promise<Conversation>}
   */
  unarchive(id) {
    return this.#call("DELETE", `/conversations/${id}/archive`);
  }

  /**
   * Delete all messages for the user alone: the history begins after the newest one.
   * @param {string} id
   * @returns {Promise<null>}
   */
  clearHistory(id) {
    return this.#call("DELETE", `/conversations/${id}/history`);
  }

  /**
   * @param {string} id
   * @param {string[]} userIds
   * @returns {Promise<Conversation>}
   */
  addParticipants(id, userIds) {
    return this.#call("POST", `/conversations/${id}/participants`, { body: { user_ids: userIds } });
  }

  /**
   * Remove a participant from a group; with the user's own id, leave it.
   * @param {string} id
   * @param {string} userId
   * @returns {Promise<null>}
   */
  removeParticipant(id, userId) {
    return this.#call("DELETE", `/conversations/${id}/participants/${userId}`);
  }

  /**
   * Set a participant's role; only the owner may do that. With `owner` they hand the group over, and become an admin.
   * @param {string} id
   * @param {string} userId
   * @param {Role} role
   * @returns {Promise<Conversation>}
   */
  setRole(id, userId, role) {
    return this.#call("PATCH", `/conversations/${id}/participants/${userId}`, { body: { role } });
  }

  /**
   * Return a page of the participants, in the order of joining.
   * @param {string} id
   * @param {{limit?: number, after?: string | null}} [page]
   * @returns {Promise<Page<Participant, string>>}
   */
  participants(id, page = {}) {
    return this.#call("GET", `/conversations/${id}/participants`, { query: page });
  }

  /**
   * Create an invitation to a group, valid for seven days. Its token is returned only here.
   * @param {string} id
   * @returns {Promise<import("./types.js").NewInvitation>}
   */
  createInvitation(id) {
    return this.#call("POST", `/conversations/${id}/invitations`);
  }

  /**
   * End all invitations to a group.
   * @param {string} id
   * @returns {Promise<null>}
   */
  endInvitations(id) {
    return this.#call("DELETE", `/conversations/${id}/invitations`);
  }

  /**
   * Look at an invitation. Rejects with `not_found` if there is none, or it has expired or ended.
   * @param {string} token
   * @returns {Promise<import("./types.js").Invitation>}
   */
  invitation(token) {
    return this.#call("GET", `/invitations/${encodeURIComponent(token)}`);
  }

  /**
   * Join the group that an invitation is to.
   * @param {string} token
   * @returns {Promise<Conversation>}
   */
  acceptInvitation(token) {
    return this.#call("POST", `/invitations/${encodeURIComponent(token)}`);
  }

  /**
   * Return a page of history, in ascending order of `seq`.
   * @param {string} id
   * @param {{before?: number, limit?: number}} [page] `before`: a `seq`, exclusive; by default the latest page
   * @returns {Promise<Page<Message>>}
   */
  messages(id, page = {}) {
    return this.#call("GET", `/conversations/${id}/messages`, { query: page });
  }

  /**
   * Return a message. A deleted one is a tombstone without content.
   * @param {string} id
   * @param {string} messageId
   * @returns {Promise<Message>}
   */
  message(id, messageId) {
    return this.#call("GET", `/conversations/${id}/messages/${messageId}`);
  }

  /**
   * Find messages, the newest first: each word of `q` begins a word of the message; in quotation marks, consecutive ones.
   * A page can be empty although there is a `next` one.
   * @param {string} q
   * @param {{conversation_id?: string | null, sender_id?: string | null, limit?: number, before?: string | null}} [where]
   * @returns {Promise<Page<import("./types.js").MessageFound, string>>}
   */
  searchMessages(q, where = {}) {
    return this.#call("GET", "/search/messages", { query: { q, ...where } });
  }

  /**
   * Return the messages changed after `afterRev`, in ascending order of `rev`.
   * @param {string} id
   * @param {number} afterRev
   * @param {number} [limit]
   * @returns {Promise<Page<Message>>}
   */
  changes(id, afterRev, limit = 500) {
    return this.#call("GET", `/conversations/${id}/messages`, { query: { after_rev: afterRev, limit } });
  }

  /**
   * Send a message without a socket. Prefer `ChatSocket.send`, which survives a lost connection.
   * @param {string} id
   * @param {string} content
   * @param {{nonce?: string, replyTo?: string | null, attachments?: string[]}} [more] `nonce`: makes the call
   *   idempotent; `attachments`: ids
   * @returns {Promise<Message>}
   */
  sendMessage(id, content, { nonce, replyTo, attachments } = {}) {
    const body = { content, nonce, reply_to: replyTo, attachments };
    return this.#call("POST", `/conversations/${id}/messages`, { body });
  }

  /**
   * @param {string} id
   * @param {string} messageId
   * @param {string} content
   * @returns {Promise<Message>}
   */
  editMessage(id, messageId, content) {
    return this.#call("PATCH", `/conversations/${id}/messages/${messageId}`, { body: { content } });
  }

  /**
   * @param {string} id
   * @param {string} messageId
   * @returns {Promise<Message>} the tombstone
   */
  deleteMessage(id, messageId) {
    return this.#call("DELETE", `/conversations/${id}/messages/${messageId}`);
  }

  /**
   * @param {string} id
   * @param {string} messageId
   * @param {string} emoji
   * @returns {Promise<Message>}
   */
  react(id, messageId, emoji) {
    return this.#call("PUT", `/conversations/${id}/messages/${messageId}/reactions/${encodeURIComponent(emoji)}`);
  }

  /**
   * @param {string} id
   * @param {string} messageId
   * @param {string} emoji
   * @returns {Promise<Message>}
   */
  unreact(id, messageId, emoji) {
    return this.#call("DELETE", `/conversations/${id}/messages/${messageId}/reactions/${encodeURIComponent(emoji)}`);
  }

  // Attachments.

  /**
   * Upload a file, which a message can then have. Rejects with an AbortError if `signal` is aborted.
   * @param {Blob} file
   * @param {string} name
   * @param {import("./types.js").UploadOptions} [options]
   * @returns {Promise<import("./types.js").Attachment>}
   */
  async upload(file, name, options) {
    if (!this.#session.upload) throw new TypeError("This session cannot upload.");
    const path = `/api/v1/attachments?${new URLSearchParams({ name })}`;
    return readJson(await this.#session.upload(path, file, options));
  }

  /**
   * Set what an image shows, for those who do not see it; before a message, post or comment has it.
   * @param {string} id
   * @param {string} description up to 250 characters; empty for none
   * @returns {Promise<import("./types.js").Attachment>}
   */
  describeAttachment(id, description) {
    return this.#call("PATCH", `/attachments/${id}`, { body: { description } });
  }

  /**
   * Download a file by its id: its URL may have expired.
   * @param {string} id
   * @param {"" | "/thumbnail"} [part]
   */
  async attachment(id, part = "") {
    return (await this.#session.fetch(`/api/v1/attachments/${id}${part}`)).blob();
  }

  // Posts and comments.

  /**
   * Return a page of posts, newest first.
   * @param {{limit?: number, before?: string | null}} [page]
   * @returns {Promise<Page<Post, string>>}
   */
  posts(page = {}) {
    return this.#call("GET", "/posts", { query: page });
  }

  /**
   * @param {string} id
   * @returns {Promise<Post>}
   */
  post(id) {
    return this.#call("GET", `/posts/${id}`);
  }

  /**
   * @param {string} content
   * @param {string[]} [attachments] ids; with some, `content` may be empty
   * @returns {Promise<Post>}
   */
  createPost(content, attachments) {
    return this.#call("POST", "/posts", { body: { content, attachments } });
  }

  /**
   * Replace the text of one of the user's own posts.
   * @param {string} id
   * @param {string} content
   * @returns {Promise<Post>}
   */
  editPost(id, content) {
    return this.#call("PATCH", `/posts/${id}`, { body: { content } });
  }

  /**
   * Delete one of the user's own posts with its comments.
   * @param {string} id
   * @returns {Promise<void>}
   */
  deletePost(id) {
    return this.#call("DELETE", `/posts/${id}`);
  }

  /**
   * @param {string} postId
   * @param {string} id
   * @param {string} content
   * @returns {Promise<Comment>}
   */
  editComment(postId, id, content) {
    return this.#call("PATCH", `/posts/${postId}/comments/${id}`, { body: { content } });
  }

  /**
   * Delete one of the user's own comments. It stays as a tombstone if others reply to it.
   * @param {string} postId
   * @param {string} id
   * @returns {Promise<void>}
   */
  deleteComment(postId, id) {
    return this.#call("DELETE", `/posts/${postId}/comments/${id}`);
  }

  /**
   * Let a post no longer notify the user.
   * @param {string} id
   * @returns {Promise<Post>}
   */
  mutePost(id) {
    return this.#call("PUT", `/posts/${id}/mute`);
  }

  /**
   * @param {string} id
   * @returns {Promise<Post>}
   */
  unmutePost(id) {
    return this.#call("DELETE", `/posts/${id}/mute`);
  }

  /**
   * @param {string} id
   * @param {string} emoji
   * @returns {Promise<Post>}
   */
  reactToPost(id, emoji) {
    return this.#call("PUT", `/posts/${id}/reactions/${encodeURIComponent(emoji)}`);
  }

  /**
   * @param {string} id
   * @param {string} emoji
   * @returns {Promise<Post>}
   */
  unreactToPost(id, emoji) {
    return this.#call("DELETE", `/posts/${id}/reactions/${encodeURIComponent(emoji)}`);
  }

  /**
   * @param {string} postId
   * @param {string} id
   * @param {string} emoji
   * @returns {Promise<Comment>}
   */
  reactToComment(postId, id, emoji) {
    return this.#call("PUT", `/posts/${postId}/comments/${id}/reactions/${encodeURIComponent(emoji)}`);
  }

  /**
   * @param {string} postId
   * @param {string} id
   * @param {string} emoji
   * @returns {Promise<Comment>}
   */
  unreactToComment(postId, id, emoji) {
    return this.#call("DELETE", `/posts/${postId}/comments/${id}/reactions/${encodeURIComponent(emoji)}`);
  }

  /**
   * Return a page of comments, oldest first.
   * @param {string} postId
   * @param {{limit?: number, after?: number}} [page]
   * @returns {Promise<Page<Comment>>}
   */
  comments(postId, page = {}) {
    return this.#call("GET", `/posts/${postId}/comments`, { query: page });
  }

  /**
   * @param {string} postId
   * @param {string} content
   * @param {{parentId?: string | null, nonce?: string, attachments?: string[]}} [more] `nonce`: makes the call
   *   idempotent; `attachments`: ids
   * @returns {Promise<Comment>}
   */
  comment(postId, content, { parentId, nonce, attachments } = {}) {
    const body = { content, parent_id: parentId, nonce, attachments };
    return this.#call("POST", `/posts/${postId}/comments`, { body });
  }

  // Notifications.

  /**
   * Return a page of notifications, newest first.
   * @param {{limit?: number, before?: number, unread?: 1}} [page] `before`: a `seq`, exclusive; `unread`: only unread
   * @returns {Promise<Page<Notification>>}
   */
  notifications(page = {}) {
    return this.#call("GET", "/notifications", { query: page });
  }

  /**
   * Return a page of groups of notifications, newest first.
   * @param {{limit?: number, before?: number}} [page] `before`: a `seq`, exclusive
   * @returns {Promise<Page<import("./types.js").NotificationGroup>>}
   */
  notificationGroups(page = {}) {
    return this.#call("GET", "/notifications/groups", { query: page });
  }

  /** @returns {Promise<{unread_count: number}>} */
  unreadCount() {
    return this.#call("GET", "/notifications/unread_count");
  }

  /**
   * @param {string} id
   * @returns {Promise<{unread_count: number}>}
   */
  readNotification(id) {
    return this.#call("PUT", `/notifications/${id}/read`);
  }

  /**
   * Mark all notifications up to this `seq` as read.
   * @param {number} seq
   * @returns {Promise<{unread_count: number}>}
   */
  readNotifications(seq) {
    return this.#call("PUT", "/notifications/read", { body: { up_to_seq: seq } });
  }

  /** @returns {Promise<import("./types.js").Preferences>} */
  preferences() {
    return this.#call("GET", "/notifications/preferences");
  }

  /**
   * Change what is stored and pushed, and the quiet hours. Omitted parts stay; `kinds` replaces all earlier ones.
   * @param {Partial<import("./types.js").Preferences>} change
   * @returns {Promise<import("./types.js").Preferences>}
   */
  setPreferences(change) {
    return this.#call("PUT", "/notifications/preferences", { body: change });
  }

  // Web Push; see Push.

  /** @returns {Promise<{public_key: string}>} */
  pushKey() {
    return this.#call("GET", "/push/key");
  }

  /**
   * Push to this subscription of the browser, as long as the session lasts.
   * @param {PushSubscriptionJSON} subscription
   * @returns {Promise<{endpoint: string}>}
   */
  addPushSubscription(subscription) {
    return this.#call("POST", "/push/subscriptions", { body: subscription });
  }

  /**
   * @param {string} endpoint
   * @returns {Promise<null>}
   */
  removePushSubscription(endpoint) {
    return this.#call("DELETE", "/push/subscriptions", { body: { endpoint } });
  }

  /**
   * Mark the notifications of a group up to this `seq` as read.
   * @param {string} key
   * @param {number} seq
   * @returns {Promise<{unread_count: number}>}
   */
  readGroup(key, seq) {
    return this.#call("PUT", "/notifications/read", { body: { key, up_to_seq: seq } });
  }

  /**
   * Mark all notifications about a post as read.
   * @param {string} postId
   * @returns {Promise<{unread_count: number}>}
   */
  readPost(postId) {
    return this.#call("PUT", "/notifications/read", { body: { post_id: postId } });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{query?: Record<string, string | number | null | undefined>, body?: unknown}} [options]
   * @returns {Promise<any>}
   */
  async #call(method, path, { query = {}, body } = {}) {
    const params = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const search = params.length ? `?${new URLSearchParams(params.map(([name, value]) => [name, `${value}`]))}` : "";
    /** @type {RequestInit} */
    const init = { method };
    if (body !== undefined) {
      init.headers = { "Content-Type": "application/json" };
      init.body = JSON.stringify(body);
    }
    const response = await this.#session.fetch(`/api/v1${path}${search}`, init);
    return response.status === 204 ? null : readJson(response);
  }
}
