/** Everything a view renders, kept current. */

import { foldChat, PAGE, withDetails, withHistory, withOpened, withoutIdle, withoutPending } from "./chat-state.js";
import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { EMPTY, foldNotifications, withPage, withRead } from "./notification-state.js";

/**
 * @typedef {import("./types.js").State} State
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").StreamEvent} StreamEvent
 */

/** Conversations, or notifications, in a page of their list. */
const LIST = 30;
/** Seconds between two tries to fetch what could not be had, where the server has not said. */
const PATIENCE = 5;

/** @type {State} */
const INITIAL = {
  userId: null,
  chat: { status: "idle", retryAt: null, code: null },
  stream: { status: "idle", retryAt: null, code: null },
  conversations: {},
  conversationIds: [],
  hasMoreConversations: false,
  presence: {},
  people: {},
  notifications: EMPTY,
  announcement: null,
};

/**
 * Folds the chat socket and the notification stream into one state, and fetches what they do not carry.
 *
 * Each state is a new object that never changes, so views compare by identity; `subscribe` and `getSnapshot` are what
 * React's `useSyncExternalStore` takes. Subscribers are told once for all that changes together.
 */
export class Store {
  /** @type {Emitter<State>} */
  #emitter = new Emitter();
  #state = INITIAL;
  #telling = false;
  #socket;
  #stream;
  #api;
  #leaves;
  /** What is being fetched, by what it is. @type {Map<string, Promise<void>>} */
  #fetching = new Map();
  /** Cut short when the person changes: what is fetched is no longer theirs. */
  #sitting = new AbortController();
  /** The cursor of the next page of conversations. @type {string | null} */
  #next = null;
  /**
   * Conversations told of since the last hello. What was fetched meanwhile knows less of them than the event did.
   * @type {Set<string>}
   */
  #current = new Set();
  /** One's own marks under way, whose echo is no news. */
  #marking = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;

  /**
   * @param {{
   *   socket: import("./chat-socket.js").ChatSocket,
   *   stream: import("./notification-stream.js").NotificationStream,
   *   api: import("./api.js").Api,
   * }} sources
   */
  constructor({ socket, stream, api }) {
    this.#socket = socket;
    this.#stream = stream;
    this.#api = api;
    this.#leaves = [
      socket.subscribe((event) => this.#hearChat(event)),
      stream.subscribe((event) => this.#hearStream(event)),
    ];
    this.#begin(null);
    // They are handed on as functions.
    this.subscribe = this.subscribe.bind(this);
    this.getSnapshot = this.getSnapshot.bind(this);
  }

  getSnapshot() {
    return this.#state;
  }

  /**
   * @param {(state: State) => void} handler
   * @returns {() => void} unsubscribes
   */
  subscribe(handler) {
    return this.#emitter.subscribe(handler);
  }

  /** Forget everything: nobody is signed in any longer. */
  clear() {
    this.#begin(null);
  }

  /** Hear no more of the socket and the stream. */
  close() {
    for (const leave of this.#leaves) leave();
    this.#sitting.abort();
    clearTimeout(this.#typing);
  }

  // What a view asks for.

  /**
   * The conversation is on the screen: load its latest messages and hold on to them.
   * @param {string} conversationId
   */
  openConversation(conversationId) {
    this.#set(withOpened(this.#state, conversationId, true));
    return this.#complete(conversationId);
  }

  /** It is no longer. @param {string} conversationId */
  closeConversation(conversationId) {
    this.#set(withOpened(this.#state, conversationId, false));
  }

  /** The page of messages before those held. @param {string} conversationId */
  loadOlder(conversationId) {
    return this.#fetch(`history:${conversationId}`, async (signal) => {
      const { from, hasOlder } = this.#state.conversations[conversationId] ?? {};
      if (!hasOlder || from === Infinity) return;
      const { items } = await this.#api.messages(conversationId, { before: from, limit: PAGE });
      if (!signal.aborted) this.#set(withHistory(this.#state, conversationId, items, from));
    });
  }

  /** The next page of conversations. */
  loadMoreConversations() {
    return this.#fetchConversations(this.#next);
  }

  /** The page of notifications before those held. */
  loadOlderNotifications() {
    const { items, hasOlder } = this.#state.notifications;
    return hasOlder ? this.#fetchNotifications(items.at(-1)?.seq) : Promise.resolve();
  }

  /** All messages of the conversation have been read. @param {string} conversationId */
  markRead(conversationId) {
    const { userId, conversations } = this.#state;
    const { lastSeq, unreadCount } = conversations[conversationId] ?? {};
    if (!userId || !unreadCount) return;
    const data = { user_id: userId, seq: lastSeq };
    this.#set(foldChat(this.#state, { type: "read", conversation_id: conversationId, data }));
    this.#socket.markRead(conversationId, lastSeq);
  }

  /** @param {string} notificationId */
  markNotificationRead(notificationId) {
    return this.#mark(
      () => this.#api.readNotification(notificationId),
      ({ data }) => data.notification_id === notificationId,
    );
  }

  /** All that there are. */
  async markNotificationsRead() {
    const last = this.#state.notifications.seq;
    if (last) await this.#mark(() => this.#api.readNotifications(last), ({ seq }) => seq <= last);
  }

  /**
   * Take a message that has failed off the list.
   * @param {string} conversationId
   * @param {string} nonce
   */
  dismiss(conversationId, nonce) {
    this.#set(withoutPending(this.#state, conversationId, nonce));
  }

  // What happens.

  /** @param {string | null} userId */
  #begin(userId) {
    this.#sitting.abort();
    this.#sitting = new AbortController();
    this.#fetching.clear();
    this.#current = new Set();
    this.#next = null;
    this.#set({ ...INITIAL, userId, chat: this.#socket.connectionState, stream: this.#stream.connectionState });
    for (const data of this.#socket.pending) {
      this.#set(foldChat(this.#state, { type: "pending", conversation_id: data.conversation_id, data }));
    }
  }

  /** @param {ChatEvent} event */
  #hearChat(event) {
    if (event.type === "hello" && event.user_id !== this.#state.userId) {
      if (this.#state.userId) this.#begin(event.user_id);
      else this.#set({ ...this.#state, userId: event.user_id });
    }
    this.#set(foldChat(this.#state, event));
    switch (event.type) {
      case "hello":
      case "reset":
        this.#current = new Set();
        this.#fetching.clear();
        return quietly(this.#refresh());
      case "conversation_updated":
      case "conversation_removed":
        return void this.#current.add(event.conversation_id);
      case "typing":
        return this.#expectIdle();
      case "new_message":
      case "message_updated":
      case "pending":
        if (!this.#state.conversations[event.conversation_id]?.details) quietly(this.#complete(event.conversation_id));
    }
  }

  /** @param {StreamEvent} event */
  #hearStream(event) {
    if (event.type === "status") return this.#set({ ...this.#state, stream: event.data });
    const before = this.#state.notifications;
    const notifications = foldNotifications(before, event);
    this.#set({ ...this.#state, notifications });
    const readElsewhere = notifications.readCount > before.readCount && notifications.unreadCount && !this.#marking;
    if (event.type === "hello" || event.type === "reset" || readElsewhere) quietly(this.#fetchNotifications());
  }

  /** After a break: names and participants may have changed, which no sync tells. */
  async #refresh() {
    await this.#fetchConversations(null);
    for (const { id, details, opened } of Object.values(this.#state.conversations)) {
      if (opened || !details) quietly(this.#complete(id));
    }
  }

  #expectIdle() {
    clearTimeout(this.#typing);
    const ends = Object.values(this.#state.conversations).flatMap(({ typing }) => Object.values(typing));
    if (!ends.length) return;
    this.#typing = setTimeout(() => {
      this.#set(withoutIdle(this.#state, Date.now()));
      this.#expectIdle();
    }, Math.min(...ends) - Date.now());
  }

  // What has to be fetched.

  /**
   * What a view of the conversation needs: its details, and if it is on the screen a page of messages.
   * @param {string} id
   */
  async #complete(id) {
    if (!this.#current.has(id)) await this.#fetchDetails(id);
    const { opened, messages } = this.#state.conversations[id] ?? {};
    if (opened && messages.length < PAGE) await this.loadOlder(id);
  }

  /** @param {string | null} before */
  #fetchConversations(before) {
    return this.#fetch(`conversations:${before}`, async () => {
      const current = this.#current;
      const { items, next } = await this.#api.conversations({ limit: LIST, before });
      if (current !== this.#current) return;
      this.#next = next;
      const state = items.reduce((known, details) => this.#withDetails(known, details), this.#state);
      this.#set({ ...state, hasMoreConversations: next !== null });
    });
  }

  /** @param {string} id */
  #fetchDetails(id) {
    return this.#fetch(`details:${id}`, async () => {
      const current = this.#current;
      const details = await this.#api.conversation(id);
      if (current === this.#current) this.#set(this.#withDetails(this.#state, details));
    });
  }

  /**
   * @param {State} state
   * @param {import("./types.js").Conversation} details
   */
  #withDetails(state, details) {
    if (this.#current.has(details.id)) return state;
    this.#current.add(details.id);
    this.#socket.setBaseline(details);
    return withDetails(state, details);
  }

  /** @param {number} [before] */
  #fetchNotifications(before) {
    return this.#fetch(`notifications:${before}`, async (signal) => {
      const page = await this.#api.notifications({ limit: LIST, before });
      if (!signal.aborted) this.#set({ ...this.#state, notifications: withPage(this.#state.notifications, page) });
    });
  }

  /**
   * @param {() => Promise<unknown>} mark
   * @param {(notification: import("./types.js").Notification) => boolean} which
   */
  async #mark(mark, which) {
    this.#marking++;
    try {
      await mark();
      this.#set({ ...this.#state, notifications: withRead(this.#state.notifications, which) });
    } finally {
      this.#marking--;
    }
  }

  /**
   * Fetch something, once however often it is asked for meanwhile, and patiently. Rejects with what will not pass.
   * @param {string} what
   * @param {(signal: AbortSignal) => Promise<void>} task nobody wants its result once `signal` is aborted
   * @returns {Promise<void>}
   */
  #fetch(what, task) {
    const underWay = this.#fetching.get(what);
    if (underWay) return underWay;
    const fetching = this.#patiently(task).finally(() => {
      if (this.#fetching.get(what) === fetching) this.#fetching.delete(what);
    });
    this.#fetching.set(what, fetching);
    return fetching;
  }

  /** @param {(signal: AbortSignal) => Promise<void>} task */
  async #patiently(task) {
    const { signal } = this.#sitting;
    while (!signal.aborted) {
      try {
        return await task(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof LoaError && error.retryable)) throw error;
        await sleep((error.retryAfter ?? PATIENCE) * 1000 * (1 + Math.random()), signal);
      }
    }
  }

  /** @param {State} state */
  #set(state) {
    const before = this.#state;
    if (state === before) return;
    const moved = state.conversations !== before.conversations;
    this.#state = moved ? { ...state, conversationIds: ordered(state, before.conversationIds) } : state;
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      this.#emitter.emit(this.#state);
    });
  }
}

/**
 * The ids of the conversations whose details are known, latest activity first; `before` itself where it still holds.
 * @param {State} state
 * @param {string[]} before
 */
function ordered({ conversations }, before) {
  const known = Object.values(conversations).flatMap(({ id, details, lastMessage }) => {
    if (!details) return [];
    const said = lastMessage?.created_at ?? "";
    return [{ id, at: said > details.last_activity_at ? said : details.last_activity_at }];
  });
  const ids = known.sort((one, other) => (one.at < other.at ? 1 : one.at > other.at ? -1 : 0)).map(({ id }) => id);
  return ids.length === before.length && ids.every((id, place) => id === before[place]) ? before : ids;
}

/** What the server refuses, as a conversation one has left, is simply not there. @param {Promise<void>} fetching */
function quietly(fetching) {
  fetching.catch((error) => {
    if (!(error instanceof LoaError)) throw error;
  });
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal ends it early
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
  });
}
