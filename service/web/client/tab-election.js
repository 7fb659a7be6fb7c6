/** Leader election and messaging among the tabs of one browser. */

import { randomId } from "./random-id.js";
import { load, save } from "./storage.js";

/** Milliseconds that a candidate waits for the objection of a leader, or of a better candidate. */
const CLAIM_WAIT = 200;
/** Milliseconds without a message from the leader after which a follower asks whether it is there. */
const CHECK_INTERVAL = 5000;
/** Milliseconds within which a leader answers. One that does not is frozen, or has crashed. */
const ANSWER_TIMEOUT = 2000;

/**
 * What the tabs send to each other. `from`: the sender; `term`: when the leader that it knows was elected. Types: a
 * candidate wants to lead (`claim`), the leader is there (`leader`) or leaves (`resign`), a follower asks for the
 * leader (`ping`); `message` carries a message of the user of this class. Tabs with different versions of the library
 * may be open at the same time, so the format must not change.
 * @template T
 * @typedef {{from: string, term: number}
 *   & ({type: "claim" | "leader" | "resign" | "ping"} | {type: "message", message: T})} Envelope
 */

/**
 * One tab is the leader until it closes, crashes or freezes; then another tab is elected. A posted message reaches all
 * other tabs.
 *
 * The election uses a BroadcastChannel, which unlike Web Locks also exists on pages without TLS, and shows whether the
 * leader is alive: browsers freeze hidden tabs, and a frozen tab keeps its locks. Followers ask the leader instead of
 * expecting a heartbeat, because the timers of a hidden leader may fire only once a minute, while it still answers
 * messages at once. The storage holds the leader's id, so that the first tab does not have to wait for objections.
 *
 * For a moment there can be two leaders, for example when a frozen one wakes up. As soon as they receive each other's
 * messages, the one that was elected earlier steps down. Without BroadcastChannel, every tab is its own leader.
 * @template T
 */
export class TabElection {
  #id = randomId();
  /** When the known leader was elected, in milliseconds since the epoch. */
  #term = 0;
  /** @type {"candidate" | "leader" | "follower" | "closed"} */
  #role = "candidate";
  #leaderId = "";
  #name;
  #tab;
  #storage;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string} name of the channel and the storage key
   * @param {{onElected: () => void, onDeposed: () => void, onMessage: (message: T) => void}} tab `onDeposed`: another
   *   tab has become the leader
   * @param {{
   *   BroadcastChannel?: typeof globalThis.BroadcastChannel,
   *   storage: import("./storage.js").KeyValueStorage,
   * }} platform
   */
  constructor(name, tab, { BroadcastChannel, storage }) {
    this.#name = name;
    this.#tab = tab;
    this.#storage = storage;
    if (!BroadcastChannel) {
      this.#role = "leader";
      tab.onElected();
      return;
    }
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#onEnvelope(data);
    if (load(storage, name)) this.#becomeCandidate();
    else this.#becomeLeader();
  }

  /** @param {T} message */
  post(message) {
    this.#post({ type: "message", message });
  }

  /** Check now whether there is exactly one leader. Call it when the page wakes up. */
  check() {
    if (this.#role === "follower") this.#ask();
    if (this.#role === "leader") this.#post({ type: "leader" });
  }

  /** Leave the election. If this tab is the leader, another tab is elected. */
  close() {
    clearTimeout(this.#timer);
    if (this.#role === "candidate" || this.#role === "leader") this.#post({ type: "resign" });
    if (load(this.#storage, this.#name) === this.#id) save(this.#storage, this.#name, null);
    this.#role = "closed";
    this.#channel?.close();
    this.#channel = null;
  }

  // Roles.

  #becomeCandidate() {
    this.#role = "candidate";
    this.#post({ type: "claim" });
    this.#setTimer(CLAIM_WAIT, () => this.#becomeLeader());
  }

  #becomeLeader() {
    clearTimeout(this.#timer);
    this.#role = "leader";
    this.#term = Math.max(this.#term + 1, Date.now());
    save(this.#storage, this.#name, this.#id);
    this.#post({ type: "leader" });
    this.#tab.onElected();
  }

  /** Wait for messages of the leader. The random part keeps the followers from asking all at once. */
  #becomeFollower() {
    this.#role = "follower";
    this.#setTimer(CHECK_INTERVAL * (1 + Math.random() / 2), () => this.#ask());
  }

  #ask() {
    this.#post({ type: "ping" });
    this.#setTimer(ANSWER_TIMEOUT, () => this.#becomeCandidate());
  }

  // Messages.

  /** @param {Envelope<T>} envelope */
  #onEnvelope(envelope) {
    const { from, type } = envelope;
    if (this.#role === "follower" && from === this.#leaderId) this.#becomeFollower();
    switch (type) {
      case "ping":
        if (this.#role === "leader") this.#post({ type: "leader" });
        return;
      case "claim":
        return this.#onClaim(from);
      case "leader":
        return this.#onLeader(envelope);
      case "resign":
        if (this.#role === "follower") this.#becomeCandidate();
        return;
      case "message":
        return this.#tab.onMessage(envelope.message);
    }
  }

  /** @param {string} from */
  #onClaim(from) {
    if (this.#role === "leader") this.#post({ type: "leader" });
    if (this.#role !== "candidate") return;
    // Of several candidates, the one with the lowest id is elected.
    if (from < this.#id) this.#becomeFollower();
    else this.#post({ type: "claim" });
  }

  /** @param {{from: string, term: number}} leader */
  #onLeader({ from, term }) {
    const wasLeader = this.#role === "leader";
    if (wasLeader && (term < this.#term || (term === this.#term && from > this.#id))) {
      // The other one steps down when it receives this.
      return this.#post({ type: "leader" });
    }
    this.#leaderId = from;
    this.#term = Math.max(this.#term, term);
    this.#becomeFollower();
    if (wasLeader) this.#tab.onDeposed();
  }

  /** @param {{type: "claim" | "leader" | "resign" | "ping"} | {type: "message", message: T}} content */
  #post(content) {
    this.#channel?.postMessage({ from: this.#id, term: this.#term, ...content });
  }

  /**
   * @param {number} milliseconds
   * @param {() => void} action
   */
  #setTimer(milliseconds, action) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, milliseconds);
  }
}
