/** The Loa client library for browsers: realtime chat and notifications. `Loa` combines all parts. */

export { Api } from "./api.js";
export { ChatSocket } from "./chat-socket.js";
export { LoaError } from "./errors.js";
export { ExternalSession } from "./external-session.js";
export { Loa } from "./loa.js";
export { NotificationStream } from "./notification-stream.js";
export { Push } from "./push.js";
export { randomId } from "./random-id.js";
export { Session } from "./session.js";
export { Store } from "./store.js";

/**
 * @typedef {import("./external-session.js").GetExternalToken} GetExternalToken
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").Comment} Comment
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {import("./types.js").Conversation} Conversation
 * @typedef {import("./types.js").ConversationState} ConversationState
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Notification} Notification
 * @typedef {import("./types.js").NotificationsState} NotificationsState
 * @typedef {import("./types.js").Participant} Participant
 * @typedef {import("./types.js").PendingChange} PendingChange
 * @typedef {import("./types.js").PendingMessage} PendingMessage
 * @typedef {import("./types.js").Post} Post
 * @typedef {import("./types.js").Presence} Presence
 * @typedef {import("./types.js").Profile} Profile
 * @typedef {import("./types.js").SessionEvent} SessionEvent
 * @typedef {import("./types.js").State} State
 * @typedef {import("./types.js").StreamEvent} StreamEvent
 */
