/**
 * Counts unread messages: those that others have written after the user's read mark, and not deleted. The store has
 * only the conversations of the pages that were loaded, and does not know the deletion of a message that is not loaded.
 */

import { isSystemMessage } from "./system-message.js";

const MESSAGE_EVENTS = new Set(["new_message", "message_updated"]);

export class UnreadCounter {
  #me;
  /** The heads of the conversations in the last hello, by id. */
  #heads = new Map();
  /** Deleted and system messages that were not seen: by conversation id, their `rev` by `seq`. */
  #uncounted = new Map();
  /** Results of `count`, by conversation object, until the next event that this class handles. */
  #counts = new WeakMap();

  /** `me`: the signed-in user's id. */
  constructor(me) {
    this.#me = me;
  }

  /** Handle an event of the chat socket. */
  onEvent({ type, conversation_id: id, conversations, data }) {
    if (type === "hello") {
      this.#heads = new Map(conversations.map((head) => [head.conversation_id, head]));
    } else if (type === "conversation_removed") {
      this.#heads.delete(id);
      this.#uncounted.delete(id);
    } else if (MESSAGE_EVENTS.has(type) && isNeverUnread(data) && data.sender_id !== this.#me) {
      if (!this.#uncounted.has(id)) this.#uncounted.set(id, new Map());
      this.#uncounted.get(id).set(data.seq, data.rev);
    } else {
      return;
    }
    this.#counts = new WeakMap();
  }

  /** Return the number of unread messages in all conversations. `conversations`: of the store's state, by id. */
  total(conversations) {
    let total = 0;
    for (const conversation of Object.values(conversations)) total += this.count(conversation);
    for (const [id, head] of this.#heads) {
      if (!(id in conversations)) total += Math.max(0, head.last_seq - head.last_read_seq);
    }
    return total;
  }

  /** Return the number of unread messages in one conversation of the store's state. */
  count(conversation) {
    if (!this.#counts.has(conversation)) this.#counts.set(conversation, this.#count(conversation));
    return this.#counts.get(conversation);
  }

  #count({ id, details, messages, loadedFrom, lastSeq, reads }) {
    const head = this.#heads.get(id);
    const read = Math.max(reads[this.#me] ?? 0, head?.last_read_seq ?? 0);
    const last = Math.max(lastSeq, head?.last_seq ?? 0);
    const uncounted = this.#uncountedAfter(id, read);
    if (last <= read) return 0;
    const unreadAfter = (seq) =>
      messages.filter((message) => message.seq > seq && this.#countsAsUnread(message)).length;
    const lastLoaded = messages.at(-1)?.seq ?? Math.min(loadedFrom - 1, last);
    // Messages after the last one were announced, and are about to be fetched.
    if (loadedFrom <= read + 1) return unreadAfter(read) + last - Math.max(read, lastLoaded);
    if (details?.last_read_seq !== read) return Math.max(0, last - read - uncounted.length);
    // The server's count, and what has changed since then.
    const removed = uncounted.filter(([seq, rev]) => seq <= details.last_seq && rev > details.last_rev);
    const announced = Math.max(0, last - Math.max(details.last_seq, lastLoaded));
    return Math.max(0, details.unread_count + unreadAfter(details.last_seq) + announced - removed.length);
  }

  #countsAsUnread(message) {
    return message.sender_id !== this.#me && !isNeverUnread(message);
  }

  /** Return [seq, rev] of the deleted and system messages after the read mark, and forget the others. */
  #uncountedAfter(id, read) {
    const uncounted = this.#uncounted.get(id) ?? new Map();
    for (const seq of uncounted.keys()) if (seq <= read) uncounted.delete(seq);
    return [...uncounted];
  }
}

function isNeverUnread(message) {
  return message.deleted || isSystemMessage(message);
}
