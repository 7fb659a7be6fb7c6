/**
 * What goes over the wire, as the server's documents (/docs, /asyncapi.json) describe it, and what the client adds.
 * Only types: names with an underscore are the server's, names in camel case the client's.
 */

/** @typedef {{id: string, username: string, display_name: string, avatar: string | null}} Profile */

/** @typedef {{user: Profile, access_token: string, refresh_token: string, expires_in: number}} SignedIn */

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} conversation_id
 * @property {number} seq its place: 1, 2, 3 … without holes; it never changes
 * @property {number} rev the conversation's number of this message's last change
 * @property {string} sender_id
 * @property {string} content empty where `deleted`
 * @property {string | null} nonce
 * @property {string | null} reply_to
 * @property {string} created_at
 * @property {string | null} edited_at
 * @property {boolean} deleted
 * @property {Record<string, string[]>} reactions the users' ids by emoji
 */

/**
 * @typedef {object} Conversation
 * @property {string} id
 * @property {"direct" | "group"} kind
 * @property {string | null} title
 * @property {string[]} participant_ids
 * @property {Profile[]} participants the first ones' profiles, enough for a title and a picture
 * @property {string} owner_id
 * @property {string} created_at
 * @property {string} last_activity_at
 * @property {Message | null} last_message
 * @property {number} last_seq
 * @property {number} last_rev
 * @property {number} last_read_seq
 * @property {number} unread_count
 */

/** @typedef {{conversation_id: string, last_seq: number, last_rev: number, last_read_seq: number}} Standing */

/** @typedef {{online: boolean, last_seen: string | null}} Presence */

/**
 * @typedef {object} Notification
 * @property {"NEW_COMMENT" | "NEW_REPLY"} type
 * @property {number} seq counts one user's notifications 1, 2, 3 … without holes
 * @property {{
 *   notification_id: string,
 *   sender: {id: string, display_name: string, avatar: string | null},
 *   post_id: string,
 *   comment_id: string,
 *   preview: string,
 *   created_at: string,
 *   read: boolean,
 * }} data
 */

/** @typedef {{id: string, author: Profile, content: string, comment_count: number, created_at: string}} Post */

/**
 * @typedef {{
 *   id: string, post_id: string, parent_id: string | null, author: Profile, content: string, created_at: string
 * }} Comment
 */

/** @typedef {{id: string, created_at: string, last_used_at: string, user_agent: string, current: boolean}} Device */

/**
 * @template T
 * @template {string | number} [C=number]
 * @typedef {{items: T[], next: C | null}} Page
 */

/**
 * Where a connection stands. `idle`: nobody asked for it; `offline`: it tries again at `retryAt`; `signed-out`: it
 * needs a person; `failed`: the server refused what this client does, and would again.
 * @typedef {"idle" | "connecting" | "online" | "offline" | "signed-out" | "failed"} Status
 */

/**
 * @typedef {object} ConnectionState
 * @property {Status} status
 * @property {number | null} retryAt milliseconds since the epoch
 * @property {string | null} code why, where there is a reason
 */

/**
 * A message of one's own that is not stored yet. With `error` it never will be.
 * @typedef {object} Pending
 * @property {string} nonce
 * @property {string} conversation_id
 * @property {string} content
 * @property {string | null} reply_to
 * @property {string} created_at by this device's clock
 * @property {import("./errors.js").LoaError | null} error
 */

/**
 * What the chat server says.
 * @typedef {{type: "hello", connection_id: string, user_id: string, server_time: string, heartbeat_interval: number,
 *   max_message_bytes: number, token_expires_at: string, conversations: Standing[]}} Hello
 * @typedef {{type: "new_message" | "message_updated", conversation_id: string, data: Message}} MessageEvent
 * @typedef {{type: "read", conversation_id: string, data: {user_id: string, seq: number}}} ReadEvent
 * @typedef {{type: "typing", conversation_id: string, data: {user_id: string, expires_in: number}}} TypingEvent
 * @typedef {{type: "presence", data: Presence & {user_id: string}}} PresenceEvent
 * @typedef {{type: "conversation_updated", conversation_id: string, data: Conversation}} ConversationUpdated
 * @typedef {{type: "conversation_removed", conversation_id: string}} ConversationRemoved
 * @typedef {{type: "sync", conversation_id: string,
 *   data: {messages: Message[], last_rev: number, complete: boolean}}} Sync
 * @typedef {{type: "reset", data: {reason: string}}} Reset
 * @typedef {{type: "token_expiring", data: {token_expires_at: string}}} TokenExpiring
 * @typedef {{type: "draining", data: {reconnect_after_ms: number}}} Draining
 * @typedef {{type: "announcement", data: {message: string}}} Announcement
 * @typedef {{type: "ack" | "pong", ref: string | null, data?: any}} Ack
 * @typedef {{type: "error", ref: string | null, code: string, detail: string, retry_after?: number | null,
 *   errors?: import("./errors.js").FieldProblem[] | null}} Refusal
 * @typedef {Hello | MessageEvent | ReadEvent | TypingEvent | PresenceEvent | ConversationUpdated | ConversationRemoved
 *   | Sync | Reset | TokenExpiring | Draining | Announcement | Ack | Refusal} Frame
 */

/**
 * What the subscribers of a ChatSocket hear: the server's events, messages in the order of their `rev` and none twice,
 * and the client's own about the connection and the outbox.
 * @typedef {{type: "status", data: ConnectionState}} StatusEvent
 * @typedef {{type: "pending", conversation_id: string, data: Pending}} PendingEvent
 * @typedef {{type: "sent", conversation_id: string, data: Message}} SentEvent
 * @typedef {{type: "failed", conversation_id: string,
 *   data: {nonce: string, error: import("./errors.js").LoaError}}} FailedEvent
 * @typedef {Hello | MessageEvent | ReadEvent | TypingEvent | PresenceEvent | ConversationUpdated | ConversationRemoved
 *   | Reset | Draining | Announcement | StatusEvent | PendingEvent | SentEvent | FailedEvent} ChatEvent
 */

/**
 * What the subscribers of a NotificationStream hear. After a `reset` the list has to be fetched again.
 * @typedef {{type: "hello",
 *   data: {seq: number, unread_count: number, heartbeat_interval: number, token_expires_at: string}}} StreamHello
 * @typedef {{type: "notification", data: Notification}} NotificationEvent
 * @typedef {{type: "unread_count", data: {unread_count: number, seq: number}}} UnreadCountEvent
 * @typedef {StreamHello | NotificationEvent | UnreadCountEvent | Reset | Draining | StatusEvent} StreamEvent
 */

/**
 * One conversation, as a view needs it.
 * @typedef {object} ConversationState
 * @property {string} id
 * @property {Conversation | null} details title, participants …, as last told; null until they are known
 * @property {Message[]} messages ascending `seq`, without holes: the latest, back to where one has loaded
 * @property {number} from the `seq` from which on `messages` is complete
 * @property {boolean} hasOlder whether there are more before them
 * @property {Pending[]} pending one's own that are not stored yet, in their order
 * @property {Message | null} lastMessage
 * @property {number} lastSeq
 * @property {number} unreadCount
 * @property {Record<string, number>} reads how far each has read, by user id
 * @property {Record<string, number>} typing until when each is writing (milliseconds since the epoch), by user id
 * @property {boolean} opened
 */

/**
 * @typedef {object} NotificationsState
 * @property {Notification[]} items newest first, without holes
 * @property {number} unreadCount
 * @property {boolean} hasOlder
 * @property {number} seq the last there is
 * @property {number} readCount how many were ever read: like `seq` it never falls, which makes it mergeable
 */

/**
 * Everything a view renders. A new object with each change; parts that have not changed stay the same objects.
 * @typedef {object} State
 * @property {string | null} userId
 * @property {ConnectionState} chat
 * @property {ConnectionState} stream
 * @property {Record<string, ConversationState>} conversations
 * @property {string[]} conversationIds those with details, latest activity first
 * @property {boolean} hasMoreConversations
 * @property {Record<string, Presence>} presence by user id
 * @property {Record<string, Profile>} people everyone met so far, by user id
 * @property {NotificationsState} notifications
 * @property {string | null} announcement the operator's last word
 */

export {};
