/** The chat, both ways, over one socket that comes back by itself. */

import { verdict } from "./closing.js";
import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { Retry } from "./retry.js";
import { Revs } from "./revs.js";
import { browserStorage } from "./storage.js";
import { Turns } from "./turns.js";
import { onWake } from "./wake.js";

/**
 * @typedef {import("./types.js").Frame} Frame
 * @typedef {import("./types.js").Hello} Hello
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").Standby} Standby
 * @typedef {(options?: {fresh?: boolean}) => Promise<string>} GetToken `fresh`: not the one that was given last. It
 *   rejects with a LoaError whose `needsSignIn` is true where a person has to sign in; any other error is taken to pass
 * @typedef {(conversationId: string, afterRev: number) => Promise<import("./types.js").Page<Message>>} GetChanges
 */

const PATH = "/api/v1/ws/chat";
/** Conversations in one `sync`: 45 bytes each, well below the 64 KiB that a frame may have. */
const SYNCED_AT_ONCE = 500;
/** Milliseconds to wait after a sync that has filled no gap: what is announced is not readable yet. */
const SYNC_PAUSE = 1000;
const MAX_SYNC_PAUSE = 20_000;
/** Milliseconds to stay away at least after `rate_limited`; the server counts by the minute. */
const SLOW = 10_000;
/** Milliseconds between two signs that one is typing; the others show each for five seconds. */
const TYPING_PAUSE = 3000;
const MAX_WATCHED = 200;

const NO_TOKEN = new LoaError("no_token", "No token could be had.");

/**
 * One for the page. Guarantees to its subscribers: the messages of a conversation come in the order of their `rev`,
 * none twice and none missing from the moment the conversation is followed, whatever becomes of the connection. And to
 * the sender: messages of a conversation are stored in the order of `send`, each once.
 */
export class ChatSocket {
  /** @type {Emitter<ChatEvent>} */
  #emitter = new Emitter();
  /** @type {Standby} */
  #standby = { status: "idle", retryAt: null, code: null };
  #retry = new Retry(() => this.#dial());
  #revs = new Revs();
  #turns = new Turns();
  #outbox;
  #url;
  #WebSocket;
  #window;
  #getChanges;
  /** What `connect` began and `disconnect` ends. @type {{getToken: GetToken, sleep: () => void} | null} */
  #life = null;
  /** @type {Link | null} */
  #link = null;
  /** The link once it has said hello. @type {Link | null} */
  #online = null;
  /** Whether a fresh token was tried since the last hello. */
  #refreshed = false;
  /** What the server said of when to come back. @type {number | null} */
  #reconnectAfter = null;
  /** @type {string | null} */
  #userId = null;
  /** Marks that the server has not confirmed, by conversation. @type {Map<string, number>} */
  #reads = new Map();
  /** @type {string[] | null} */
  #watched = null;
  /** When one last said to be typing, by conversation. @type {Map<string, number>} */
  #typed = new Map();
  /** Conversations of which a sync has brought only the beginning. @type {Set<string>} */
  #unfinished = new Set();

  /**
   * @param {{
   *   server?: string,
   *   WebSocket?: typeof globalThis.WebSocket,
   *   sessionStorage?: import("./storage.js").KeyValues,
   *   window?: Window | undefined,
   *   getChanges?: GetChanges,
   * }} [options] `server`: its origin, where it is not the page's own; `getChanges`: `Api.changes`, which spares the
   *   socket the long answers
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
    this.#window = window;
    this.#getChanges = getChanges;
  }

  /** Where the connection stands. */
  get standby() {
    return this.#standby;
  }

  get status() {
    return this.#standby.status;
  }

  /** When it tries again, in milliseconds since the epoch; null where nothing is due. */
  get retryAt() {
    return this.#standby.retryAt;
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
   * @param {{userId?: string}} [options] with it, what waits to be sent is there before the server has said hello
   */
  connect(getToken, { userId } = {}) {
    this.disconnect();
    this.#life = { getToken, sleep: onWake(this.#window, () => this.#wake()) };
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
  async send(conversationId, content, { replyTo = null } = {}) {
    const { pending, stored } = this.#outbox.add(conversationId, content, replyTo);
    this.#typed.delete(conversationId);
    this.#emit({ type: "pending", conversation_id: conversationId, data: pending });
    this.#post(conversationId);
    return stored;
  }

  /**
   * Say how far one has read. It is told when there is a connection, and never moves back.
   * @param {string} conversationId
   * @param {number} seq
   */
  read(conversationId, seq) {
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
   * What was loaded of a conversation is as of its `last_rev`; what is later is handed on. For conversations that the
   * server's `hello` does not list, and such as were loaded before it.
   * @param {{id: string, last_rev: number, last_seq: number}} conversation
   */
  hold(conversation) {
    this.#revs.hold(conversation);
    this.#catchUp();
  }

  // The connection's life.

  /** @param {boolean} [fresh] */
  async #dial(fresh = false) {
    const life = this.#life;
    if (!life) return;
    this.#stand("connecting");
    /** @type {string} */
    let token;
    try {
      token = await life.getToken({ fresh });
    } catch (error) {
      if (life === this.#life) this.#tokenless(error);
      return;
    }
    if (life !== this.#life) return;
    this.#reconnectAfter = null;
    const link = new Link(
      new this.#WebSocket(`${this.#url}?token=${encodeURIComponent(token)}`),
      (frame) => this.#hear(link, frame),
      (code, reason) => this.#closed(code, reason),
    );
    this.#link = link;
  }

  /** @param {unknown} error why there is no token */
  #tokenless(error) {
    const { needsSignIn, retryAfter, code } = error instanceof LoaError ? error : NO_TOKEN;
    if (needsSignIn) return this.#end("signed-out", code);
    this.#hangUp();
    this.#backOff((retryAfter ?? 0) * 1000, code);
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
        return this.#backOff(SLOW, reason);
      case "back-off":
        return this.#backOff(0, reason || null);
    }
  }

  /**
   * @param {number} least milliseconds
   * @param {string | null} code
   */
  #backOff(least, code) {
    // Where the server has said when to come back, each client was told another time.
    if (this.#reconnectAfter === null) this.#retry.backOff(least);
    else this.#retry.wait(this.#reconnectAfter);
    this.#stand("offline", this.#retry.at, code);
  }

  /**
   * Nothing more will be tried.
   * @param {import("./types.js").Status} status
   * @param {string | null} [code]
   */
  #end(status, code = null) {
    this.#life?.sleep();
    this.#life = null;
    this.#retry.cancel();
    this.#hangUp();
    this.#refreshed = false;
    this.#reconnectAfter = null;
    this.#stand(status, null, code);
  }

  #hangUp() {
    this.#link?.drop();
    this.#link = this.#online = null;
    this.#turns = new Turns();
    this.#unfinished.clear();
  }

  #wake() {
    if (this.#online) this.#online.probe();
    else this.#retry.hurry();
  }

  /**
   * @param {import("./types.js").Status} status
   * @param {number | null} [retryAt]
   * @param {string | null} [code]
   */
  #stand(status, retryAt = null, code = null) {
    const before = this.#standby;
    if (before.status === status && before.retryAt === retryAt && before.code === code) return;
    this.#standby = { status, retryAt, code };
    this.#emit({ type: "status", data: this.#standby });
  }

  // What the server says.

  /**
   * @param {Link} link
   * @param {Frame} frame
   */
  #hear(link, frame) {
    switch (frame.type) {
      case "hello":
        return this.#greet(link, frame);
      case "new_message":
      case "message_updated":
        return this.#take(frame);
      case "sync":
        return this.#synced(frame);
      case "reset":
        this.#revs.doubt();
        this.#emit(frame);
        return this.#catchUp();
      case "token_expiring":
        return this.#life ? this.#renew(this.#life.getToken) : undefined;
      case "draining":
        this.#reconnectAfter = frame.data.reconnect_after_ms;
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
   * @param {Hello} hello
   */
  #greet(link, hello) {
    this.#online = link;
    this.#refreshed = false;
    this.#retry.up();
    this.#recognise(hello.user_id);
    this.#revs.doubt(hello.conversations.map(({ conversation_id }) => conversation_id));
    for (const { conversation_id, last_rev, last_seq } of hello.conversations) {
      this.#revs.reach(conversation_id, last_rev, last_seq);
    }
    this.#stand("online");
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
      this.#reads.clear();
      this.#typed.clear();
      this.#watched = null;
    }
    this.#userId = userId;
    for (const data of this.#outbox.open(userId)) {
      this.#emit({ type: "pending", conversation_id: data.conversation_id, data });
    }
  }

  /** @param {import("./types.js").MessageEvent} event */
  #take(event) {
    this.#handOn(this.#revs.take(event));
    this.#catchUp();
  }

  /** @param {import("./types.js").Sync} sync */
  #synced({ conversation_id, data: { messages, last_rev, complete } }) {
    // An incomplete answer reaches as far as its last message.
    this.#handOn(this.#revs.fill(conversation_id, messages, complete ? last_rev : 0));
    if (complete) return;
    this.#revs.reach(conversation_id, last_rev, 0);
    this.#unfinished.add(conversation_id);
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
   * @param {string} key
   * @param {(link: Link) => Promise<void>} job
   */
  #turn(key, job) {
    const link = this.#online;
    if (!link) return;
    this.#turns
      .take(key, () => job(link))
      .catch((error) => {
        // The connection is gone, and hello takes it up again; or the server will not have it.
        if (!(error instanceof LoaError)) throw error;
      });
  }

  #catchUp() {
    if (!Object.keys(this.#revs.behind(1)).length) return;
    this.#turn("sync", async (link) => {
      for (let pause = SYNC_PAUSE; ; ) {
        const behind = this.#revs.behind(SYNCED_AT_ONCE);
        const ids = Object.keys(behind);
        if (!ids.length) return;
        await this.#sync(link, behind);
        const now = this.#revs.behind(SYNCED_AT_ONCE);
        if (ids.some((id) => now[id] !== behind[id])) continue;
        await link.pause(pause);
        pause = Math.min(2 * pause, MAX_SYNC_PAUSE);
      }
    });
  }

  /**
   * @param {Link} link
   * @param {Record<string, number>} behind
   */
  async #sync(link, behind) {
    await link.insist({ type: "sync", conversations: behind });
    const unfinished = [...this.#unfinished];
    this.#unfinished.clear();
    // Without `getChanges`, the next turn asks the socket for more.
    if (this.#getChanges) for (const id of unfinished) await this.#page(link, id, this.#getChanges);
  }

  /**
   * @param {Link} link
   * @param {string} id
   * @param {GetChanges} getChanges
   */
  async #page(link, id, getChanges) {
    for (let more = true; more; ) {
      const after = this.#revs.at(id);
      if (after === undefined) return;
      const { items, next } = await link.patiently(() => getChanges(id, after));
      this.#handOn(this.#revs.fill(id, items, 0));
      more = next !== null;
    }
  }

  /** @param {string} conversationId */
  #post(conversationId) {
    this.#turn(`send:${conversationId}`, async (link) => {
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
    this.#turn(`read:${conversationId}`, async (link) => {
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
    if (!this.#watched) return;
    this.#turn("watch", (link) => link.insist({ type: "watch_presence", user_ids: this.#watched }));
  }

  /** @param {GetToken} getToken */
  #renew(getToken) {
    this.#turn("renew", async (link) => {
      /** @type {string} */
      let token;
      try {
        token = await link.patiently(() => getToken({ fresh: true }));
      } catch (error) {
        if (link.open) this.#tokenless(error);
        return;
      }
      // Where it is refused, the server closes the connection when its token expires, and that is seen to then.
      await link.insist({ type: "authenticate", token });
    });
  }
}
