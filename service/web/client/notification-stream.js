/** The notifications, over one event stream for all tabs of the browser. */

import { Emitter } from "./emitter.js";
import { Feed } from "./feed.js";
import { browserStorage, load, save } from "./storage.js";
import { Tabs } from "./tabs.js";
import { merge, NONE, reach, unread } from "./unread.js";
import { Upkeep } from "./upkeep.js";

/**
 * @typedef {import("./types.js").StreamEvent} StreamEvent
 * @typedef {import("./types.js").StreamHello} StreamHello
 * @typedef {import("./types.js").ConnectionState} ConnectionState
 * @typedef {() => Promise<string>} GetTicket it rejects as ChatSocket's `GetToken` does
 */

/**
 * What tabs tell each other. The leader: what the stream says, and to a new tab how things are. The others: that they
 * are new, that they miss what came after `seq`, that the stream may have died while nobody looked.
 * @typedef {{kind: "event", event: StreamEvent} | {kind: "welcome", hello: StreamHello["data"], standby: ConnectionState}
 *   | {kind: "new"} | {kind: "behind", seq: number} | {kind: "wake"}} TabMessage
 */

const PATH = "/api/v1/notifications/stream";
/** Milliseconds in which what is on its way comes; a tab that still misses something then has to ask. */
const ON_ITS_WAY = 3000;

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
  #upkeep;
  #url;
  #platform;
  #storage;
  /** @type {GetTicket | null} */
  #getTicket = null;
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
  /** @type {Feed | null} */
  #feed = null;
  /** The last notification that is known to exist. */
  #known = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #missing;

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
    this.#upkeep = new Upkeep(window, {
      dial: () => this.#open(),
      wake: () => this.#wake(),
      changed: (standby) => this.#announce({ type: "status", data: standby }),
    });
  }

  /** Where the connection stands, whichever tab holds it. */
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
    this.#getTicket = getTicket;
    this.#upkeep.begin();
    this.#upkeep.connecting();
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
    const getTicket = this.#getTicket;
    if (!getTicket) return;
    this.#close();
    this.#upkeep.connecting();
    const opening = (this.#opening = {});
    /** @type {string} */
    let ticket;
    try {
      ticket = await getTicket();
    } catch (error) {
      const needsSignIn = opening === this.#opening && this.#upkeep.refused(error);
      if (needsSignIn) this.#end("signed-out", /** @type {import("./errors.js").LoaError} */ (error).code);
      return;
    }
    if (opening !== this.#opening) return;
    const query = new URLSearchParams({ ticket });
    if (after !== null) query.set("last_event_id", `${after}`);
    const source = new this.#platform.EventSource(`${this.#url}?${query}`);
    const feed = new Feed(
      source,
      (event) => feed === this.#feed && this.#hear(event),
      (why) => this.#lost(why),
    );
    this.#feed = feed;
  }

  /** @param {import("./feed.js").FeedEvent} event */
  #hear(event) {
    if (event.type === "token_expiring") return this.#renew();
    if (event.type === "draining") this.#upkeep.reconnectAfter = event.data.reconnect_after_ms;
    if (event.type === "hello") this.#upkeep.online();
    this.#tabs?.post({ kind: "event", event });
    this.#take(event);
  }

  /** The ticket's token expires, and with it the stream ends: go on with another. */
  #renew() {
    if (this.#upkeep.renewable) this.#open();
  }

  /** @param {string} why */
  #lost(why) {
    this.#close();
    this.#upkeep.backOff(why);
  }

  #close() {
    this.#opening = {};
    this.#feed?.close();
    this.#feed = null;
  }

  #wake() {
    if (!this.#leads) this.#tabs?.post({ kind: "wake" });
    // A stream cannot be asked whether it lives, but a new one goes on where it was.
    else if (this.#feed?.doubtful) this.#open();
  }

  /**
   * @param {import("./types.js").Status} status
   * @param {string | null} [code]
   */
  #end(status, code = null) {
    // Where only this tab goes, another leads next; where the person does, it is over for all.
    if (status === "idle") this.#leads = false;
    this.#getTicket = null;
    this.#hello = null;
    this.#close();
    clearTimeout(this.#missing);
    this.#missing = undefined;
    this.#upkeep.end(status, code);
    this.#leads = false;
    this.#tabs?.leave();
    this.#tabs = null;
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
        return this.#tabs?.post({ kind: "welcome", hello: this.#currently(this.#hello), standby: this.connectionState });
      case "behind":
        if (this.#leads && this.#feed) this.#open(message.seq);
        return;
      case "wake":
        if (this.#leads) this.#upkeep.wake();
    }
  }

  /** @param {StreamHello["data"]} hello */
  #currently(hello) {
    return { ...hello, seq: this.#seq ?? hello.seq, unread_count: unread(this.#count) };
  }

  /** What the leader's connection does. @param {ConnectionState} standby */
  #follow(standby) {
    if (standby.status === "signed-out") this.#end(standby.status, standby.code);
    else this.#upkeep.follow(standby);
  }

  /** Tell one's own subscribers, and from the leader those of the other tabs. @param {StreamEvent} event */
  #announce(event) {
    if (this.#leads) this.#tabs?.post({ kind: "event", event });
    this.#emitter.emit(event);
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
    const before = this.#seq ?? seq;
    if (before < seq) this.#missing ??= setTimeout(() => this.#ask(before), ON_ITS_WAY);
  }

  /** @param {number} before what was the last a while ago */
  #ask(before) {
    this.#missing = undefined;
    const now = this.#seq ?? before;
    if (now >= this.#known) return;
    if (now > before) this.#expect(this.#known);
    else if (this.#leads) this.#lost("missed");
    else this.#tabs?.post({ kind: "behind", seq: now });
  }

  #remember() {
    if (this.#leads) save(this.#storage, this.#key, this.#seq);
  }
}
