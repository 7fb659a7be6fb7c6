/** Everything tied together, for a page that wants chat and the bell without further ado. */

import { Api } from "./api.js";
import { ChatSocket } from "./chat-socket.js";
import { NotificationStream } from "./notification-stream.js";
import { Session } from "./session.js";
import { Store } from "./store.js";

/**
 * Once it is started, whoever signs in, in this tab or another, is connected, and whoever signs out is not.
 *
 * `session` is who it is, `store` what to render, `socket` and `api` what to do.
 */
export class Loa {
  /** @type {(() => void)[]} */
  #leaves = [];

  /**
   * @param {NonNullable<ConstructorParameters<typeof Session>[0]>
   *   & NonNullable<ConstructorParameters<typeof ChatSocket>[0]>
   *   & NonNullable<ConstructorParameters<typeof NotificationStream>[0]>} [options] `server`: its origin, where it is
   *   not the page's own; the others stand in for what the browser has
   */
  constructor(options = {}) {
    this.session = new Session(options);
    this.api = new Api(this.session);
    this.socket = new ChatSocket({ getChanges: (id, rev) => this.api.changes(id, rev), ...options });
    this.stream = new NotificationStream(options);
    this.store = new Store({ socket: this.socket, stream: this.stream, api: this.api });
  }

  start() {
    if (this.#leaves.length) return;
    this.#leaves = [
      this.session.subscribe((event) => (event.type === "signed-in" ? this.#connect() : this.#disconnect())),
      // The server has said so, and knows better than the tokens that are kept.
      this.socket.subscribe((event) => this.#heed(event)),
      this.stream.subscribe((event) => this.#heed(event)),
    ];
    if (this.session.user) this.#connect();
  }

  stop() {
    for (const leave of this.#leaves) leave();
    this.#leaves = [];
    this.#disconnect();
  }

  #connect() {
    const userId = this.session.user?.id;
    this.#disconnect();
    this.socket.connect(this.session.getToken, { userId });
    this.stream.connect(this.session.getTicket, { userId });
  }

  #disconnect() {
    this.socket.disconnect();
    this.stream.disconnect();
    this.store.clear();
  }

  /** @param {import("./types.js").ChatEvent | import("./types.js").StreamEvent} event */
  #heed(event) {
    if (event.type === "status" && event.data.status === "signed-out") this.session.end(event.data.code);
  }
}
