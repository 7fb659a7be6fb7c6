/** The profiles of people whom the store has not met: in a large group, of whoever is not among the first. */

export class Strangers {
  #api;
  #onMet;
  #met = {};
  #asked = new Set();
  #asking = Promise.resolve();
  #people;
  #all;

  /** `onMet()`: there is one more. */
  constructor(api, onMet) {
    this.#api = api;
    this.#onMet = onMet;
  }

  /** `people` and those met here; the same object for as long as nobody is added. */
  with(people) {
    if (people !== this.#people) {
      this.#people = people;
      this.#all = { ...this.#met, ...people };
    }
    return this.#all;
  }

  /** Ask for the senders that are not among `people`: each once, and one after the other. */
  meet(messages, people) {
    for (const { sender_id } of messages) {
      if (sender_id in people || this.#asked.has(sender_id)) continue;
      this.#asked.add(sender_id);
      this.#asking = this.#asking.then(() => this.#ask(sender_id));
    }
  }

  async #ask(id) {
    try {
      this.#met[id] = await this.#api.user(id);
    } catch {
      // They stay "someone" until the conversation is opened again.
      return;
    }
    this.#people = null;
    this.#onMet();
  }
}
