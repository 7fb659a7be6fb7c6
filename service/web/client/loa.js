/** All parts of the library wired together. */

import { Api } from "./api.js";
import { ChatSocket } from "./chat-socket.js";
import { ExternalSession } from "./external-session.js";
import { NotificationStream } from "./notification-stream.js";
import { Push } from "./push.js";
import { Session } from "./session.js";
import { Store } from "./store.js";

/** @typedef {import("./external-session.js").GetExternalToken} GetExternalToken */
/**
 * `server`: its origin, by default the page's; the other options replace browser APIs, for example in tests.
 * @typedef {NonNullable<ConstructorParameters<typeof Session>[0]>
 *   & NonNullable<ConstructorParameters<typeof ChatSocket>[0]>
 *   & NonNullable<ConstructorParameters<typeof NotificationStream>[0]>
 *   & Partial<ConstructorParameters<typeof Push>[0]>
 *   & {onOpen?: (url: string) => void}} LoaOptions
 */

/**
 * After `start`, the chat socket and the notification stream are connected while a user is signed in, in this tab or
 * in another one of the same browser.
 *
 * `session` holds the signed-in user, `store` the state to render; `socket` and `api` carry out actions. With the
 * option `getToken`, another system signs users in, and `session` is an ExternalSession.
 *
 * @template {GetExternalToken | undefined} [G=undefined]
 */
export class Loa {
  /** @type {(() => void)[]} */
  #unsubscribers = [];
  /** The user of the connections; null before a user is known. @type {string | null} */
  #userId = null;
  /** The session, if another system signs users in. @type {ExternalSession | null} */
  #externalSession = null;

  /** @type {((url: string) => void) | undefined} */
  #onOpen;

  /** @param {LoaOptions & {getToken?: G}} [options] `getToken`: returns the tokens of another system */
  constructor(options = {}) {
    const { getToken, ...others } = options;
    if (getToken) this.#externalSession = new ExternalSession({ ...others, getToken });
    const session = this.#externalSession ?? new Session(others);
    this.session = /** @type {G extends undefined ? Session : ExternalSession} */ (session);
    this.api = new Api(session);
    this.socket = new ChatSocket({
      getChanges: (id, rev) => this.api.changes(id, rev),
      changeMessage: ({ kind, conversation_id: id, message_id: messageId, content }) =>
        kind === "edit" ? this.api.editMessage(id, messageId, content) : this.api.deleteMessage(id, messageId),
      ...others,
    });
    this.stream = new NotificationStream(others);
    this.push = new Push({ ...others, api: this.api, session });
    this.#onOpen = others.onOpen;
    this.store = new Store({ socket: this.socket, stream: this.stream, api: this.api });
  }

  /**
   * Connect now if a user is signed in, and whenever a user signs in later. With `getToken`, ask it who is. Idempotent.
   */
  start() {
    if (this.#unsubscribers.length) return;
    this.#unsubscribers = [
      this.session.subscribe((event) => (event.type === "signed-in" ? this.#connect() : this.#disconnect())),
      // If the server rejects the token, it is useless although it has not expired.
      this.socket.subscribe((event) => this.#onConnectionEvent(event, this.socket.token)),
      // The stream's tickets are fetched by `Session.fetch`, which has ended the session if the token was rejected.
      this.stream.subscribe((event) => this.#onConnectionEvent(event, null)),
    ];
    this.#externalSession?.start();
    this.push.start(this.#onOpen);
    if (this.session.user) this.#connect();
    // The user is known after the first token; the socket asks for it until there is one.
    else if (this.#externalSession) this.socket.connect(this.#externalSession.getToken);
  }

  /** Disconnect and clear the store. The user stays signed in. */
  stop() {
    for (const unsubscribe of this.#unsubscribers) unsubscribe();
    this.#unsubscribers = [];
    this.#externalSession?.stop();
    this.push.stop();
    this.#disconnect();
  }

  #connect() {
    const userId = this.session.user?.id;
    // What the page has opened before a user was known stays open.
    if (this.#userId) this.#disconnect();
    this.#userId = userId ?? null;
    this.socket.connect(this.session.getToken, { userId });
    this.stream.connect(this.session.getTicket, { userId });
    if (userId) this.store.prefetch(userId);
  }

  #disconnect() {
    this.#userId = null;
    this.socket.disconnect();
    this.stream.disconnect();
    this.store.clear();
  }

  /**
   * @param {import("./types.js").ChatEvent | import("./types.js").StreamEvent} event
   * @param {string | null} token the access token that the connection presented, if it did
   */
  #onConnectionEvent(event, token) {
    if (event.type !== "status" || event.data.status !== "signed-out") return;
    if (token) this.session.end(event.data.code, { token });
    // Another tab has refreshed the token or signed in again while this connection still used the old token. Connecting
    // waits until the connection has emitted all about its end.
    if (this.session.user) queueMicrotask(() => this.#unsubscribers.length && this.session.user && this.#connect());
  }
}
