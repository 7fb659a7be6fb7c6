/** The notifications, over one event stream for all tabs of the browser. */

import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { Retry } from "./retry.js";
import { browserStorage, load, save } from "./storage.js";
import { Tabs } from "./tabs.js";
import { merge, NONE, reach, unread } from "./unread.js";
import { onWake } from "./wake.js";

/**
 * @typedef {import("./types.js").StreamEvent} StreamEvent
 * @typedef {import("./types.js").StreamHello} StreamHello
 * @typedef {import("./types.js").Standby} Standby
 * @typedef {() => Promise<string>} GetTicket it rejects as ChatSocket's `GetToken` does
 */

/**
 * What tabs tell each other. The leader: what the stream says, and to a new tab how things are. The others: that they
 * are new, that they miss what came after `seq`, that the stream may have died while nobody looked.
 * @typedef {{kind: "event", event: StreamEvent} | {kind: "welcome", hello: StreamHello["data"], standby: Standby}
 *   | {kind: "new"} | {kind: "behind", seq: number} | {kind: "wake"}} TabMessage
 */

const PATH = "/api/v1/notifications/stream";
const NAMED = ["hello", "unread_count", "reset", "token_expiring", "draining"];
/** Milliseconds that the opening may take; a network that swallows packets would never say so. */
const OPENING = 15_000;
/**
 * Milliseconds of silence after which a stream counts as dead: a live one says by then that its token expires. Its
 * heartbeats, which are comments, the browser keeps to itself.
 */
const SILENCE = 15 * 60_000;
/** Milliseconds since it was last heard from in which a stream is not suspected, whatever has woken the page. */
const FRESH = 10_000;
/** Milliseconds in which what is on its way comes; a tab that still misses something then has to ask. */
const ON_ITS_WAY = 3000;

const NO_TICKET = new LoaError("no_ticket", "No ticket could be had.");

/**
 * One for the page. Guarantees to its subscribers: every notification later than the last that this browser was told
 * of, in the order of `seq`, none twice, whichever tabs are closed on the way; where that is too long ago a `reset`,
 * after which the list has to be fetched.
 *
 * Browsers keep no more than six connections to a server over HTTP/1.1: a stream in each tab would use them all up.
 */
export class NotificationStream {
  /** @type {Emitter<StreamEvent>} */
  #emitter = new Emitter();
  /** @type {Standby} */
  #standby = { status: "idle", retryAt: null, code: null };
  #retry = new Retry(() => this.#open());
  #url;
  #platform;
  #storage;
  #window;
  /** What `connect` began and `disconnect` ends. @type {{getTicket: GetTicket, sleep: () => void} | null} */
  #life = null;
  /** @type {Tabs<TabMessage> | null} */
  #tabs = null;
  #leads = false;
  #key = "";
  /** The last notification that this tab was told of; null where it cannot say. @type {number | null} */
  #seq = null;
  /** The last hello. @type {StreamHello["data"] | null} */
  #hello = null;
  #count = NONE;
  /** Stands for the attempt under way, until another takes its place. */
  #opening = {};
  /** @type {EventSource | null} */
  #source = null;
  #heardAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;
  /** The last notification that is known to exist. */
  #known = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #missing;
  /** What the server said of when to come back. @type {number | null} */
  #reconnectAfter = null;

  /**
   * @param {{
   *   server?: string,
   *   EventSource?: typeof globalThis.EventSource,
   *   localStorage?: import("./storage.js").KeyValues,
   *   locks?: LockManager | undefined,
   *   BroadcastChannel?: typeof globalThis.BroadcastChannel | undefined,
   *   window?: Window | undefined,
   * }} [options] `server`: its origin, where it is not the page's own
   */
  constructor({
    server = globalThis.location?.origin ?? "",
    EventSource = globalThis.EventSource,
    localStorage = browserStorage("localStorage"),
    locks = globalThis.navigator?.locks,
    BroadcastChannel = globalThis.BroadcastChannel,
    window = globalThis.window,
  } = {}) {
    this.#url = server + PATH;
    this.#platform = { EventSource, locks, BroadcastChannel };
    this.#storage = localStorage;
    this.#window = window;
  }

  /** Where the connection stands, whichever tab holds it. */
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

  /** How many notifications are unread; null before it is known. */
  get unreadCount() {
    return this.#hello && unread(this.#count);
  }

  /**
   * @param {(event: StreamEvent) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /**
   * Be told, until `disconnect`, or until a person has to sign in (status `signed-out`).
   * @param {GetTicket} getTicket `Session.getTicket`, or one's own
   * @param {{userId?: string}} [options] whose notifications they are: what is remembered and shared is theirs
   */
  connect(getTicket, { userId = "" } = {}) {
    this.disconnect();
    const name = `loa:notifications:${userId}`;
    if (this.#key !== name) {
      this.#key = name;
      this.#seq = null;
      this.#known = 0;
      this.#count = NONE;
    }
    this.#life = { getTicket, sleep: onWake(this.#window, () => this.#wake()) };
    this.#stand("connecting");
    const tab = { lead: () => this.#lead(), hear: (/** @type {TabMessage} */ message) => this.#hearTab(message) };
    this.#tabs = new Tabs(name, tab, this.#platform);
    this.#tabs.post({ kind: "new" });
  }

  disconnect() {
    this.#end("idle");
  }

  // The stream's life, in the tab that leads.

  #lead() {
    this.#leads = true;
    // What this tab was told last; where it is new, what the browser was.
    this.#seq ??= load(this.#storage, this.#key);
    this.#open(this.#seq);
  }

  /** @param {number | null} [after] the last notification that is not wanted again */
  async #open(after = this.#seq) {
    const life = this.#life;
    if (!life) return;
    this.#close();
    this.#stand("connecting");
    const opening = (this.#opening = {});
    /** @type {string} */
    let ticket;
    try {
      ticket = await life.getTicket();
    } catch (error) {
      if (opening === this.#opening) this.#ticketless(error);
      return;
    }
    if (opening !== this.#opening) return;
    this.#reconnectAfter = null;
    const query = new URLSearchParams({ ticket });
    if (after !== null) query.set("last_event_id", `${after}`);
    this.#listen(new this.#platform.EventSource(`${this.#url}?${query}`));
  }

  /** @param {EventSource} source */
  #listen(source) {
    this.#source = source;
    /** @param {StreamEvent | {type: "token_expiring"}} event */
    const hear = (event) => source === this.#source && this.#hear(event);
    source.onmessage = ({ data }) => hear({ type: "notification", data: JSON.parse(data) });
    for (const type of NAMED) {
      source.addEventListener(type, ({ data }) => hear(/** @type {any} */ ({ type, data: JSON.parse(data) })));
    }
    // Its own retrying would show the ticket a second time, and a spent ticket gets 401.
    source.onerror = () => this.#lost("network");
    this.#watch(OPENING);
  }

  /** @param {StreamEvent | {type: "token_expiring"}} event */
  #hear(event) {
    this.#heardAt = Date.now();
    this.#watch(SILENCE);
    if (event.type === "token_expiring") return void this.#open();
    if (event.type === "draining") this.#reconnectAfter = event.data.reconnect_after_ms;
    this.#tabs?.post({ kind: "event", event });
    this.#take(event);
    if (event.type !== "hello") return;
    this.#retry.up();
    this.#stand("online");
  }

  /**
   * Give the stream up where nothing is heard of it in `milliseconds`.
   * @param {number} milliseconds
   */
  #watch(milliseconds) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost("silent"), milliseconds);
  }

  /** @param {string} code */
  #lost(code) {
    this.#close();
    this.#backOff(0, code);
  }

  /** @param {unknown} error why there is no ticket */
  #ticketless(error) {
    const { needsSignIn, retryAfter, code } = error instanceof LoaError ? error : NO_TICKET;
    if (needsSignIn) this.#end("signed-out", code);
    else this.#backOff((retryAfter ?? 0) * 1000, code);
  }

  /**
   * @param {number} least milliseconds
   * @param {string} code
   */
  #backOff(least, code) {
    if (this.#reconnectAfter === null) this.#retry.backOff(least);
    else this.#retry.wait(this.#reconnectAfter);
    this.#stand("offline", this.#retry.at, code);
  }

  #close() {
    clearTimeout(this.#watchdog);
    this.#opening = {};
    const source = this.#source;
    this.#source = null;
    if (!source) return;
    source.onmessage = source.onerror = null;
    source.close();
  }

  #wake() {
    if (!this.#leads) this.#tabs?.post({ kind: "wake" });
    else if (!this.#source) this.#retry.hurry();
    // A stream cannot be asked whether it lives, but a new one goes on where it was.
    else if (Date.now() - this.#heardAt > FRESH) this.#open();
  }

  /**
   * @param {import("./types.js").Status} status
   * @param {string | null} [code]
   */
  #end(status, code = null) {
    // The others are told why; but where only this tab goes, one of them leads next.
    if (status !== "idle") this.#stand(status, null, code);
    this.#life?.sleep();
    this.#life = null;
    this.#leads = false;
    this.#hello = null;
    this.#retry.cancel();
    this.#close();
    clearTimeout(this.#missing);
    this.#missing = undefined;
    this.#tabs?.leave();
    this.#tabs = null;
    this.#stand(status, null, code);
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
    /** @type {StreamEvent} */
    const event = { type: "status", data: this.#standby };
    if (this.#leads) this.#tabs?.post({ kind: "event", event });
    this.#emitter.emit(event);
  }

  // Between the tabs.

  /** @param {TabMessage} message */
  #hearTab(message) {
    switch (message.kind) {
      case "event":
        return this.#take(message.event);
      case "welcome":
        if (this.#hello) return;
        this.#follow(message.standby);
        return this.#take({ type: "hello", data: message.hello });
      case "new":
        if (!this.#leads || !this.#hello) return;
        return this.#tabs?.post({ kind: "welcome", hello: this.#currently(this.#hello), standby: this.#standby });
      case "behind":
        if (this.#leads && this.#source) this.#open(message.seq);
        return;
      case "wake":
        if (this.#leads) this.#wake();
    }
  }

  /** @param {StreamHello["data"]} hello */
  #currently(hello) {
    return { ...hello, seq: this.#seq ?? hello.seq, unread_count: unread(this.#count) };
  }

  /** What the leader's connection does. @param {Standby} standby */
  #follow({ status, retryAt, code }) {
    if (status === "signed-out") this.#end(status, code);
    else this.#stand(status, retryAt, code);
  }

  // What a tab is told, be it by the stream or by the leader.

  /** @param {StreamEvent} event */
  #take(event) {
    switch (event.type) {
      case "status":
        return this.#follow(event.data);
      case "hello":
        this.#hello = event.data;
        this.#count = merge(this.#count, event.data);
        this.#seq ??= event.data.seq;
        this.#remember();
        this.#expect(event.data.seq);
        break;
      case "reset":
        this.#seq = this.#known = this.#hello?.seq ?? 0;
        this.#count = this.#hello ? merge(NONE, this.#hello) : NONE;
        this.#remember();
        break;
      case "unread_count":
        this.#count = merge(this.#count, event.data);
        break;
      case "notification":
        if (!this.#isNext(event.data.seq)) return;
        this.#count = reach(this.#count, event.data.seq);
        this.#remember();
    }
    this.#emitter.emit(event);
  }

  /** Whether this one is to be handed on. @param {number} seq */
  #isNext(seq) {
    const next = (this.#seq ?? seq - 1) + 1;
    if (seq === next) this.#seq = seq;
    if (seq > next) this.#expect(seq);
    return seq === next;
  }

  /** There is this notification; where it does not come, it was lost between the tabs. @param {number} seq */
  #expect(seq) {
    this.#known = Math.max(this.#known, seq);
    this.#missing ??= setTimeout(() => {
      this.#missing = undefined;
      if (this.#seq === null || this.#seq >= this.#known) return;
      if (this.#leads) this.#lost("missed");
      else this.#tabs?.post({ kind: "behind", seq: this.#seq });
    }, ON_ITS_WAY);
  }

  #remember() {
    if (this.#leads) save(this.#storage, this.#key, this.#seq);
  }
}
