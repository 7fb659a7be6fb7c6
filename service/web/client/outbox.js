/** The messages that were sent and are not stored yet. */

import { LoaError } from "./errors.js";
import { load, save } from "./storage.js";

/** Messages that wait at once: more than anyone types while a train is in a tunnel, and 400 KB at most. */
const MAX_WAITING = 100;
/** Characters, as the server counts them: whole ones, where JavaScript's `length` counts halves of emoji. */
const MAX_CONTENT = 4000;

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Pending} Pending
 * @typedef {{pending: Pending, resolve: (message: Message) => void, reject: (error: LoaError) => void}} Waiting
 */

/**
 * Keeps each message until the server has stored or refused it, also over a reload of its tab. Each has a nonce, by
 * which the server knows one that it has seen before: so it may be sent any number of times.
 *
 * What one person wrote is not sent by another who signs in in the same tab.
 */
export class Outbox {
  #storage;
  /** @type {string | null} */
  #userId = null;
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();

  /** @param {import("./storage.js").KeyValues} storage the tab's */
  constructor(storage) {
    this.#storage = storage;
  }

  /**
   * It is this person who writes. Returns what they had written before the tab was reloaded.
   * @param {string} userId
   * @returns {Pending[]}
   */
  open(userId) {
    if (userId === this.#userId) return [];
    if (this.#userId) this.#leave();
    this.#userId = userId;
    /** @type {Pending[]} */
    const restored = (load(this.#storage, this.#key) ?? []).filter(
      (/** @type {Pending} */ { nonce }) => !this.#waiting.has(nonce),
    );
    const written = [...this.#waiting];
    this.#waiting = new Map([...restored.map(restore), ...written]);
    this.#save();
    return restored;
  }

  /**
   * @param {string} conversationId
   * @param {string} content
   * @param {string | null} replyTo
   * @returns {{pending: Pending, stored: Promise<Message>}} Throws `validation_failed`, `outbox_full`.
   */
  add(conversationId, content, replyTo) {
    content = content.trim();
    // What the server would refuse must not wait for a connection to be refused.
    if (!content || [...content].length > MAX_CONTENT) {
      throw new LoaError("validation_failed", `A message has 1 to ${MAX_CONTENT} characters.`);
    }
    if (this.#waiting.size >= MAX_WAITING) throw new LoaError("outbox_full", "Too many messages wait to be sent.");
    /** @type {Pending} */
    const pending = {
      nonce: newNonce(),
      conversation_id: conversationId,
      content,
      reply_to: replyTo,
      created_at: new Date().toISOString(),
      error: null,
    };
    /** @type {Promise<Message>} */
    const stored = new Promise((resolve, reject) => this.#waiting.set(pending.nonce, { pending, resolve, reject }));
    this.#save();
    return { pending, stored };
  }

  /** What waits, in the order of writing. */
  get pending() {
    return [...this.#waiting.values()].map(({ pending }) => pending);
  }

  /**
   * The message of this conversation that is to be sent next.
   * @param {string} conversationId
   */
  next(conversationId) {
    return this.pending.find(({ conversation_id }) => conversation_id === conversationId);
  }

  /**
   * @param {string} nonce
   * @param {Message} message
   */
  stored(nonce, message) {
    this.#take(nonce)?.resolve(message);
  }

  /**
   * @param {string} nonce
   * @param {LoaError} error
   */
  refused(nonce, error) {
    this.#take(nonce)?.reject(error);
  }

  /** @param {string} nonce */
  #take(nonce) {
    const waiting = this.#waiting.get(nonce);
    this.#waiting.delete(nonce);
    this.#save();
    return waiting;
  }

  /** Someone else has signed in. What was written stays in the storage until its author is back. */
  #leave() {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new LoaError("disconnected", "Someone else has signed in."));
  }

  get #key() {
    return `loa:outbox:${this.#userId}`;
  }

  #save() {
    if (this.#userId) save(this.#storage, this.#key, this.#waiting.size ? this.pending : null);
  }
}

/**
 * @param {Pending} pending
 * @returns {[string, Waiting]} whoever waited for it went with the page
 */
function restore(pending) {
  return [pending.nonce, { pending, resolve: () => {}, reject: () => {} }];
}

function newNonce() {
  // Not randomUUID, which is missing on pages that were not served over TLS.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
