/** The order of message changes in each conversation. */

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").MessageEvent} MessageEvent
 */

/** Conversations tracked at once. Beyond that, the one that has been tracked longest is forgotten. */
const MAX_TRACKED = 2000;
/** Out-of-order events buffered per conversation; events beyond that are dropped and come again with the sync. */
const MAX_BUFFERED = 500;

/**
 * The position in one conversation.
 * @typedef {object} Position
 * @property {number} trackedFrom the rev from which on the conversation is tracked
 * @property {number} rev of the last change delivered
 * @property {number} lastKnownRev the last rev known to exist
 * @property {number} staleSince `staleMarks` when it was last marked as stale, which means that `lastKnownRev` may be
 *   too low; 0 if it is not stale
 * @property {boolean} hasBaseline whether `setBaseline` was called
 * @property {number} contiguousSeq every message up to this seq was delivered, or existed before tracking began
 * @property {Set<number>} sparseSeqs delivered messages above `contiguousSeq`
 * @property {Map<number, Message | null>} reorderBuffer changes that arrived ahead of a gap, by rev; null if skipped
 */

/**
 * Delivers the changes of each conversation in the order of `rev`, each once, and knows which conversations have gaps.
 * A change that arrives ahead of a gap is buffered until the gap is filled.
 *
 * Tracking of a conversation starts with the first call that names it. The client has loaded nothing of it by then, so
 * it cannot have missed anything earlier.
 */
export class RevisionTracker {
  /** @type {Map<string, Position>} */
  #positions = new Map();
  /** How often `markStale` was called. A backfill clears only marks that were set before it was requested. */
  staleMarks = 0;

  /**
   * Declare that the conversation was loaded as of `last_rev`, so that all later changes must be delivered. Only the
   * first call has an effect: later changes are then delivered, or will be.
   * @param {{id: string, last_rev: number, last_seq: number}} conversation
   */
  setBaseline({ id, last_rev, last_seq }) {
    const position = this.#track(id, last_rev, last_seq);
    if (position.hasBaseline) return;
    position.hasBaseline = true;
    if (last_rev >= position.trackedFrom) return;
    position.rev = last_rev;
    position.contiguousSeq = Math.min(position.contiguousSeq, last_seq);
    position.sparseSeqs.clear();
  }

  /**
   * Note that changes up to `rev` exist.
   * @param {string} id
   * @param {number} rev
   * @param {number} seq of the last message
   */
  setLastKnown(id, rev, seq) {
    const position = this.#track(id, rev, seq);
    position.lastKnownRev = Math.max(position.lastKnownRev, rev);
  }

  /** Mark all conversations except these as stale: changes may have been missed. @param {Iterable<string>} [except] */
  markStale(except = []) {
    const upToDate = new Set(except);
    this.staleMarks++;
    for (const [id, position] of this.#positions) if (!upToDate.has(id)) position.staleSince = this.staleMarks;
  }

  /** @param {string} id */
  forget(id) {
    this.#positions.delete(id);
  }

  /** Return the rev of the last change delivered; undefined if the conversation is not tracked. @param {string} id */
  deliveredRev(id) {
    return this.#positions.get(id)?.rev;
  }

  /**
   * Return the conversations that have a gap or are stale, with the rev up to which they are complete.
   * @param {number} limit how many conversations at most
   */
  behind(limit) {
    /** @type {Record<string, number>} */
    const behind = {};
    let count = 0;
    for (const [id, position] of this.#positions) {
      if (position.lastKnownRev <= position.rev && !position.staleSince) continue;
      if (count++ === limit) break;
      behind[id] = position.rev;
    }
    return behind;
  }

  /**
   * Take an event from the server and return the events that can be delivered now.
   * @param {MessageEvent} event
   * @returns {MessageEvent[]}
   */
  receive(event) {
    const { rev, seq } = event.data;
    const position = this.#track(event.conversation_id, rev - 1, event.type === "new_message" ? seq - 1 : seq);
    position.lastKnownRev = Math.max(position.lastKnownRev, rev);
    if (rev <= position.rev) return [];
    if (rev === position.rev + 1) return [this.#deliver(position, event.data), ...this.#deliverBuffered(position)];
    if (position.reorderBuffer.size < MAX_BUFFERED) position.reorderBuffer.set(rev, event.data);
    return [];
  }

  /**
   * Take the server's word that the change with this rev is of a message that the user does not see, and return the
   * events that can be delivered now.
   * @param {string} id
   * @param {number} rev
   * @returns {MessageEvent[]}
   */
  skip(id, rev) {
    const position = this.#positions.get(id);
    if (!position || rev <= position.rev) return [];
    position.lastKnownRev = Math.max(position.lastKnownRev, rev);
    if (position.reorderBuffer.size < MAX_BUFFERED) position.reorderBuffer.set(rev, null);
    return this.#deliverBuffered(position);
  }

  /**
   * Fill a gap and return the events that can be delivered now.
   * @param {string} id
   * @param {Message[]} messages all messages changed after the last delivered rev and up to `lastRev`, by ascending rev
   * @param {number} lastRev
   * @param {number} [staleMarks] the value of `staleMarks` when these messages were requested; by default, a stale
   *   conversation stays stale
   * @returns {MessageEvent[]}
   */
  backfill(id, messages, lastRev, staleMarks = 0) {
    const position = this.#positions.get(id);
    if (!position) return [];
    if (position.staleSince <= staleMarks) position.staleSince = 0;
    const delivered = [];
    for (const data of messages) {
      if (data.rev <= position.rev) continue;
      // The server sends each message with its latest change only, so the revs of earlier changes are absent.
      delivered.push(this.#deliver(position, data));
    }
    position.rev = Math.max(position.rev, lastRev);
    return [...delivered, ...this.#deliverBuffered(position)];
  }

  /**
   * @param {Position} position
   * @param {Message} data
   * @returns {MessageEvent}
   */
  #deliver(position, data) {
    const { rev, seq, conversation_id } = data;
    const isNew = seq > position.contiguousSeq && !position.sparseSeqs.has(seq);
    position.rev = rev;
    position.lastKnownRev = Math.max(position.lastKnownRev, rev);
    if (isNew) position.sparseSeqs.add(seq);
    while (position.sparseSeqs.delete(position.contiguousSeq + 1)) position.contiguousSeq++;
    return { type: isNew ? "new_message" : "message_updated", conversation_id, data };
  }

  /** @param {Position} position */
  #deliverBuffered(position) {
    const { reorderBuffer } = position;
    const delivered = [];
    for (const rev of reorderBuffer.keys()) if (rev <= position.rev) reorderBuffer.delete(rev);
    for (let data; (data = reorderBuffer.get(position.rev + 1)) !== undefined; ) {
      reorderBuffer.delete(position.rev + 1);
      if (data) delivered.push(this.#deliver(position, data));
      else position.rev++;
    }
    return delivered;
  }

  /**
   * Return the position in the conversation; start tracking at `rev` and `seq` if there is none.
   * @param {string} id
   * @param {number} rev
   * @param {number} seq
   * @returns {Position}
   */
  #track(id, rev, seq) {
    const existing = this.#positions.get(id);
    if (existing) return existing;
    for (const oldest of this.#positions.keys()) {
      if (this.#positions.size < MAX_TRACKED) break;
      this.#positions.delete(oldest);
    }
    /** @type {Position} */
    const position = {
      trackedFrom: rev,
      rev,
      lastKnownRev: rev,
      staleSince: 0,
      hasBaseline: false,
      contiguousSeq: seq,
      sparseSeqs: new Set(),
      reorderBuffer: new Map(),
    };
    this.#positions.set(id, position);
    return position;
  }
}
