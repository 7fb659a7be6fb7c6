/** Finds whom a message in a group can mention: everyone, and participants by their names. */

import { t } from "./i18n.js";
import { matchesWords } from "./text.js";

const PAGE_SIZE = 100;
/** Pages of participants that a search reads. Of a larger group, it finds those who joined first. */
const MAX_PAGES = 10;
/** What stands for everyone, and in groups of at most how many: the server's limit. */
const EVERYONE = "all";
const MAX_EVERYONE = 100;

export class GroupMentions {
  #api;
  #myId;
  #getDetails;
  /** What is loaded is of these details. */
  #details = null;
  #profiles = [];
  #pages = 0;
  #next = null;
  #loading = null;

  /** `getDetails()` returns the details of the conversation. */
  constructor(api, myId, getDetails) {
    this.#api = api;
    this.#myId = myId;
    this.#getDetails = getDetails;
  }

  /**
   * Return the profiles of up to `max` others that `query` matches, in order of joining; first, with `isEveryone`, what
   * stands for all. Loads pages of participants until there are as many.
   */
  async find(query, max) {
    if (this.#details !== this.#getDetails()) this.#reset();
    for (;;) {
      const found = [...this.#everyone(), ...this.#profiles].filter(({ username, display_name: name }) =>
        matchesWords(`${name} ${username}`, query),
      );
      if (found.length >= max || !this.#hasMore) return found.slice(0, max);
      this.#loading ??= this.#loadNext();
      await this.#loading;
    }
  }

  get #hasMore() {
    return this.#pages === 0 || (this.#next !== null && this.#pages < MAX_PAGES);
  }

  #everyone() {
    const { id, participant_count: count } = this.#details;
    if (count > MAX_EVERYONE) return [];
    return [{ id, username: EVERYONE, display_name: t("mentions.everyone"), isEveryone: true }];
  }

  #reset() {
    this.#details = this.#getDetails();
    this.#profiles = [];
    this.#pages = 0;
    this.#next = null;
    this.#loading = null;
  }

  async #loadNext() {
    const details = this.#details;
    try {
      const { items, next } = await this.#api.participants(details.id, { after: this.#next, limit: PAGE_SIZE });
      // The group has changed meanwhile.
      if (details !== this.#details) return;
      const others = items.map(({ user }) => user).filter(({ id }) => id !== this.#myId);
      this.#profiles.push(...others);
      this.#pages += 1;
      this.#next = next;
    } finally {
      if (details === this.#details) this.#loading = null;
    }
  }
}
