/** Messages of a conversation around one of them, apart from the latest ones that the store keeps. */

/** Messages in one read, and before and after the one that the window is around. */
const PAGE_SIZE = 50;
const AROUND = 25;

export class MessageWindow {
  #api;
  #id;
  #messages = [];
  hasOlder = true;

  constructor(api, conversationId) {
    this.#api = api;
    this.#id = conversationId;
  }

  /** Load the messages around the one with this seq. */
  async load(seq) {
    await this.#add(seq + AROUND);
  }

  async loadOlder() {
    const first = this.#messages[0]?.seq;
    if (this.hasOlder && first) await this.#add(first);
  }

  async loadNewer() {
    const { items } = await this.#read(this.lastSeq + PAGE_SIZE + 1);
    const added = items.filter(({ seq }) => seq > this.lastSeq);
    this.#messages = [...this.#messages, ...added];
  }

  get lastSeq() {
    return this.#messages.at(-1)?.seq ?? 0;
  }

  has(seq) {
    return this.#messages.some((message) => message.seq === seq);
  }

  /** Take a later version of one of the messages. Returns whether it is one. */
  update(message) {
    const index = this.#messages.findIndex(({ id, rev }) => id === message.id && rev < message.rev);
    if (index >= 0) this.#messages = this.#messages.with(index, message);
    return index >= 0;
  }

  /** Return the conversation with these messages in place of the latest ones. */
  shownIn(conversation) {
    return { ...conversation, messages: this.#messages, hasOlder: this.hasOlder, pending: [] };
  }

  async #add(before) {
    const { items, next } = await this.#read(before);
    this.#messages = [...items, ...this.#messages];
    this.hasOlder = next !== null;
  }

  #read(before) {
    return this.#api.messages(this.#id, { before, limit: PAGE_SIZE });
  }
}
