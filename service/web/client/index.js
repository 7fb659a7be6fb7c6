/** The Loa client library for browsers: realtime chat and notifications. `Loa` combines all parts. */

export { Api } from "./api.js";
export { ChatSocket } from "./chat-socket.js";
export { LoaError } from "./errors.js";
export { Loa } from "./loa.js";
export { NotificationStream } from "./notification-stream.js";
export { randomId } from "./random-id.js";
export { Session } from "./session.js";
export { Store } from "./store.js";
