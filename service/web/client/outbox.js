/** The user's messages that the server has not stored yet. */

import { LoaError } from "./errors.js";
import { load, save } from "./storage.js";

/** Messages that may wait at once: enough for a longer time offline, and at most 400 KB. */
const MAX_PENDING = 100;
/** Code points, as the server counts them; JavaScript's `length` counts UTF-16 code units, two for most emoji. */
const MAX_CONTENT_LENGTH = 4000;

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").PendingMessage} PendingMessage
 * @typedef {{pending: PendingMessage, resolve: (message: Message) => void, reject: (error: LoaError) => void}} Entry
 */

/**
 * Keeps each message until the server has stored or rejected it, even if the tab is reloaded. Each message has a nonce
 * by which the server recognises repetitions, so it may be sent any number of times.
 *
 * Messages are kept per user: if another user signs in in the same tab, the messages of the first are not sent.
 */
export class Outbox {
  #storage;
  /** @type {string | null} */
  #userId = null;
  /** By nonce, in the order of writing. @type {Map<string, Entry>} */
  #entries = new Map();

  /** @param {import("./storage.js").KeyValueStorage} storage the tab's session storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /**
   * Set the author of the messages, and return the messages that this user wrote before the tab was reloaded.
   * @param {string} userId
   * @returns {PendingMessage[]}
   */
  setUser(userId) {
    if (userId === this.#userId) return [];
    if (this.#userId) this.#rejectAll();
    this.#userId = userId;
    /** @type {PendingMessage[]} */
    const restored = (load(this.#storage, this.#key) ?? []).filter(
      (/** @type {PendingMessage} */ { nonce }) => !this.#entries.has(nonce),
    );
    const added = [...this.#entries];
    this.#entries = new Map([...restored.map(restoredEntry), ...added]);
    this.#save();
    return restored;
  }

  /**
   * Add a message. Throws `validation_failed` or `outbox_full`.
   * @param {string} conversationId
   * @param {string} content
   * @param {string | null} replyTo
   * @returns {{pending: PendingMessage, stored: Promise<Message>}}
   */
  add(conversationId, content, replyTo) {
    content = content.trim();
    // Validated here because a message written offline would otherwise be rejected only after the reconnect.
    if (!content || [...content].length > MAX_CONTENT_LENGTH) {
      throw new LoaError("validation_failed", `A message has 1 to ${MAX_CONTENT_LENGTH} characters.`);
    }
    if (this.#entries.size >= MAX_PENDING) throw new LoaError("outbox_full", "Too many messages wait to be sent.");
    /** @type {PendingMessage} */
    const pending = {
      nonce: newNonce(),
      conversation_id: conversationId,
      content,
      reply_to: replyTo,
      created_at: new Date().toISOString(),
      error: null,
    };
    /** @type {Promise<Message>} */
    const stored = new Promise((resolve, reject) => this.#entries.set(pending.nonce, { pending, resolve, reject }));
    this.#save();
    return { pending, stored };
  }

  /** All pending messages, in the order of writing. */
  get pending() {
    return [...this.#entries.values()].map(({ pending }) => pending);
  }

  /**
   * Return the next message to send in this conversation, if any.
   * @param {string} conversationId
   */
  next(conversationId) {
    return this.pending.find(({ conversation_id }) => conversation_id === conversationId);
  }

  /**
   * Remove a message that the server has stored.
   * @param {string} nonce
   * @param {Message} message
   */
  resolve(nonce, message) {
    this.#remove(nonce)?.resolve(message);
  }

  /**
   * Remove a message that the server has rejected.
   * @param {string} nonce
   * @param {LoaError} error
   */
  reject(nonce, error) {
    this.#remove(nonce)?.reject(error);
  }

  /** @param {string} nonce */
  #remove(nonce) {
    const entry = this.#entries.get(nonce);
    this.#entries.delete(nonce);
    this.#save();
    return entry;
  }

  /** Called when another user signs in. The messages stay in the storage until their author signs in again. */
  #rejectAll() {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { reject } of entries) reject(new LoaError("disconnected", "Another user has signed in."));
  }

  get #key() {
    return `loa:outbox:${this.#userId}`;
  }

  #save() {
    if (this.#userId) save(this.#storage, this.#key, this.#entries.size ? this.pending : null);
  }
}

/**
 * @param {PendingMessage} pending
 * @returns {[string, Entry]} without callbacks: the caller of `send` is gone with the page
 */
function restoredEntry(pending) {
  return [pending.nonce, { pending, resolve: () => {}, reject: () => {} }];
}

function newNonce() {
  // `crypto.randomUUID` is missing on pages that were not served over TLS.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
