/** Loa in the browser: chat and notifications in real time. See `Loa` for all of it at once. */

export { Api } from "./api.js";
export { ChatSocket } from "./chat-socket.js";
export { LoaError } from "./errors.js";
export { Loa } from "./loa.js";
export { NotificationStream } from "./notification-stream.js";
export { Session } from "./session.js";
export { Store } from "./store.js";
