/** Who of a group has read a message: from pages of its participants, so a large group costs one page at a time. */

const PAGE_SIZE = 100;

export class Readers {
  /** The participants of the loaded pages who have read the message: profiles. */
  items = [];
  /** How many participants the loaded pages have. */
  checked = 0;
  hasMore = true;
  #api;
  #message;
  #participants = [];
  #next = null;

  constructor(api, message) {
    this.#api = api;
    this.#message = message;
  }

  /** Load the next page. `marks`: later read marks by user id, see `readMarks`. */
  async load(marks) {
    const id = this.#message.conversation_id;
    const { items, next } = await this.#api.participants(id, { after: this.#next, limit: PAGE_SIZE });
    this.#participants.push(...items.filter(({ user }) => user.id !== this.#message.sender_id));
    this.checked += items.length;
    this.#next = next;
    this.hasMore = next !== null;
    this.update(marks);
  }

  /** Take later read marks: events tell of them in a group of at most 100. */
  update(marks) {
    const { seq } = this.#message;
    this.items = this.#participants
      .filter(({ user, last_read_seq }) => Math.max(last_read_seq, marks[user.id] ?? 0) >= seq)
      .map(({ user }) => user);
  }
}
