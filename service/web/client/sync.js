/** Fetches the changes that were missed. */

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").MessageEvent} MessageEvent
 * @typedef {import("./socket-connection.js").SocketConnection} SocketConnection
 * @typedef {(conversationId: string, afterRev: number) => Promise<import("./types.js").Page<Message>>} GetChanges
 */

/** Conversations in one request: 45 bytes each, well below the limit of 64 KiB per frame. */
const MAX_CONVERSATIONS = 500;
/**
 * Milliseconds to wait after a sync that filled no gap: the announced changes cannot be read yet. The delay doubles up
 * to the maximum.
 */
const RETRY_DELAY = 1000;
const MAX_RETRY_DELAY = 20_000;

/** Requests the missed changes of all conversations that are behind, until none is. */
export class SyncRunner {
  #tracker;
  #deliver;
  #getChanges;
  /** Conversations of which the server has sent only the first part. @type {Set<string>} */
  #incomplete = new Set();
  /** `RevisionTracker.staleMarks` at the time of the last request. */
  #staleMarks = 0;

  /**
   * @param {import("./revision-tracker.js").RevisionTracker} tracker
   * @param {(events: MessageEvent[]) => void} deliver
   * @param {GetChanges | undefined} getChanges fetches the rest of long answers; without it, `sync` is repeated
   */
  constructor(tracker, deliver, getChanges) {
    this.#tracker = tracker;
    this.#deliver = deliver;
    this.#getChanges = getChanges;
  }

  /** Whether any conversation is behind. */
  get isNeeded() {
    return Object.keys(this.#tracker.behind(1)).length > 0;
  }

  /** Sync until none is behind. Rejects if the connection ends first. @param {SocketConnection} connection */
  async run(connection) {
    this.#incomplete.clear();
    for (let delay = RETRY_DELAY; this.isNeeded; ) {
      const requested = this.#tracker.behind(MAX_CONVERSATIONS);
      this.#staleMarks = this.#tracker.staleMarks;
      await connection.requestWithRetry({ type: "sync", conversations: requested });
      await this.#fetchIncomplete(connection);
      const stillBehind = this.#tracker.behind(Infinity);
      const markedStaleSince = this.#tracker.staleMarks !== this.#staleMarks;
      if (markedStaleSince || Object.keys(requested).some((id) => stillBehind[id] !== requested[id])) continue;
      await connection.sleep(delay);
      delay = Math.min(2 * delay, MAX_RETRY_DELAY);
    }
  }

  /** Handle a `sync` frame: the changes of one conversation. @param {import("./types.js").Sync} frame */
  onFrame({ conversation_id, data: { messages, last_rev, complete } }) {
    // An incomplete answer reaches only as far as its last message.
    this.#deliver(this.#tracker.backfill(conversation_id, messages, complete ? last_rev : 0, this.#staleMarks));
    if (complete) return;
    this.#tracker.setLastKnown(conversation_id, last_rev, 0);
    this.#incomplete.add(conversation_id);
  }

  /** @param {SocketConnection} connection */
  async #fetchIncomplete(connection) {
    const ids = [...this.#incomplete];
    this.#incomplete.clear();
    if (this.#getChanges) for (const id of ids) await this.#fetchPages(connection, id, this.#getChanges);
  }

  /**
   * @param {SocketConnection} connection
   * @param {string} id
   * @param {GetChanges} getChanges
   */
  async #fetchPages(connection, id, getChanges) {
    for (let after; (after = this.#tracker.deliveredRev(id)) !== undefined; ) {
      const rev = after;
      const { items, next } = await connection.retry(() => getChanges(id, rev));
      this.#deliver(this.#tracker.backfill(id, items, 0));
      if (next === null || this.#tracker.deliveredRev(id) === rev) return;
    }
  }
}
