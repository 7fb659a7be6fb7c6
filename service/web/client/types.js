/**
 * The types of the wire format, which the server documents at /docs and /asyncapi.json, and of the client's state.
 * Names in snake_case are the server's, names in camelCase the client's.
 */

/** @typedef {{id: string, username: string, display_name: string, avatar: string | null}} Profile */

/**
 * The user's own profile. `show_presence`: those who share a conversation see when the user is or was online. `roles`: for
 * example `moderator`.
 * @typedef {Profile & {show_presence: boolean, roles: string[]}} OwnProfile
 */

/** @typedef {{user: Profile, access_token: string, refresh_token: string, expires_in: number}} AuthResponse */

/** @typedef {{type: "signed-in", user: Profile} | {type: "signed-out", code: string | null}} SessionEvent */

/**
 * A file of a message, post or comment. `width`, `height` and `thumbnail_url` are null unless it is an image, which may have
 * a `description`. The URLs are relative to the server and valid for an hour; see `Api.attachment`.
 * @typedef {{
 *   id: string, name: string, description: string | null, content_type: string, size: number, width: number | null,
 *   height: number | null, url: string, thumbnail_url: string | null
 * }} Attachment
 */

/**
 * `onProgress` is called with the part that is sent, from 0 to 1.
 * @typedef {{signal?: AbortSignal | undefined, onProgress?: ((sent: number) => void) | undefined}} UploadOptions
 */

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} conversation_id
 * @property {number} seq the position in the conversation: 1, 2, 3 … without gaps; never changes
 * @property {number} rev the revision of this message's last change, counted per conversation
 * @property {"text" | "joined" | "left" | "removed" | "renamed" | "role"} kind all but "text" are system messages
 * @property {string} sender_id
 * @property {string} content empty if `deleted`, and in a system message
 * @property {Attachment[]} [attachments] absent in messages that earlier versions have kept
 * @property {GroupEvent | null} event of a system message
 * @property {string | null} nonce
 * @property {string | null} reply_to
 * @property {string[]} mentions ids of the participants whom the content names by `@username`, or `@all`
 * @property {string} created_at
 * @property {string | null} edited_at
 * @property {boolean} deleted
 * @property {Record<string, string[]>} reactions user ids by emoji, at most 100 of each
 * @property {Record<string, number>} reaction_counts how many users there are, by emoji
 */

/**
 * What a search has found. `highlights`: the start and the length of each part that matches, in code points.
 * @typedef {{message: Message, conversation_id: string, highlights: [number, number][]}} MessageFound
 */

/** @typedef {"owner" | "admin" | "member"} Role */

/**
 * What has happened in a group, done by the user `by`. Of more than 100 `user_ids`, these are the first; `user_count`
 * counts all.
 * @typedef {{by: string, user_ids?: string[], user_count?: number, title?: string, role?: Role}} GroupEvent
 */

/** @typedef {{user: Profile, created_at: string}} BlockedUser */

/** @typedef {{kind: "user" | "message" | "post" | "comment", id: string}} ReportSubject */

/** @typedef {"spam" | "abuse" | "other"} ReportReason */

/**
 * A report by the user. `state`: whether a moderator has closed it.
 * @typedef {{id: string, state: ReportState, created_at: string}} OwnReport
 */

/** @typedef {"open" | "resolved" | "dismissed"} ReportState */

/**
 * What a report or an entry of the log is about. `conversation_id` of a message, `post_id` of a comment: where it is.
 * @typedef {ReportSubject & {conversation_id: string | null, post_id: string | null}} ModeratedSubject
 */

/**
 * A report, as moderators see it. `author`: whom it is about. `snapshot`: the subject as it was when it was reported; of a
 * user, only the `profile`.
 * @typedef {object} Report
 * @property {string} id
 * @property {Profile} reporter
 * @property {ModeratedSubject} subject
 * @property {Profile} author
 * @property {ReportReason} reason
 * @property {string} note
 * @property {{content: string, attachments: Attachment[], created_at: string | null, profile: Profile | null}} snapshot
 * @property {ReportState} state
 * @property {string} created_at
 * @property {Profile | null} closed_by
 * @property {string | null} closed_at
 */

/**
 * What a moderator has done; with `by` null, the operator. `until`: of a ban, null for ever.
 * @typedef {object} ModerationEntry
 * @property {string} id
 * @property {string} at
 * @property {Profile | null} by
 * @property {"grant" | "revoke" | "resolve" | "dismiss" | "reopen" | "delete" | "ban" | "unban"} action
 * @property {ModeratedSubject} subject
 * @property {string} reason
 * @property {string | null} until
 */

/**
 * A ban that is in force. `until`: null for ever. `by`: null if that is not known any more.
 * @typedef {{user: Profile, until: string | null, at: string, by: Profile | null, reason: string}} BannedUser
 */

/** @typedef {{token: string, expires_at: string}} NewInvitation */

/**
 * What an invitation is to. `conversation_id` is null unless the user is a participant already.
 * @typedef {{
 *   conversation_id: string | null, title: string | null, participant_count: number, inviter: Profile, expires_at: string
 * }} Invitation
 */

/** @typedef {"since_joined" | "all"} History */

/** @typedef {{user: Profile, role: Role, joined_at: string, last_read_seq: number}} Participant */

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {"direct" | "group"} kind
 * @property {string | null} title
 * @property {number} participant_count
 * @property {string[]} participant_ids of the first 100, in the order of joining; the others are paged
 * @property {Profile[]} participants profiles of the first participants, enough for a title and a picture
 * @property {string} owner_id
 * @property {Role} role the user's own
 * @property {History | null} history whether those who join later see earlier messages; null in direct conversations
 * @property {string} created_at
 * @property {string} last_activity_at
 * @property {Message | null} last_message null if there is none that the user sees
 * @property {number} last_seq
 * @property {number} last_rev
 * @property {number} last_read_seq
 * @property {number} unread_count messages that others have written after `last_read_seq`, and not deleted
 * @property {number} mention_count how many of the unread messages mention the user
 * @property {string | null} muted_until null if it is not muted, or not any more
 * @property {boolean} archived
 * @property {Record<string, number> | null} read_marks `last_read_seq` of the others; null if they are more than 100
 */

/**
 * A conversation as an event announces it: with null for the user's own numbers in groups of more than 101 participants.
 * `archived` and `mention_count` are null there, too, unless the user has just set `archived` or `muted_until`.
 * @typedef {Omit<Conversation, "last_read_seq" | "unread_count" | "mention_count" | "archived"> & {last_read_seq: number | null,
 *   unread_count: number | null, mention_count: number | null, archived: boolean | null}} AnnouncedConversation
 */

/** @typedef {{conversation_id: string, last_seq: number, last_rev: number, last_read_seq: number}} ConversationHead */

/** @typedef {{online: boolean, last_seen: string | null}} Presence */

/** @typedef {{id: string, display_name: string, avatar: string | null}} Sender */

/**
 * @typedef {{
 *   notification_id: string,
 *   sender: Sender,
 *   post_id: string,
 *   comment_id: string | null,
 *   emoji?: string,
 *   preview: string,
 *   created_at: string,
 *   read: boolean,
 *   deleted?: true,
 * }} CommentNotification of a comment, a mention or a reaction. `comment_id`: null if it is about the post itself;
 *   `emoji`: of a reaction; `deleted`: what it is about has been deleted, and it is not to be shown
 */

/**
 * What a type of the site's own carries. `url` is relative or http(s); `extra` is the site's own object.
 * @typedef {{
 *   notification_id: string,
 *   sender: Sender | null,
 *   url: string | null,
 *   extra: Record<string, any> | null,
 *   group_key: string | null,
 *   preview: string,
 *   created_at: string,
 *   read: boolean,
 * }} CustomNotification
 */

/**
 * `seq` numbers the notifications of one user: 1, 2, 3 … without gaps. `type` is a built-in one, or the site's own:
 * capital letters, digits and underscores. Which of the two kinds `data` is, `"comment_id" in data` tells.
 * @typedef {{type: string, seq: number, data: CommentNotification | CustomNotification}} Notification
 */

/**
 * `in_app`: notifications of this type are stored; `push`: those that are stored are pushed.
 * @typedef {{in_app: boolean, push: boolean}} KindPreference
 */

/**
 * `kinds`: by notification type; types that are not in it are stored and pushed. `push.messages`: which chat messages are
 * pushed; `push.preview`: pushes show what was written. From `start` to `end`, "HH:MM" in the time zone, nothing is
 * pushed.
 * @typedef {object} Preferences
 * @property {Record<string, KindPreference>} kinds
 * @property {{messages: "all" | "mentions" | "none", preview: boolean}} push
 * @property {{start: string, end: string, timezone: string} | null} quiet_hours
 */

/**
 * Notifications of one type about one post, or with one `group_key`, within at most 7 days. `seq` is that of `latest`, the
 * newest one. `senders`: up to 3 of `sender_count` different ones, newest first.
 * @typedef {object} NotificationGroup
 * @property {string} key
 * @property {string} type
 * @property {number} seq
 * @property {number} count
 * @property {number} unread_count
 * @property {Sender[]} senders
 * @property {number} sender_count
 * @property {Notification} latest
 */

/**
 * A post as it is for everyone. `reactions`: how many users have reacted with each emoji.
 * @typedef {{
 *   id: string, author: Profile, content: string, attachments?: Attachment[], comment_count: number,
 *   reactions: Record<string, number>, created_at: string, edited_at: string | null
 * }} PostState
 */

/**
 * `my_reactions`: those of the user. `muted`: the post does not notify the user.
 * @typedef {PostState & {my_reactions: string[], muted: boolean}} Post
 */

/**
 * A comment as it is for everyone. `deleted`: it is only there because others reply to it.
 * @typedef {{
 *   id: string, post_id: string, parent_id: string | null, author: Profile, content: string, attachments?: Attachment[],
 *   reactions: Record<string, number>, created_at: string, edited_at: string | null, deleted: boolean
 * }} CommentState
 */

/** @typedef {CommentState & {my_reactions: string[]}} Comment */

/** @typedef {{id: string, created_at: string, last_used_at: string, user_agent: string, current: boolean}} Device */

/**
 * @template T
 * @template {string | number} [C=number]
 * @typedef {{items: T[], next: C | null}} Page
 */

/**
 * The status of a connection. `idle`: `connect` was not called; `offline`: the next attempt is due at `retryAt`;
 * `signed-out`: the user has to sign in; `failed`: the server rejected what this client sent, and would do so again.
 * @typedef {"idle" | "connecting" | "online" | "offline" | "signed-out" | "failed"} Status
 */

/**
 * @typedef {object} ConnectionState
 * @property {Status} status
 * @property {number | null} retryAt milliseconds since the epoch
 * @property {string | null} code the reason for the status, if there is one
 */

/**
 * A message of the user that is not stored yet. If `error` is set, the server has rejected it.
 * @typedef {object} PendingMessage
 * @property {string} nonce
 * @property {string} conversation_id
 * @property {string} content
 * @property {string | null} reply_to
 * @property {Attachment[]} [attachments]
 * @property {string} created_at by this device's clock
 * @property {import("./errors.js").LoaError | null} error
 */

/**
 * An edit or a deletion of a message by the user that is not stored yet. If `error` is set, the server has rejected it.
 * @typedef {object} PendingChange
 * @property {string} nonce
 * @property {"edit" | "delete"} kind
 * @property {string} conversation_id
 * @property {string} message_id
 * @property {string} content the new content; empty for a deletion
 * @property {string} created_at by this device's clock
 * @property {import("./errors.js").LoaError | null} error
 */

/**
 * The frames that the chat server sends.
 * @typedef {{type: "hello", connection_id: string, user_id: string, server_time: string, heartbeat_interval: number,
 *   max_message_bytes: number, token_expires_at: string, conversations: ConversationHead[]}} Hello
 * @typedef {{type: "new_message" | "message_updated", conversation_id: string, data: Message}} MessageEvent
 * @typedef {{type: "rev_skipped", conversation_id: string, data: {rev: number}}} RevSkipped
 * @typedef {{type: "read", conversation_id: string, data: {user_id: string, seq: number}}} ReadEvent
 * @typedef {{type: "typing", conversation_id: string, data: {user_id: string, expires_in: number}}} TypingEvent
 * @typedef {{type: "presence", data: Presence & {user_id: string}}} PresenceEvent
 * @typedef {{type: "profile_updated", data: Profile}} ProfileUpdated the user's own profile
 * @typedef {{type: "history_cleared", conversation_id: string, data: {seq: number}}} HistoryCleared the user does not see
 *   the messages up to `seq` any more
 * @typedef {{type: "block_updated", data: {user_id: string, blocked: boolean}}} BlockUpdated whom the user blocks
 * @typedef {{type: "post_mute_updated", data: {post_id: string, muted: boolean}}} PostMuteUpdated which posts the user
 *   has muted
 * @typedef {{type: "conversation_updated", conversation_id: string,
 *   data: AnnouncedConversation}} ConversationUpdated
 * @typedef {{type: "conversation_removed", conversation_id: string}} ConversationRemoved
 * @typedef {{type: "sync", conversation_id: string,
 *   data: {messages: Message[], last_rev: number, complete: boolean}}} Sync
 * @typedef {{type: "reset", data: {reason: string}}} Reset
 * @typedef {{type: "token_expiring", data: {token_expires_at: string}}} TokenExpiring
 * @typedef {{type: "draining", data: {reconnect_after_ms: number}}} Draining
 * @typedef {{type: "announcement", data: {message: string}}} Announcement
 * @typedef {{type: "ack" | "pong", ref: string | null, data?: any}} Ack
 * @typedef {{type: "error", ref: string | null, code: string, detail: string, retry_after?: number | null,
 *   errors?: import("./errors.js").FieldError[] | null}} ErrorFrame
 * @typedef {{type: "post_created", data: PostState}
 *   | {type: "post_updated", data: PostState & {deleted: boolean}}} PostEvent a change of a watched post
 * @typedef {{type: "comment_created" | "comment_updated", post_id: string, data: CommentState}} CommentEvent
 * @typedef {Hello | MessageEvent | RevSkipped | ReadEvent | TypingEvent | PresenceEvent | ProfileUpdated | BlockUpdated | HistoryCleared
 *   | PostMuteUpdated | PostEvent | CommentEvent
 *   | ConversationUpdated | ConversationRemoved | Sync | Reset | TokenExpiring | Draining | Announcement | Ack | ErrorFrame} Frame
 */

/**
 * The events of a ChatSocket: those of the server, with messages in the order of `rev` and each once, and those of the
 * client about the connection and the outbox.
 * @typedef {{type: "status", data: ConnectionState}} StatusEvent
 * @typedef {{type: "pending", conversation_id: string, data: PendingMessage}} PendingEvent
 * @typedef {{type: "sent", conversation_id: string, data: Message}} SentEvent
 * @typedef {{type: "failed", conversation_id: string,
 *   data: {nonce: string, error: import("./errors.js").LoaError}}} FailedEvent
 * @typedef {{type: "changes", conversation_id: string, data: PendingChange[]}} ChangesEvent all pending changes of the
 *   conversation, whenever they have changed
 * @typedef {{type: "watching", data: {post_ids: string[]}}} WatchingEvent the changes of these posts arrive from now on
 * @typedef {Hello | MessageEvent | PostEvent | CommentEvent | WatchingEvent | ReadEvent | TypingEvent | PresenceEvent | ProfileUpdated | BlockUpdated | HistoryCleared
 *   | PostMuteUpdated | ConversationUpdated | ConversationRemoved | Reset | Draining | Announcement | StatusEvent | PendingEvent | SentEvent | FailedEvent
 *   | ChangesEvent} ChatEvent
 */

/**
 * The events of a NotificationStream. After a `reset` the list has to be fetched again.
 * @typedef {{type: "hello",
 *   data: {seq: number, unread_count: number, heartbeat_interval: number, token_expires_at: string}}} StreamHello
 * @typedef {{type: "notification", data: Notification}} NotificationEvent
 * @typedef {{type: "unread_count", data: {unread_count: number, seq: number}}} UnreadCountEvent
 * @typedef {{type: "notifications_deleted", data: {seqs: number[]}}} NotificationsDeleted
 * @typedef {{type: "preferences_updated", data: Preferences}} PreferencesUpdated
 * @typedef {StreamHello | NotificationEvent | UnreadCountEvent | NotificationsDeleted | PreferencesUpdated | Reset | Draining
 *   | StatusEvent} StreamEvent
 */

/**
 * The deleted and system messages, which are never unread: `count` of those after the seq `lastRead` as of the rev
 * `rev`, and `later` those since then.
 * @typedef {{lastRead: number, rev: number, count: number, later: {seq: number, rev: number}[]}} Uncounted
 */

/**
 * The state of one conversation.
 * @typedef {object} ConversationState
 * @property {string} id
 * @property {Conversation | null} details title, participants and so on; null until they are known
 * @property {Message[]} messages the loaded ones, in ascending order of `seq` and without gaps, up to the latest
 * @property {number} loadedFrom the `seq` from which on `messages` is complete
 * @property {boolean} hasOlder whether there are earlier messages
 * @property {PendingMessage[]} pending the user's messages that are not stored yet, in the order of sending
 * @property {Record<string, PendingChange>} changes the user's edits and deletions that are not stored yet, by message
 *   id;
 *   of several for one message, the last
 * @property {Message | null} lastMessage
 * @property {number} lastSeq
 * @property {number} unreadCount
 * @property {Uncounted} uncounted
 * @property {Record<string, number>} reads the last read `seq`, by user id
 * @property {Record<string, number>} typing when the typing indicator expires (milliseconds since epoch), by user id
 * @property {boolean} isOpen whether it is shown on the screen
 */

/**
 * @typedef {object} NotificationsState
 * @property {Notification[]} items the loaded ones, newest first and without gaps but for deleted ones
 * @property {ReadonlySet<number>} deleted numbers that lists leave out, because they were deleted
 * @property {number} first below this number, there is none any more
 * @property {number} unreadCount
 * @property {boolean} hasOlder
 * @property {number} seq of the last notification
 * @property {number} readCount how many have ever been read; like `seq` it never decreases, which makes it mergeable
 */

/**
 * The state that views render. Immutable: each change creates a new object, which shares its unchanged parts.
 * @typedef {object} State
 * @property {string | null} userId
 * @property {ConnectionState} chat
 * @property {ConnectionState} stream
 * @property {Record<string, ConversationState>} conversations
 * @property {string[]} conversationIds of the conversations with details, latest activity first
 * @property {boolean} conversationsLoaded
 * @property {boolean} hasMoreConversations
 * @property {Record<string, Presence>} presence by user id
 * @property {Record<string, Profile>} people the known profiles, by user id
 * @property {NotificationsState} notifications
 * @property {string | null} announcement the operator's last announcement
 */

export {};
