/** Getting what was missed. */

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").MessageEvent} MessageEvent
 * @typedef {(conversationId: string, afterRev: number) => Promise<import("./types.js").Page<Message>>} GetChanges
 */

/** Conversations in one request: 45 bytes each, well below the 64 KiB that a frame may have. */
const AT_ONCE = 500;
/** Milliseconds to wait after an answer that has filled no gap: what was announced cannot be read yet. */
const PAUSE = 1000;
const MAX_PAUSE = 20_000;

/** Asks for what the conversations that are behind have missed, until none is. */
export class Sync {
  #revs;
  #handOn;
  #getChanges;
  /** Conversations of which the server has sent only the beginning. @type {Set<string>} */
  #unfinished = new Set();

  /**
   * @param {import("./revs.js").Revs} revs
   * @param {(events: MessageEvent[]) => void} handOn
   * @param {GetChanges | undefined} getChanges for the rest of long answers; without it the socket is asked again
   */
  constructor(revs, handOn, getChanges) {
    this.#revs = revs;
    this.#handOn = handOn;
    this.#getChanges = getChanges;
  }

  /** Whether there is anything to ask for. */
  get due() {
    return Object.keys(this.#revs.behind(1)).length > 0;
  }

  /** Over `link`. Rejects where the link ends before. @param {import("./link.js").Link} link */
  async run(link) {
    this.#unfinished.clear();
    for (let pause = PAUSE; this.due; ) {
      const behind = this.#revs.behind(AT_ONCE);
      await link.insist({ type: "sync", conversations: behind });
      await this.#finish(link);
      const still = this.#revs.behind(Infinity);
      if (Object.keys(behind).some((id) => still[id] !== behind[id])) continue;
      await link.pause(pause);
      pause = Math.min(2 * pause, MAX_PAUSE);
    }
  }

  /** The server's answer for one conversation. @param {import("./types.js").Sync} answer */
  take({ conversation_id, data: { messages, last_rev, complete } }) {
    // One that is not complete reaches as far as its last message.
    this.#handOn(this.#revs.fill(conversation_id, messages, complete ? last_rev : 0));
    if (complete) return;
    this.#revs.reach(conversation_id, last_rev, 0);
    this.#unfinished.add(conversation_id);
  }

  /** @param {import("./link.js").Link} link */
  async #finish(link) {
    const unfinished = [...this.#unfinished];
    this.#unfinished.clear();
    if (this.#getChanges) for (const id of unfinished) await this.#page(link, id, this.#getChanges);
  }

  /**
   * @param {import("./link.js").Link} link
   * @param {string} id
   * @param {GetChanges} getChanges
   */
  async #page(link, id, getChanges) {
    for (let after; (after = this.#revs.at(id)) !== undefined; ) {
      const rev = after;
      const { items, next } = await link.patiently(() => getChanges(id, rev));
      this.#handOn(this.#revs.fill(id, items, 0));
      if (next === null || this.#revs.at(id) === rev) return;
    }
  }
}
