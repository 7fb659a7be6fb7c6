/** What the user has written and the server has not stored yet. */

import { LoaError } from "./errors.js";
import { load, save } from "./storage.js";

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {{nonce: string, conversation_id: string, error: LoaError | null}} Pending
 */
/**
 * @template {Pending} P
 * @typedef {{pending: P, resolve: (message: Message) => void, reject: (error: LoaError) => void}} Entry
 */

/**
 * Keeps each item until the server has stored it, or until the user dismisses it after the server has rejected it, even
 * if the tab is reloaded. Items are kept per user: if another user signs in in the same tab, those of the first are not
 * sent.
 * @template {Pending} P
 */
export class PendingQueue {
  #storage;
  #keyPrefix;
  #limit;
  /** @type {string | null} */
  #userId = null;
  /** By nonce, in the order of writing. @type {Map<string, Entry<P>>} */
  #entries = new Map();

  /**
   * @param {import("./storage.js").KeyValueStorage} storage the tab's session storage
   * @param {string} keyPrefix of the storage keys
   * @param {number} limit how many items may wait at once
   */
  constructor(storage, keyPrefix, limit) {
    this.#storage = storage;
    this.#keyPrefix = keyPrefix;
    this.#limit = limit;
  }

  /**
   * Set the author of the items, and return those that this user wrote before the tab was reloaded.
   * @param {string} userId
   * @returns {P[]}
   */
  setUser(userId) {
    if (userId === this.#userId) return [];
    if (this.#userId) this.#rejectAll();
    this.#userId = userId;
    /** @type {P[]} */
    const restored = (load(this.#storage, this.#key) ?? [])
      .filter((/** @type {P} */ { nonce }) => !this.#entries.has(nonce))
      .map(withError);
    const added = [...this.#entries];
    this.#entries = new Map([...restored.map((/** @type {P} */ pending) => restoredEntry(pending)), ...added]);
    this.#save();
    return restored;
  }

  /** All items, in the order of writing, with those that were rejected. */
  get pending() {
    return [...this.#entries.values()].map(({ pending }) => pending);
  }

  /**
   * Return the next item to send in this conversation, if any.
   * @param {string} conversationId
   */
  next(conversationId) {
    return this.pending.find(({ conversation_id, error }) => conversation_id === conversationId && !error);
  }

  /**
   * Add an item. Throws `outbox_full`.
   * @param {P} pending
   * @returns {Promise<Message>} resolves when it is stored
   */
  enqueue(pending) {
    const waiting = this.pending.filter(({ error }) => !error);
    if (waiting.length >= this.#limit) throw new LoaError("outbox_full", "Too many messages wait to be sent.");
    const stored = new Promise((resolve, reject) => this.#entries.set(pending.nonce, { pending, resolve, reject }));
    this.#save();
    return stored;
  }

  /**
   * Remove an item that the server has stored.
   * @param {string} nonce
   * @param {Message} message
   */
  resolve(nonce, message) {
    const entry = this.#entries.get(nonce);
    this.remove(nonce);
    entry?.resolve(message);
  }

  /**
   * Note that the server has rejected an item. It is not sent again, but kept with its error.
   * @param {string} nonce
   * @param {LoaError} error
   */
  reject(nonce, error) {
    const entry = this.#entries.get(nonce);
    if (!entry) return;
    entry.pending = { ...entry.pending, error };
    this.#save();
    entry.reject(error);
  }

  /** @param {string} nonce */
  remove(nonce) {
    this.#entries.delete(nonce);
    this.#save();
  }

  /** Called when another user signs in. The items stay in the storage until their author signs in again. */
  #rejectAll() {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { reject } of entries) reject(new LoaError("disconnected", "Another user has signed in."));
  }

  get #key() {
    return `${this.#keyPrefix}:${this.#userId}`;
  }

  #save() {
    if (this.#userId) save(this.#storage, this.#key, this.#entries.size ? this.pending : null);
  }
}

/**
 * Return an item from the storage, whose error has become a plain object, with a LoaError.
 * @template {Pending} P
 * @param {P} stored
 * @returns {P}
 */
function withError(stored) {
  const { error } = stored;
  return error ? { ...stored, error: new LoaError(error.code, error.detail, error) } : stored;
}

/**
 * @template {Pending} P
 * @param {P} pending
 * @returns {[string, Entry<P>]} without callbacks: the caller is gone with the page
 */
function restoredEntry(pending) {
  return [pending.nonce, { pending, resolve: () => {}, reject: () => {} }];
}
