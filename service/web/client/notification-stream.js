/** The notifications, over one event stream (SSE) for all tabs of the browser. */

import { withDeadline } from "./deadline.js";
import { Emitter } from "./emitter.js";
import { Reconnector } from "./reconnector.js";
import { browserStorage, load, save } from "./storage.js";
import { StreamConnection } from "./stream-connection.js";
import { TabElection } from "./tab-election.js";
import { advanceTo, mergeCount, unreadCount, ZERO } from "./unread.js";
import { onPageCache } from "./wake.js";

/**
 * @typedef {import("./types.js").StreamEvent} StreamEvent
 * @typedef {import("./types.js").StreamHello} StreamHello
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {(options?: {afterSilence?: boolean, expiring?: boolean}) => Promise<string>} GetTicket returns a ticket;
 *   `afterSilence`: the previous stream fell silent, so that other connections may be dead, too; `expiring`: the token
 *   of the previous ticket expires. Rejects like `GetToken` of ChatSocket
 */

/**
 * The messages between tabs. From the leader: an event of the stream, or the state of the connection (`event`), and a
 * hello for new tabs (`welcome`). To the leader: a tab has opened (`new`), a tab misses the notifications after `seq`
 * (`behind`), the page woke up and the stream may be dead (`wake`). Tabs with different versions of the library may be
 * open at the same time, so the format must not change.
 * @typedef {{kind: "event", event: StreamEvent} | {kind: "welcome", hello: StreamHello["data"]}
 *   | {kind: "new"} | {kind: "behind", seq: number} | {kind: "wake"}} TabMessage
 */

const PATH = "/api/v1/notifications/stream";
/** Milliseconds to wait for a missing notification, which may still be under way, before requesting it. */
const GAP_WAIT = 3000;
/**
 * Milliseconds within which a new stream is opened after a `reset` in mid-stream, at random: an interruption of the
 * server's message bus resets all streams at once.
 */
const MAX_RESET_DELAY = 3000;
/**
 * Milliseconds to wait for a ticket. `Session.getTicket` takes less, even if it has to wait for the refresh in another
 * tab; this is for one that never answers.
 */
const TICKET_TIMEOUT = 75_000;

/**
 * Create one per page. Guarantees to subscribers, whichever tabs are closed in the meantime: every notification after
 * the last one that this browser received, in the order of `seq`, each once. If that one is too old for the server, a
 * `reset` is emitted instead, after which the list has to be fetched again.
 *
 * The tabs share one stream because browsers open at most six connections to a server over HTTP/1.1: one stream per tab
 * would use them up.
 */
export class NotificationStream {
  /** @type {Emitter<StreamEvent>} */
  #emitter = new Emitter();
  #reconnector;
  #url;
  #platform;
  #storage;
  /** @type {GetTicket | null} */
  #getTicket = null;
  /** @type {TabElection<TabMessage> | null} */
  #tabs = null;
  #isLeader = false;
  #userId = "";
  #window;
  #removePageListeners = () => {};
  /** The last notification that this tab received; null if unknown. @type {number | null} */
  #lastSeq = null;
  /** The last hello. @type {StreamHello["data"] | null} */
  #hello = null;
  #counter = ZERO;
  /** Identifies the current connection attempt; replaced to cancel it. */
  #attempt = {};
  /** @type {StreamConnection | null} */
  #connection = null;
  /** Whether the last connection was given up because it was silent. */
  #fellSilent = false;
  /** The last notification that is known to exist. */
  #highestSeq = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #gapTimer;
  /** Whether the hello was the last event: a `reset` right after it answers the request to resume. */
  #isResuming = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #resetTimer;

  /**
   * @param {{
   *   server?: string,
   *   EventSource?: typeof globalThis.EventSource,
   *   localStorage?: import("./storage.js").KeyValueStorage,
   *   BroadcastChannel?: typeof globalThis.BroadcastChannel | undefined,
   *   window?: Window | undefined,
   * }} [options] `server`: its origin, by default the page's
   */
  constructor({
    server = globalThis.location?.origin ?? "",
    EventSource = globalThis.EventSource,
    localStorage = browserStorage("localStorage"),
    BroadcastChannel = globalThis.BroadcastChannel,
    window = globalThis.window,
  } = {}) {
    this.#url = server + PATH;
    this.#platform = { EventSource, BroadcastChannel };
    this.#storage = localStorage;
    this.#window = window;
    this.#reconnector = new Reconnector(window, {
      connect: () => this.#open(),
      onWake: () => this.#onWake(),
      onStateChange: (data) => this.#onStateChange(data),
    });
  }

  /** The state of the connection, whichever tab holds it. */
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

  /** The number of unread notifications; null before it is known. */
  get unreadCount() {
    return this.#hello && unreadCount(this.#counter);
  }

  /**
   * @param {(event: StreamEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /**
   * Connect, and reconnect until `disconnect` is called or the user has to sign in (status `signed-out`).
   * @param {GetTicket} getTicket for example `Session.getTicket`
   * @param {{userId?: string}} [options] `userId`: whose notifications these are; storage and tabs are separated by it
   */
  connect(getTicket, { userId = "" } = {}) {
    this.disconnect();
    if (this.#userId !== userId) {
      this.#userId = userId;
      this.#lastSeq = null;
      this.#highestSeq = 0;
      this.#counter = ZERO;
    }
    this.#getTicket = getTicket;
    this.#reconnector.start();
    this.#reconnector.onConnecting();
    this.#removePageListeners = onPageCache(this.#window, {
      // The browser freezes the page, or ends it.
      onHide: () => this.#leaveTabs(),
      onShow: () => this.#joinTabs(),
    });
    this.#joinTabs();
  }

  disconnect() {
    this.#stop("idle");
  }

  // The connection, in the leading tab.

  #onElected() {
    this.#isLeader = true;
    // A tab that has not received anything yet continues where the previous leader stopped.
    this.#lastSeq ??= load(this.#storage, this.#storageKey);
    this.#open();
    // The others still have the state of the previous leader.
    this.#tabs?.post({ kind: "event", event: { type: "status", data: this.connectionState } });
  }

  /** Called when another tab has become the leader, while this one was frozen. */
  #onDeposed() {
    this.#isLeader = false;
    // What the new leader has received meanwhile may not have reached this tab.
    this.#hello = null;
    this.#closeConnection();
    this.#reconnector.cancelRetry();
    this.#tabs?.post({ kind: "new" });
  }

  /**
   * @param {number | null} [after] the server replays the notifications after this one
   * @param {{expiring?: boolean}} [options] `expiring`: the token of the previous stream expires
   */
  async #open(after = this.#lastSeq, { expiring = false } = {}) {
    const getTicket = this.#getTicket;
    if (!getTicket) return;
    this.#closeConnection();
    this.#reconnector.onConnecting();
    const attempt = (this.#attempt = {});
    /** @type {string} */
    let ticket;
    try {
      ticket = await withDeadline(TICKET_TIMEOUT, () => getTicket({ afterSilence: this.#fellSilent, expiring }));
    } catch (error) {
      const needsSignIn = attempt === this.#attempt && this.#reconnector.onCredentialError(error);
      if (needsSignIn) this.#stop("signed-out", /** @type {import("./errors.js").LoaError} */ (error).code);
      return;
    }
    if (attempt !== this.#attempt) return;
    const query = new URLSearchParams({ ticket });
    if (after !== null) query.set("last_event_id", `${after}`);
    const source = new this.#platform.EventSource(`${this.#url}?${query}`);
    const connection = new StreamConnection(
      source,
      (event) => connection === this.#connection && this.#onServerEvent(event),
      (code) => this.#onLost(code),
    );
    this.#connection = connection;
  }

  /** @param {import("./stream-connection.js").ServerEvent} event */
  #onServerEvent(event) {
    if (event.type === "token_expiring") return this.#renewTicket();
    if (event.type === "draining") this.#reconnector.reconnectAfter = event.data.reconnect_after_ms;
    if (event.type === "hello") {
      this.#fellSilent = false;
      this.#reconnector.onConnected();
    }
    this.#tabs?.post({ kind: "event", event });
    this.#onEvent(event);
  }

  /** The server ends the stream when the ticket's token expires: continues with a new stream before that. */
  #renewTicket() {
    if (this.#reconnector.shouldRenew) this.#open(this.#lastSeq, { expiring: true });
  }

  /** @param {string} code */
  #onLost(code) {
    this.#fellSilent ||= code === "silent";
    this.#closeConnection();
    this.#reconnector.scheduleRetry(code);
  }

  #closeConnection() {
    this.#attempt = {};
    clearTimeout(this.#resetTimer);
    this.#connection?.close();
    this.#connection = null;
  }

  #onWake() {
    this.#tabs?.check();
    if (!this.#isLeader) this.#tabs?.post({ kind: "wake" });
    // An event stream cannot be pinged. A new stream loses nothing, because it continues after the last notification.
    else if (this.#connection?.checkOverdue()) {
      this.#fellSilent = true;
      this.#open();
    }
  }

  /**
   * Close the connection and stop reconnecting.
   * @param {import("./types.js").Status} status
   * @param {string | null} [code]
   */
  #stop(status, code = null) {
    // If only this tab disconnects, the others are not notified: one of them becomes the leader and reports its own
    // state. A sign-out ends the streams of all tabs.
    if (status === "idle") this.#isLeader = false;
    this.#getTicket = null;
    this.#closeConnection();
    clearTimeout(this.#gapTimer);
    this.#gapTimer = undefined;
    this.#reconnector.stop(status, code);
    this.#removePageListeners();
    this.#leaveTabs();
  }

  // Between tabs.

  #joinTabs() {
    const tab = {
      onElected: () => this.#onElected(),
      onDeposed: () => this.#onDeposed(),
      onMessage: (/** @type {TabMessage} */ message) => this.#onTabMessage(message),
    };
    const platform = { BroadcastChannel: this.#platform.BroadcastChannel, storage: this.#storage };
    this.#tabs = new TabElection(`loa:tabs:${this.#userId}`, tab, platform);
    this.#tabs.post({ kind: "new" });
  }

  #leaveTabs() {
    this.#isLeader = false;
    this.#hello = null;
    this.#closeConnection();
    this.#reconnector.cancelRetry();
    this.#tabs?.close();
    this.#tabs = null;
  }

  /** @param {TabMessage} message */
  #onTabMessage(message) {
    switch (message.kind) {
      case "event":
        return this.#onEvent(message.event);
      case "welcome":
        if (!this.#hello) this.#onEvent({ type: "hello", data: message.hello });
        this.#isResuming = false;
        return;
      case "new":
        if (!this.#isLeader) return;
        this.#tabs?.post({ kind: "event", event: { type: "status", data: this.connectionState } });
        if (this.#hello) this.#tabs?.post({ kind: "welcome", hello: this.#currentHello(this.#hello) });
        return;
      case "behind":
        if (this.#isLeader && this.#connection) this.#open(message.seq);
        return;
      case "wake":
        if (this.#isLeader) this.#reconnector.wake();
    }
  }

  /** Update a hello with what was received after it. @param {StreamHello["data"]} hello */
  #currentHello(hello) {
    return { ...hello, seq: this.#lastSeq ?? hello.seq, unread_count: unreadCount(this.#counter) };
  }

  /** @param {ConnectionState} state */
  #mirrorLeader(state) {
    if (state.status === "signed-out") this.#stop(state.status, state.code);
    else this.#reconnector.mirror(state);
  }

  /** Emit the state; the leader also sends it to the other tabs. @param {ConnectionState} data */
  #onStateChange(data) {
    /** @type {StreamEvent} */
    const event = { type: "status", data };
    if (this.#isLeader) this.#tabs?.post({ kind: "event", event });
    this.#emitter.emit(event);
  }

  // Events, from the stream or from the leader.

  /** @param {StreamEvent} event */
  #onEvent(event) {
    const isResuming = this.#isResuming;
    if (event.type !== "status") this.#isResuming = event.type === "hello";
    switch (event.type) {
      case "status":
        return this.#mirrorLeader(event.data);
      case "hello":
        this.#hello = event.data;
        this.#counter = mergeCount(this.#counter, event.data);
        this.#lastSeq ??= event.data.seq;
        this.#saveLastSeq();
        this.#expectUpTo(event.data.seq);
        break;
      case "reset":
        if (isResuming && this.#hello && this.#hello.seq !== this.#lastSeq) this.#startAt(this.#hello);
        else if (this.#isLeader) this.#reopenAfterReset();
        break;
      case "unread_count":
        this.#counter = mergeCount(this.#counter, event.data);
        break;
      case "notification":
        if (!this.#acceptsNext(event.data.seq)) return;
        this.#counter = advanceTo(this.#counter, event.data.seq);
        this.#saveLastSeq();
    }
    this.#emitter.emit(event);
  }

  /**
   * Continue at the server's position, because it cannot resume at this client's.
   * @param {StreamHello["data"]} hello
   */
  #startAt(hello) {
    this.#lastSeq = this.#highestSeq = hello.seq;
    this.#counter = mergeCount(ZERO, hello);
    save(this.#storage, this.#storageKey, hello.seq);
  }

  /** The server may have missed notifications: a new stream replays them. Until then this one goes on. */
  #reopenAfterReset() {
    clearTimeout(this.#resetTimer);
    this.#resetTimer = setTimeout(() => this.#open(), Math.random() * MAX_RESET_DELAY);
  }

  /** Advance `#lastSeq` if `seq` is the next one; return whether it was. @param {number} seq */
  #acceptsNext(seq) {
    const next = (this.#lastSeq ?? seq - 1) + 1;
    if (seq === next) this.#lastSeq = seq;
    if (seq > next) this.#expectUpTo(seq);
    return seq === next;
  }

  /** Start the gap timer if notifications up to `seq` exist that this tab has not received. @param {number} seq */
  #expectUpTo(seq) {
    this.#highestSeq = Math.max(this.#highestSeq, seq);
    const lastSeq = this.#lastSeq ?? seq;
    if (lastSeq < seq) this.#gapTimer ??= setTimeout(() => this.#onGapTimeout(lastSeq), GAP_WAIT);
  }

  /** @param {number} before the last notification when the timer was started */
  #onGapTimeout(before) {
    this.#gapTimer = undefined;
    const lastSeq = this.#lastSeq ?? before;
    if (lastSeq >= this.#highestSeq) return;
    if (lastSeq > before) this.#expectUpTo(this.#highestSeq);
    else if (this.#isLeader) this.#onLost("missed");
    else this.#tabs?.post({ kind: "behind", seq: lastSeq });
  }

  get #storageKey() {
    return `loa:notifications:${this.#userId}`;
  }

  /** Store the position, unless another tab, which was the leader in the meantime, is ahead. */
  #saveLastSeq() {
    if (!this.#isLeader || (load(this.#storage, this.#storageKey) ?? -1) > (this.#lastSeq ?? 0)) return;
    save(this.#storage, this.#storageKey, this.#lastSeq);
  }
}
