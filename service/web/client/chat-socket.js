/** The chat over a WebSocket that reconnects by itself. */

import { ChangeQueue } from "./change-queue.js";
import { closeAction } from "./close-codes.js";
import { withDeadline } from "./deadline.js";
import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { KeyedSerializer } from "./keyed-serializer.js";
import { Outbox } from "./outbox.js";
import { Reconnector } from "./reconnector.js";
import { RevisionTracker } from "./revision-tracker.js";
import { SocketConnection } from "./socket-connection.js";
import { browserStorage } from "./storage.js";
import { SyncRunner } from "./sync.js";

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").PendingChange} PendingChange
 * @typedef {import("./sync.js").GetChanges} GetChanges
 * @typedef {(change: PendingChange) => Promise<Message>} ChangeMessage
 * @typedef {(options?: {fresh?: boolean}) => Promise<string>} GetToken returns an access token; with `fresh`, not the
 *   one it returned last. Rejects with a LoaError that `needsSignIn` if the user has to sign in; after any other error
 *   the socket retries
 */

const PATH = "/api/v1/ws/chat";
/** Milliseconds to wait at least after `rate_limited`; the server counts per minute. */
const RATE_LIMIT_DELAY = 10_000;
/** Milliseconds between two `typing` frames; the other participants show each for five seconds. */
const TYPING_INTERVAL = 3000;
const MAX_WATCHED = 200;
/** What one connection can watch: posts, and the feed. */
const MAX_WATCHED_POSTS = 50;
/**
 * Milliseconds to wait for a token. `Session.getToken` takes less, even if it has to wait for the refresh in another
 * tab; this is for one that never answers.
 */
const TOKEN_TIMEOUT = 60_000;

/**
 * Create one per page. Guarantees to subscribers, across reconnects: the changes of a conversation arrive in the order
 * of `rev`, each once, and none is missing from the point where tracking of the conversation began. Guarantee to the
 * sender: the messages of a conversation are stored in the order of the `send` calls, each once, and the edits and
 * deletions in the order of the `edit` and `remove` calls.
 */
export class ChatSocket {
  /** @type {Emitter<ChatEvent>} */
  #emitter = new Emitter();
  #reconnector;
  #outbox;
  #changes;
  #url;
  #WebSocket;
  #getChanges;
  #changeMessage;
  /** @type {GetToken | null} */
  #getToken = null;
  /** The access token that the connection presented last; null if there is none. @type {string | null} */
  token = null;
  /** Identifies the current connection attempt; replaced to cancel it. */
  #attempt = {};
  /** @type {SocketConnection | null} */
  #connection = null;
  /** The same connection, after its hello. @type {SocketConnection | null} */
  #online = null;
  #serializer = new KeyedSerializer();
  /** Whether a fresh token was tried since the last hello. */
  #triedFreshToken = false;
  /** @type {string | null} */
  #userId = null;
  #tracker = new RevisionTracker();
  #sync;
  /** Read marks that the server has not confirmed yet, by conversation. @type {Map<string, number>} */
  #unconfirmedReads = new Map();
  /** @type {string[] | null} */
  #watchedIds = null;
  /** @type {string[] | null} */
  #watchedPosts = null;
  /** When `typing` was last sent, by conversation. @type {Map<string, number>} */
  #typingSentAt = new Map();

  /**
   * @param {{
   *   server?: string,
   *   WebSocket?: typeof globalThis.WebSocket,
   *   sessionStorage?: import("./storage.js").KeyValueStorage,
   *   window?: Window | undefined,
   *   getChanges?: GetChanges,
   *   changeMessage?: ChangeMessage,
   * }} [options] `server`: its origin, by default the page's; `getChanges`: `Api.changes`, so that the rest of a long
   *   sync answer is fetched over REST and does not block the socket; `changeMessage`: edits or deletes a message over
   *   REST, for `edit` and `remove`
   */
  constructor({
    server = globalThis.location?.origin ?? "",
    WebSocket = globalThis.WebSocket,
    sessionStorage = browserStorage("sessionStorage"),
    window = globalThis.window,
    getChanges,
    changeMessage,
  } = {}) {
    this.#url = server.replace(/^http/, "ws") + PATH;
    this.#WebSocket = WebSocket;
    this.#outbox = new Outbox(sessionStorage);
    this.#changes = new ChangeQueue(sessionStorage);
    this.#getChanges = getChanges;
    this.#changeMessage = changeMessage;
    this.#sync = this.#newSync();
    this.#reconnector = new Reconnector(window, {
      connect: () => this.#open(),
      onWake: () => this.#online?.checkAlive(),
      onStateChange: (data) => this.#emit({ type: "status", data }),
    });
  }

  get connectionState() {
    return this.#reconnector.state;
  }

  get status() {
    return this.#reconnector.status;
  }

  /** When the next attempt is due, in milliseconds since the epoch; null if none is scheduled. */
  get retryAt() {
    return this.connectionState.retryAt;
  }

  /** The user's messages that are not stored yet, in the order of sending, with those that were rejected. */
  get pending() {
    return this.#outbox.pending;
  }

  /** The user's edits and deletions that are not stored yet, in order, with those that were rejected. */
  get pendingChanges() {
    return this.#changes.pending;
  }

  /**
   * @param {(event: ChatEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /**
   * Connect, and reconnect until `disconnect` is called or the user has to sign in (status `signed-out`).
   * @param {GetToken} getToken for example `Session.getToken`
   * @param {{userId?: string | undefined}} [options] `userId`: makes `pending` available before the server's hello
   */
  connect(getToken, { userId } = {}) {
    this.disconnect();
    this.#getToken = getToken;
    this.#reconnector.start();
    if (userId) this.#setUser(userId);
    this.#open();
  }

  disconnect() {
    this.#stop("idle");
  }

  /**
   * Send a message, now or as soon as there is a connection; if the page is reloaded first, after the reload.
   * @param {string} conversationId
   * @param {string} content
   * @param {{replyTo?: string | null, attachments?: import("./types.js").Attachment[]}} [options] `replyTo`: a message
   *   id; `attachments`: what `Api.upload` has returned, with which `content` may be empty
   * @returns {Promise<Message>} resolves when the message is stored; rejects with a LoaError if it was rejected
   */
  send(conversationId, content, { replyTo = null, attachments = [] } = {}) {
    let added;
    try {
      added = this.#outbox.add(conversationId, content, replyTo, attachments);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#typingSentAt.delete(conversationId);
    this.#emit({ type: "pending", conversation_id: conversationId, data: added.pending });
    this.#sendPending(conversationId);
    // No unhandled rejection if the caller ignores the promise: the `failed` event reports the error, too.
    added.stored.catch(() => {});
    return added.stored;
  }

  /** Drop a message that was rejected. @param {string} nonce */
  dismiss(nonce) {
    if (this.pending.some((message) => message.nonce === nonce && message.error)) this.#outbox.remove(nonce);
  }

  /**
   * Edit a message, now or as soon as there is a connection; if the page is reloaded first, after the reload.
   * @param {string} conversationId
   * @param {string} messageId
   * @param {string} content
   * @returns {Promise<Message>} resolves when the edit is stored; rejects with a LoaError if it was rejected
   */
  edit(conversationId, messageId, content) {
    return this.#change(conversationId, messageId, content);
  }

  /**
   * Delete a message. Like `edit`.
   * @param {string} conversationId
   * @param {string} messageId
   * @returns {Promise<Message>} resolves with the tombstone
   */
  remove(conversationId, messageId) {
    return this.#change(conversationId, messageId, null);
  }

  /**
   * Drop the edit or deletion of a message that was rejected.
   * @param {string} conversationId
   * @param {string} messageId
   */
  dismissChange(conversationId, messageId) {
    this.#changes.dismiss(conversationId, messageId);
    this.#emitPendingChanges(conversationId);
  }

  /**
   * Mark the messages up to `seq` as read, now or as soon as there is a connection. A read mark never moves back.
   * @param {string} conversationId
   * @param {number} seq
   */
  markRead(conversationId, seq) {
    if (seq <= (this.#unconfirmedReads.get(conversationId) ?? 0)) return;
    this.#unconfirmedReads.set(conversationId, seq);
    this.#sendRead(conversationId);
  }

  /**
   * Report that the user is typing, or no longer. May be called on every key press: it sends at most one frame per
   * `TYPING_INTERVAL` and one at the end, and none while offline.
   * @param {string} conversationId
   * @param {boolean} [active] false: the field is empty, or has been left
   */
  typing(conversationId, active = true) {
    const now = Date.now();
    const sentAt = this.#typingSentAt.get(conversationId) ?? 0;
    if (!this.#online || (active ? now - sentAt < TYPING_INTERVAL : !sentAt)) return;
    if (active) this.#typingSentAt.set(conversationId, now);
    else this.#typingSentAt.delete(conversationId);
    const frame = { type: "typing", conversation_id: conversationId, ...(active ? {} : { active }) };
    this.#online.request(frame).catch(() => {});
  }

  /**
   * Subscribe to the presence of these users, replacing the previous list.
   * @param {string[]} userIds at most 200; throws a RangeError if there are more
   */
  watchPresence(userIds) {
    const watched = [...new Set(userIds)];
    if (watched.length > MAX_WATCHED) throw new RangeError(`At most ${MAX_WATCHED} users can be watched.`);
    this.#watchedIds = watched;
    this.#sendWatchPresence();
  }

  /**
   * Subscribe to the changes of these posts, replacing the previous list; `feed` among them: to new posts. Whenever the
   * subscription has begun, also after a reconnect or a `reset`, the event `watching` says so: what is loaded from then
   * on misses nothing.
   * @param {string[]} postIds at most 50; throws a RangeError if there are more
   */
  watchPosts(postIds) {
    const watched = [...new Set(postIds)];
    if (watched.length > MAX_WATCHED_POSTS) throw new RangeError(`At most ${MAX_WATCHED_POSTS} posts can be watched.`);
    this.#watchedPosts = watched;
    this.#sendWatchPosts();
  }

  /**
   * Declare that a conversation was loaded as of its `last_rev`; all later changes are then delivered. Call it for a
   * conversation that was loaded before the server's `hello`, or that the `hello` does not list.
   * @param {{id: string, last_rev: number, last_seq: number}} conversation
   */
  setBaseline(conversation) {
    this.#tracker.setBaseline(conversation);
    this.#syncIfBehind();
  }

  // Connecting and disconnecting.

  /** @param {boolean} [fresh] whether to ask for a fresh token */
  async #open(fresh = false) {
    const getToken = this.#getToken;
    if (!getToken) return;
    this.#reconnector.onConnecting();
    const attempt = (this.#attempt = {});
    this.token = null;
    /** @type {string} */
    let token;
    try {
      token = await withDeadline(TOKEN_TIMEOUT, () => getToken({ fresh }));
    } catch (error) {
      if (attempt === this.#attempt) this.#onTokenError(error);
      return;
    }
    if (attempt !== this.#attempt) return;
    this.token = token;
    const socket = new this.#WebSocket(`${this.#url}?token=${encodeURIComponent(token)}`);
    const connection = new SocketConnection(
      socket,
      (frame) => this.#onFrame(connection, frame),
      (code, reason) => this.#onClose(code, reason),
    );
    this.#connection = connection;
  }

  /** @param {unknown} error */
  #onTokenError(error) {
    if (this.#reconnector.onCredentialError(error)) this.#stop("signed-out", /** @type {LoaError} */ (error).code);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #onClose(code, reason) {
    this.#closeConnection();
    switch (closeAction(code, reason)) {
      case "refresh-token":
        if (this.#triedFreshToken) return this.#stop("signed-out", reason);
        this.#triedFreshToken = true;
        return void this.#open(true);
      case "sign-in":
        return this.#stop("signed-out", reason);
      case "fail":
        return this.#stop("failed", reason || `${code}`);
      case "reconnect-slowly":
        return this.#reconnector.scheduleRetry(reason, RATE_LIMIT_DELAY);
      case "reconnect":
        return this.#reconnector.scheduleRetry(reason || null);
    }
  }

  #closeConnection() {
    this.#attempt = {};
    this.#connection?.close();
    this.#connection = this.#online = null;
    this.#serializer = new KeyedSerializer();
  }

  /**
   * Close the connection and stop reconnecting.
   * @param {import("./types.js").Status} status
   * @param {string | null} [code]
   */
  #stop(status, code = null) {
    this.#getToken = null;
    this.#triedFreshToken = false;
    this.#closeConnection();
    this.#reconnector.stop(status, code);
  }

  // Receiving.

  /**
   * @param {SocketConnection} connection
   * @param {import("./types.js").Frame} frame
   */
  #onFrame(connection, frame) {
    switch (frame.type) {
      case "hello":
        return this.#onHello(connection, frame);
      case "new_message":
      case "message_updated":
        return this.#onMessage(frame);
      case "rev_skipped":
        this.#emitAll(this.#tracker.skip(frame.conversation_id, frame.data.rev));
        return this.#syncIfBehind();
      case "sync":
        return this.#sync.onFrame(frame);
      case "reset":
        this.#tracker.markStale();
        this.#emit(frame);
        this.#sendWatchPosts();
        return this.#syncIfBehind();
      case "token_expiring":
        return this.#renewToken();
      case "draining":
        this.#reconnector.reconnectAfter = frame.data.reconnect_after_ms;
        return this.#emit(frame);
      case "conversation_updated":
        this.#tracker.setLastKnown(frame.conversation_id, frame.data.last_rev, frame.data.last_seq);
        this.#emit(frame);
        return this.#syncIfBehind();
      case "conversation_removed":
        this.#tracker.forget(frame.conversation_id);
        return this.#emit(frame);
      case "read":
      case "typing":
      case "presence":
      case "profile_updated":
      case "block_updated":
      case "post_mute_updated":
      case "history_cleared":
      case "announcement":
      case "post_created":
      case "post_updated":
      case "comment_created":
      case "comment_updated":
        return this.#emit(frame);
    }
  }

  /**
   * @param {SocketConnection} connection
   * @param {import("./types.js").Hello} hello
   */
  #onHello(connection, hello) {
    this.#online = connection;
    this.#triedFreshToken = false;
    this.#setUser(hello.user_id);
    this.#tracker.markStale(hello.conversations.map(({ conversation_id }) => conversation_id));
    for (const { conversation_id, last_rev, last_seq } of hello.conversations) {
      this.#tracker.setLastKnown(conversation_id, last_rev, last_seq);
    }
    this.#reconnector.onConnected();
    this.#emit(hello);
    this.#syncIfBehind();
    for (const id of conversationIds(this.pending)) this.#sendPending(id);
    for (const id of conversationIds(this.pendingChanges)) this.#sendChanges(id);
    for (const id of this.#unconfirmedReads.keys()) this.#sendRead(id);
    this.#sendWatchPresence();
    this.#sendWatchPosts();
  }

  /** Discard the state of another user, and restore the pending messages of this one. @param {string} userId */
  #setUser(userId) {
    if (this.#userId && this.#userId !== userId) {
      this.#tracker = new RevisionTracker();
      this.#sync = this.#newSync();
      this.#unconfirmedReads.clear();
      this.#typingSentAt.clear();
      this.#watchedIds = null;
      this.#watchedPosts = null;
    }
    this.#userId = userId;
    for (const data of this.#outbox.setUser(userId)) {
      this.#emit({ type: "pending", conversation_id: data.conversation_id, data });
    }
    for (const id of conversationIds(this.#changes.setUser(userId))) this.#emitPendingChanges(id);
  }

  #newSync() {
    return new SyncRunner(this.#tracker, (events) => this.#emitAll(events), this.#getChanges);
  }

  /** @param {import("./types.js").MessageEvent} event */
  #onMessage(event) {
    this.#emitAll(this.#tracker.receive(event));
    this.#syncIfBehind();
  }

  /** @param {import("./types.js").MessageEvent[]} events */
  #emitAll(events) {
    for (const event of events) this.#emit(event);
  }

  /** @param {ChatEvent} event */
  #emit(event) {
    this.#emitter.emit(event);
  }

  // Sending.

  /**
   * Run `job` on the current connection, one at a time per key. Does nothing while offline: `#onHello` starts all jobs
   * again.
   * @param {string} key
   * @param {(connection: SocketConnection) => Promise<void>} job
   */
  #runSerialized(key, job) {
    const connection = this.#online;
    if (!connection) return;
    this.#serializer
      .run(key, () => job(connection))
      .catch((error) => {
        // Either the connection is lost, and `#onHello` starts the job again, or the server has rejected the request.
        if (!(error instanceof LoaError)) throw error;
      });
  }

  #syncIfBehind() {
    if (this.#sync.isNeeded) this.#runSerialized("sync", (connection) => this.#sync.run(connection));
  }

  /** @param {string} conversationId */
  #sendPending(conversationId) {
    this.#runSerialized(`send ${conversationId}`, async (connection) => {
      for (let pending; (pending = this.#outbox.next(conversationId)); ) {
        const { nonce, content, reply_to } = pending;
        const attachments = (pending.attachments ?? []).map(({ id }) => id);
        const frame = { type: "send_message", conversation_id: conversationId, content, nonce, reply_to, attachments };
        try {
          /** @type {Message} */
          const data = await connection.requestWithRetry(frame);
          this.#onMessage({ type: "new_message", conversation_id: conversationId, data });
          this.#emit({ type: "sent", conversation_id: conversationId, data });
          this.#outbox.resolve(nonce, data);
        } catch (error) {
          if (!(error instanceof LoaError) || !connection.isOpen) throw error;
          this.#outbox.reject(nonce, error);
          this.#emit({ type: "failed", conversation_id: conversationId, data: { nonce, error } });
        }
      }
    });
  }

  /**
   * @param {string} conversationId
   * @param {string} messageId
   * @param {string | null} content null: delete the message
   * @returns {Promise<Message>}
   */
  #change(conversationId, messageId, content) {
    if (!this.#changeMessage) throw new TypeError("Without the option `changeMessage`, messages cannot be changed.");
    let stored;
    try {
      stored = this.#changes.add(conversationId, messageId, content);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#emitPendingChanges(conversationId);
    this.#sendChanges(conversationId);
    // No unhandled rejection if the caller ignores the promise: the `changes` event reports the error, too.
    stored.catch(() => {});
    return stored;
  }

  /** @param {string} conversationId */
  #sendChanges(conversationId) {
    const changeMessage = this.#changeMessage;
    if (!changeMessage) return;
    this.#runSerialized(`change ${conversationId}`, async (connection) => {
      for (let change; (change = this.#changes.next(conversationId)); ) {
        const pending = change;
        try {
          const data = await connection.retry(() => changeMessage(pending));
          this.#changes.resolve(pending.nonce, data);
          this.#onMessage({ type: "message_updated", conversation_id: conversationId, data });
        } catch (error) {
          // After the next sign-in of this user, the change is sent again.
          if (!(error instanceof LoaError) || error.needsSignIn || !connection.isOpen) throw error;
          this.#changes.reject(pending.nonce, error);
        }
        this.#emitPendingChanges(conversationId);
      }
    });
  }

  /** @param {string} conversationId */
  #emitPendingChanges(conversationId) {
    this.#emit({ type: "changes", conversation_id: conversationId, data: this.#changes.pendingIn(conversationId) });
  }

  /** @param {string} conversationId */
  #sendRead(conversationId) {
    this.#runSerialized(`read ${conversationId}`, async (connection) => {
      const seq = this.#unconfirmedReads.get(conversationId);
      if (seq === undefined) return;
      try {
        await connection.requestWithRetry({ type: "read", conversation_id: conversationId, seq });
      } catch (error) {
        if (!connection.isOpen) throw error;
      }
      if (this.#unconfirmedReads.get(conversationId) === seq) this.#unconfirmedReads.delete(conversationId);
    });
  }

  #sendWatchPresence() {
    if (!this.#watchedIds) return;
    this.#runSerialized("watch", (connection) =>
      connection.requestWithRetry({ type: "watch_presence", user_ids: this.#watchedIds }),
    );
  }

  #sendWatchPosts() {
    if (!this.#watchedPosts) return;
    this.#runSerialized("watch posts", async (connection) => {
      const postIds = this.#watchedPosts ?? [];
      await connection.requestWithRetry({ type: "watch_posts", post_ids: postIds });
      if (postIds === this.#watchedPosts) this.#emit({ type: "watching", data: { post_ids: postIds } });
    });
  }

  #renewToken() {
    const getToken = this.#getToken;
    if (!getToken || !this.#reconnector.shouldRenew) return;
    this.#runSerialized("renew", async (connection) => {
      /** @type {string} */
      let token;
      try {
        token = await connection.retry(() => withDeadline(TOKEN_TIMEOUT, () => getToken({ fresh: true })));
      } catch (error) {
        // Other errors can be ignored here: when the token expires, the server closes the connection.
        if (connection.isOpen && error instanceof LoaError && error.needsSignIn) this.#stop("signed-out", error.code);
        return;
      }
      await connection.requestWithRetry({ type: "authenticate", token });
      this.token = token;
      this.#reconnector.onCredentialRenewed();
    });
  }
}

/** @param {{conversation_id: string}[]} pending */
function conversationIds(pending) {
  return new Set(pending.map(({ conversation_id }) => conversation_id));
}
