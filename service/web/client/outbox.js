/** The user's messages that the server has not stored yet. */

import { LoaError } from "./errors.js";
import { PendingQueue } from "./pending-queue.js";
import { randomId } from "./random-id.js";

/** Messages that may wait at once: enough for a longer time offline, and at most 400 KB. */
const MAX_PENDING = 100;
/** Code points, as the server counts them; JavaScript's `length` counts UTF-16 code units, two for most emoji. */
const MAX_CONTENT_LENGTH = 4000;

/**
 * Each message has a nonce by which the server recognises repetitions, so it may be sent any number of times.
 * @extends {PendingQueue<import("./types.js").PendingMessage>}
 */
export class Outbox extends PendingQueue {
  /** @param {import("./storage.js").KeyValueStorage} storage the tab's session storage */
  constructor(storage) {
    super(storage, "loa:outbox", MAX_PENDING);
  }

  /**
   * Add a message. Throws `validation_failed` or `outbox_full`.
   * @param {string} conversationId
   * @param {string} content
   * @param {string | null} replyTo
   * @param {import("./types.js").Attachment[]} [attachments]
   */
  add(conversationId, content, replyTo, attachments = []) {
    const pending = {
      nonce: randomId(),
      conversation_id: conversationId,
      content: validContent(content, attachments.length > 0),
      reply_to: replyTo,
      attachments,
      created_at: new Date().toISOString(),
      error: null,
    };
    return { pending, stored: this.enqueue(pending) };
  }
}

/**
 * Return the content as the server stores it. Throws `validation_failed`: the server would reject something written
 * offline only after the reconnect.
 * @param {string} content
 * @param {boolean} [mayBeEmpty] as it may with attachments
 */
export function validContent(content, mayBeEmpty = false) {
  const trimmed = content.trim();
  if ((trimmed || mayBeEmpty) && [...trimmed].length <= MAX_CONTENT_LENGTH) return trimmed;
  throw new LoaError("validation_failed", `A message has 1 to ${MAX_CONTENT_LENGTH} characters.`);
}
