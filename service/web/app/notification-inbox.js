/** The loaded groups of notifications, newest first, and which of them the user wants to see. */

const PAGE_SIZE = 20;
/** The largest page that the server returns. */
const MAX_PAGE_SIZE = 100;

export class NotificationInbox {
  /** Whether only unread ones are shown, and of which type: null for all. */
  unreadOnly = false;
  type = null;
  #api;
  #groups = [];
  #nextCursor = null;
  #isLoaded = false;

  constructor(api) {
    this.#api = api;
  }

  get isLoaded() {
    return this.#isLoaded;
  }

  /** The groups that match the filter. */
  get groups() {
    return this.#groups.filter(
      ({ type, unread_count: unread }) => (!this.unreadOnly || unread > 0) && (!this.type || type === this.type),
    );
  }

  /** The types of the loaded groups. */
  get types() {
    return [...new Set(this.#groups.map(({ type }) => type))].sort();
  }

  /** Return whether an older page may have groups that match. `unreadCount`: of all notifications. */
  hasMore(unreadCount) {
    const loaded = this.#groups.reduce((sum, group) => sum + group.unread_count, 0);
    return this.#nextCursor !== null && (!this.unreadOnly || loaded < unreadCount);
  }

  /** Load the newest groups again, as many as are loaded. */
  async refresh() {
    const limit = Math.min(MAX_PAGE_SIZE, Math.max(PAGE_SIZE, this.#groups.length));
    const { items, next } = await this.#api.notificationGroups({ limit });
    this.#groups = items;
    this.#nextCursor = next;
    this.#isLoaded = true;
  }

  async loadMore() {
    const { items, next } = await this.#api.notificationGroups({ limit: PAGE_SIZE, before: this.#nextCursor });
    const known = new Set(this.#groups.map(({ key }) => key));
    this.#groups = [...this.#groups, ...items.filter(({ key }) => !known.has(key))];
    this.#nextCursor = next;
  }

  /** Show the groups for which `matches` returns true as read, ahead of the server's response. */
  showAsRead(matches) {
    this.#groups = this.#groups.map((group) => (matches(group) ? { ...group, unread_count: 0 } : group));
  }
}
