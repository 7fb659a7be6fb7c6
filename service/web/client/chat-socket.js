/** The chat, both ways, over one socket that comes back by itself. */

import { verdict } from "./closing.js";
import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { Revs } from "./revs.js";
import { browserStorage } from "./storage.js";
import { Sync } from "./sync.js";
import { Turns } from "./turns.js";
import { Upkeep } from "./upkeep.js";

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./sync.js").GetChanges} GetChanges
 * @typedef {(options?: {fresh?: boolean}) => Promise<string>} GetToken `fresh`: not the one that was given last. It
 *   rejects with a LoaError that `needsSignIn` where a person has to sign in; any other failure is taken to pass
 */

const PATH = "/api/v1/ws/chat";
/** Milliseconds to stay away at least after `rate_limited`; the server counts by the minute. */
const SLOW = 10_000;
/** Milliseconds between two signs that one is typing; the others show each for five seconds. */
const TYPING_PAUSE = 3000;
const MAX_WATCHED = 200;

/**
 * One for the page. Guarantees to its subscribers: the messages of a conversation come in the order of their `rev`,
 * none twice, and none is missing from where the conversation is followed on, whatever becomes of the connection. And
 * to the sender: the messages of a conversation are stored in the order of `send`, each once.
 */
export class ChatSocket {
  /** @type {Emitter<ChatEvent>} */
  #emitter = new Emitter();
  #upkeep;
  #outbox;
  #url;
  #WebSocket;
  #getChanges;
  /** @type {GetToken | null} */
  #getToken = null;
  /** Stands for the attempt under way, until another takes its place. */
  #dialling = {};
  /** @type {Link | null} */
  #link = null;
  /** The link, once it has said hello. @type {Link | null} */
  #online = null;
  #turns = new Turns();
  /** Whether a fresh token was tried since the last hello. */
  #refreshed = false;
  /** @type {string | null} */
  #userId = null;
  #revs = new Revs();
  #sync;
  /** Marks that the server has not confirmed yet, by conversation. @type {Map<string, number>} */
  #reads = new Map();
  /** @type {string[] | null} */
  #watched = null;
  /** When one last said to be typing, by conversation. @type {Map<string, number>} */
  #typed = new Map();

  /**
   * @param {{
   *   server?: string,
   *   WebSocket?: typeof globalThis.WebSocket,
   *   sessionStorage?: import("./storage.js").KeyValues,
   *   window?: Window | undefined,
   *   getChanges?: GetChanges,
   * }} [options] `server`: its origin, where it is not the page's own; `getChanges`: `Api.changes`, which spares the
   *   socket long answers
   */
  constructor({
    server = globalThis.location?.origin ?? "",
    WebSocket = globalThis.WebSocket,
    sessionStorage = browserStorage("sessionStorage"),
    window = globalThis.window,
    getChanges,
  } = {}) {
    this.#url = server.replace(/^http/, "ws") + PATH;
    this.#WebSocket = WebSocket;
    this.#outbox = new Outbox(sessionStorage);
    this.#getChanges = getChanges;
    this.#sync = this.#newSync();
    this.#upkeep = new Upkeep(window, {
      dial: () => this.#dial(),
      wake: () => this.#online?.probe(),
      changed: (data) => this.#emit({ type: "status", data }),
    });
  }

  /** Where the connection stands. */
  get connectionState() {
    return this.#upkeep.state;
  }

  get status() {
    return this.#upkeep.status;
  }

  /** When it tries again, in milliseconds since the epoch; null where nothing is due. */
  get retryAt() {
    return this.connectionState.retryAt;
  }

  /** One's messages that are not stored yet, in their order. */
  get pending() {
    return this.#outbox.pending;
  }

  /**
   * @param {(event: ChatEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /**
   * Connect, and stay connected until `disconnect`, or until a person has to sign in (status `signed-out`).
   * @param {GetToken} getToken `Session.getToken`, or one's own
   * @param {{userId?: string | undefined}} [options] with it, what waits to be sent is known before the server's hello
   */
  connect(getToken, { userId } = {}) {
    this.disconnect();
    this.#getToken = getToken;
    this.#upkeep.begin();
    if (userId) this.#recognise(userId);
    this.#dial();
  }

  disconnect() {
    this.#end("idle");
  }

  /**
   * Send a message, now or as soon as there is a connection; also after a reload of the page.
   * @param {string} conversationId
   * @param {string} content
   * @param {{replyTo?: string | null}} [options]
   * @returns {Promise<Message>} the message once it is stored; rejects with the LoaError that refused it
   */
  send(conversationId, content, { replyTo = null } = {}) {
    let added;
    try {
      added = this.#outbox.add(conversationId, content, replyTo);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#typed.delete(conversationId);
    this.#emit({ type: "pending", conversation_id: conversationId, data: added.pending });
    this.#post(conversationId);
    // Who does not wait for it is told of a refusal by the `failed` event.
    added.stored.catch(() => {});
    return added.stored;
  }

  /**
   * Say how far one has read. The server is told when there is a connection, and a mark never moves back.
   * @param {string} conversationId
   * @param {number} seq
   */
  markRead(conversationId, seq) {
    if (seq <= (this.#reads.get(conversationId) ?? 0)) return;
    this.#reads.set(conversationId, seq);
    this.#mark(conversationId);
  }

  /**
   * Say that one is typing; may be called with every key. Without a connection it is of no interest.
   * @param {string} conversationId
   */
  typing(conversationId) {
    const now = Date.now();
    if (!this.#online || now - (this.#typed.get(conversationId) ?? 0) < TYPING_PAUSE) return;
    this.#typed.set(conversationId, now);
    this.#online.request({ type: "typing", conversation_id: conversationId }).catch(() => {});
  }

  /**
   * Follow who of these is online, in place of those before.
   * @param {string[]} userIds at most 200
   */
  watchPresence(userIds) {
    const watched = [...new Set(userIds)];
    if (watched.length > MAX_WATCHED) throw new RangeError(`At most ${MAX_WATCHED} people can be watched.`);
    this.#watched = watched;
    this.#watch();
  }

  /**
   * What was loaded of a conversation is as of its `last_rev`; what is later is to be handed on. For a conversation
   * that was loaded before the server's `hello`, or that is not among those it lists.
   * @param {{id: string, last_rev: number, last_seq: number}} conversation
   */
  setBaseline(conversation) {
    this.#revs.hold(conversation);
    this.#catchUp();
  }

  // The connection's life.

  /** @param {boolean} [fresh] */
  async #dial(fresh = false) {
    const getToken = this.#getToken;
    if (!getToken) return;
    this.#upkeep.connecting();
    const dialling = (this.#dialling = {});
    /** @type {string} */
    let token;
    try {
      token = await getToken({ fresh });
    } catch (error) {
      if (dialling === this.#dialling) this.#tokenless(error);
      return;
    }
    if (dialling !== this.#dialling) return;
    const socket = new this.#WebSocket(`${this.#url}?token=${encodeURIComponent(token)}`);
    const link = new Link(
      socket,
      (frame) => this.#hear(link, frame),
      (code, reason) => this.#closed(code, reason),
    );
    this.#link = link;
  }

  /** @param {unknown} error */
  #tokenless(error) {
    if (this.#upkeep.refused(error)) this.#end("signed-out", /** @type {LoaError} */ (error).code);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #closed(code, reason) {
    this.#hangUp();
    switch (verdict(code, reason)) {
      case "refresh":
        if (this.#refreshed) return this.#end("signed-out", reason);
        this.#refreshed = true;
        return void this.#dial(true);
      case "sign-in":
        return this.#end("signed-out", reason);
      case "stop":
        return this.#end("failed", reason || `${code}`);
      case "slow":
        return this.#upkeep.backOff(reason, SLOW);
      case "back-off":
        return this.#upkeep.backOff(reason || null);
    }
  }

  #hangUp() {
    this.#dialling = {};
    this.#link?.drop();
    this.#link = this.#online = null;
    this.#turns = new Turns();
  }

  /**
   * Nothing more will be tried.
   * @param {import("./types.js").Status} status
   * @param {string | null} [code]
   */
  #end(status, code = null) {
    this.#getToken = null;
    this.#refreshed = false;
    this.#hangUp();
    this.#upkeep.end(status, code);
  }

  // What the server says.

  /**
   * @param {Link} link
   * @param {import("./types.js").Frame} frame
   */
  #hear(link, frame) {
    switch (frame.type) {
      case "hello":
        return this.#greet(link, frame);
      case "new_message":
      case "message_updated":
        return this.#take(frame);
      case "sync":
        return this.#sync.take(frame);
      case "reset":
        this.#revs.doubt();
        this.#emit(frame);
        return this.#catchUp();
      case "token_expiring":
        return this.#renew();
      case "draining":
        this.#upkeep.reconnectAfter = frame.data.reconnect_after_ms;
        return this.#emit(frame);
      case "conversation_updated":
        this.#revs.reach(frame.conversation_id, frame.data.last_rev, frame.data.last_seq);
        this.#emit(frame);
        return this.#catchUp();
      case "conversation_removed":
        this.#revs.forget(frame.conversation_id);
        return this.#emit(frame);
      case "read":
      case "typing":
      case "presence":
      case "announcement":
        return this.#emit(frame);
    }
  }

  /**
   * @param {Link} link
   * @param {import("./types.js").Hello} hello
   */
  #greet(link, hello) {
    this.#online = link;
    this.#refreshed = false;
    this.#recognise(hello.user_id);
    this.#revs.doubt(hello.conversations.map(({ conversation_id }) => conversation_id));
    for (const { conversation_id, last_rev, last_seq } of hello.conversations) {
      this.#revs.reach(conversation_id, last_rev, last_seq);
    }
    this.#upkeep.online();
    this.#emit(hello);
    this.#catchUp();
    for (const id of new Set(this.pending.map(({ conversation_id }) => conversation_id))) this.#post(id);
    for (const id of this.#reads.keys()) this.#mark(id);
    this.#watch();
  }

  /** @param {string} userId */
  #recognise(userId) {
    if (this.#userId && this.#userId !== userId) {
      this.#revs = new Revs();
      this.#sync = this.#newSync();
      this.#reads.clear();
      this.#typed.clear();
      this.#watched = null;
    }
    this.#userId = userId;
    for (const data of this.#outbox.open(userId)) {
      this.#emit({ type: "pending", conversation_id: data.conversation_id, data });
    }
  }

  #newSync() {
    return new Sync(this.#revs, (events) => this.#handOn(events), this.#getChanges);
  }

  /** @param {import("./types.js").MessageEvent} event */
  #take(event) {
    this.#handOn(this.#revs.take(event));
    this.#catchUp();
  }

  /** @param {import("./types.js").MessageEvent[]} events */
  #handOn(events) {
    for (const event of events) this.#emit(event);
  }

  /** @param {ChatEvent} event */
  #emit(event) {
    this.#emitter.emit(event);
  }

  // What is said to the server: one thing of a kind at a time, for as long as the connection lasts.

  /**
   * @param {string} kind
   * @param {(link: Link) => Promise<void>} job
   */
  #turn(kind, job) {
    const link = this.#online;
    if (!link) return;
    this.#turns
      .take(kind, () => job(link))
      .catch((error) => {
        // The connection is gone, and hello takes it up again; or the server will not have it.
        if (!(error instanceof LoaError)) throw error;
      });
  }

  #catchUp() {
    if (this.#sync.due) this.#turn("sync", (link) => this.#sync.run(link));
  }

  /** @param {string} conversationId */
  #post(conversationId) {
    this.#turn(`send ${conversationId}`, async (link) => {
      for (let pending; (pending = this.#outbox.next(conversationId)); ) {
        const { nonce, content, reply_to } = pending;
        const frame = { type: "send_message", conversation_id: conversationId, content, nonce, reply_to };
        try {
          /** @type {Message} */
          const data = await link.insist(frame);
          this.#take({ type: "new_message", conversation_id: conversationId, data });
          this.#emit({ type: "sent", conversation_id: conversationId, data });
          this.#outbox.stored(nonce, data);
        } catch (error) {
          if (!(error instanceof LoaError) || !link.open) throw error;
          this.#emit({ type: "failed", conversation_id: conversationId, data: { nonce, error } });
          this.#outbox.refused(nonce, error);
        }
      }
    });
  }

  /** @param {string} conversationId */
  #mark(conversationId) {
    this.#turn(`read ${conversationId}`, async (link) => {
      const seq = this.#reads.get(conversationId);
      if (seq === undefined) return;
      try {
        await link.insist({ type: "read", conversation_id: conversationId, seq });
      } catch (error) {
        if (!link.open) throw error;
      }
      if (this.#reads.get(conversationId) === seq) this.#reads.delete(conversationId);
    });
  }

  #watch() {
    if (this.#watched) this.#turn("watch", (link) => link.insist({ type: "watch_presence", user_ids: this.#watched }));
  }

  #renew() {
    const getToken = this.#getToken;
    if (!getToken || !this.#upkeep.renewable) return;
    this.#turn("renew", async (link) => {
      /** @type {string} */
      let token;
      try {
        token = await link.patiently(() => getToken({ fresh: true }));
      } catch (error) {
        // Anything else shows when the token has expired and the server closes the connection.
        if (link.open && error instanceof LoaError && error.needsSignIn) this.#end("signed-out", error.code);
        return;
      }
      await link.insist({ type: "authenticate", token });
      this.#upkeep.renewed();
    });
  }
}
