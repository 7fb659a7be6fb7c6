/** Counts the unread messages of all conversations: the store has only those of the pages that were loaded. */

export class UnreadCounter {
  /** The heads of the conversations in the last hello, by id. */
  #heads = new Map();

  /** Handle an event of the chat socket. */
  onEvent({ type, conversation_id: id, conversations }) {
    if (type === "hello") this.#heads = new Map(conversations.map((head) => [head.conversation_id, head]));
    else if (type === "conversation_removed") this.#heads.delete(id);
  }

  /** Return the number of unread messages in all conversations. `state`: the store's. */
  total({ conversations, userId }) {
    let total = 0;
    for (const { details, unreadCount } of Object.values(conversations)) if (details) total += unreadCount;
    for (const [id, head] of this.#heads) {
      const { details, lastSeq = 0, reads = {} } = conversations[id] ?? {};
      const read = Math.max(reads[userId] ?? 0, head.last_read_seq);
      if (!details) total += Math.max(0, Math.max(lastSeq, head.last_seq) - read);
    }
    return total;
  }
}
