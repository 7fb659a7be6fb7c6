/** The user's edits and deletions of messages that the server has not stored yet. */

import { validContent } from "./outbox.js";
import { PendingQueue } from "./pending-queue.js";
import { randomId } from "./random-id.js";

/** Edits and deletions that may wait at once. */
const MAX_PENDING = 100;

/**
 * Edits and deletions may be sent any number of times: a repetition has no further effect.
 * @extends {PendingQueue<import("./types.js").PendingChange>}
 */
export class ChangeQueue extends PendingQueue {
  /** @param {import("./storage.js").KeyValueStorage} storage the tab's session storage */
  constructor(storage) {
    super(storage, "loa:changes", MAX_PENDING);
  }

  /**
   * Add the edit of a message, or its deletion if `content` is null. A rejected change of the same message is dropped.
   * Throws `validation_failed` or `outbox_full`.
   * @param {string} conversationId
   * @param {string} messageId
   * @param {string | null} content
   */
  add(conversationId, messageId, content) {
    const stored = this.enqueue({
      nonce: randomId(),
      kind: content === null ? "delete" : "edit",
      conversation_id: conversationId,
      message_id: messageId,
      content: content === null ? "" : validContent(content),
      created_at: new Date().toISOString(),
      error: null,
    });
    this.dismiss(conversationId, messageId);
    return stored;
  }

  /**
   * Drop the rejected changes of a message.
   * @param {string} conversationId
   * @param {string} messageId
   */
  dismiss(conversationId, messageId) {
    for (const { nonce, message_id, error } of this.pendingIn(conversationId)) {
      if (error && message_id === messageId) this.remove(nonce);
    }
  }

  /** @param {string} conversationId */
  pendingIn(conversationId) {
    return this.pending.filter(({ conversation_id }) => conversation_id === conversationId);
  }
}
