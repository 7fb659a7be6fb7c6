/** The state that views render. */

import {
  PAGE_SIZE,
  reduceChat,
  withDetails,
  withHistory,
  withOpen,
  withoutExpiredTyping,
  withoutPending,
} from "./chat-state.js";
import { Emitter } from "./emitter.js";
import { LoaError } from "./errors.js";
import { belongsTo, EMPTY, reduceNotifications, withPage, withRead } from "./notification-state.js";

/**
 * @typedef {import("./types.js").State} State
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").StreamEvent} StreamEvent
 */

/** Conversations, or notifications, per page of their list. */
const LIST_PAGE_SIZE = 30;
/** Seconds before a failed request is retried, if the server names no delay. */
const RETRY_DELAY = 5;

/** @type {State} */
const INITIAL = {
  userId: null,
  chat: { status: "idle", retryAt: null, code: null },
  stream: { status: "idle", retryAt: null, code: null },
  conversations: {},
  conversationIds: [],
  conversationsLoaded: false,
  hasMoreConversations: false,
  presence: {},
  people: {},
  notifications: EMPTY,
  announcement: null,
};

/**
 * Reduces the events of the chat socket and the notification stream to one state, and fetches over REST what the events
 * do not carry.
 *
 * States are immutable, so views can compare them by identity. `subscribe` and `getSnapshot` have the signatures that
 * React's `useSyncExternalStore` expects. Subscribers are called once for all changes of one task (in a microtask).
 */
export class Store {
  /** @type {Emitter<State>} */
  #emitter = new Emitter();
  #state = INITIAL;
  #emitScheduled = false;
  #socket;
  #stream;
  #api;
  #unsubscribers;
  /** Running requests, by what they fetch. @type {Map<string, Promise<void>>} */
  #inflight = new Map();
  /** Aborted when the user changes, because the results belong to the previous user. */
  #abort = new AbortController();
  /** The cursor of the next page of conversations. @type {string | null} */
  #nextCursor = null;
  /**
   * Conversations whose details were fetched, or set by an event, since the last hello. The response to a request that
   * was sent before may be older and must not overwrite them.
   * @type {Set<string>}
   */
  #fetchedSinceHello = new Set();
  /**
   * The messages that arrive while a page of history is being fetched, for each such request. The page may be older,
   * and messages that are not loaded are not part of the state.
   * @type {Set<import("./types.js").Message[]>}
   */
  #arrivals = new Set();
  /** The number of running requests that mark notifications as read; their own echo needs no reload. */
  #runningMarks = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typingTimer;

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
    this.#unsubscribers = [
      socket.subscribe((event) => this.#onChatEvent(event)),
      stream.subscribe((event) => this.#onStreamEvent(event)),
    ];
    this.#reset(null);
    // Bound because they are passed as callbacks.
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

  /** Reset the state, for example after a sign-out. */
  clear() {
    this.#reset(null);
  }

  /** Unsubscribe from the socket and the stream, and cancel all requests and timers. */
  close() {
    for (const unsubscribe of this.#unsubscribers) unsubscribe();
    this.#abort.abort();
    clearTimeout(this.#typingTimer);
  }

  /**
   * Fetch the list of conversations of the signed-in user while the socket connects: on a slow line, they see it a round
   * trip earlier. It is fetched again after the hello.
   * @param {string} userId
   */
  prefetch(userId) {
    this.#setUser(userId);
    ignoreRejections(this.#fetchConversations(null));
  }

  // Actions of views.

  /**
   * Call when a conversation is shown: loads its latest messages, and keeps more of them in memory.
   * @param {string} conversationId
   */
  openConversation(conversationId) {
    this.#set(withOpen(this.#state, conversationId, true));
    return this.#loadMissing(conversationId);
  }

  /** Call when a conversation is no longer shown. @param {string} conversationId */
  closeConversation(conversationId) {
    this.#set(withOpen(this.#state, conversationId, false));
  }

  /** Load the page of messages before the loaded ones. @param {string} conversationId */
  loadOlder(conversationId) {
    return this.#fetchOnce(`history:${conversationId}`, async (signal) => {
      const { loadedFrom, hasOlder } = this.#state.conversations[conversationId] ?? {};
      if (!hasOlder || loadedFrom === Infinity) return;
      /** @type {import("./types.js").Message[]} */
      const arrivals = [];
      this.#arrivals.add(arrivals);
      try {
        const { items, next } = await this.#api.messages(conversationId, { before: loadedFrom, limit: PAGE_SIZE });
        if (signal.aborted) return;
        const page = latestVersions(items, arrivals);
        this.#set(withHistory(this.#state, conversationId, page, loadedFrom, next === null));
      } finally {
        this.#arrivals.delete(arrivals);
      }
    });
  }

  /** Load the next page of conversations. */
  loadMoreConversations() {
    return this.#fetchConversations(this.#nextCursor);
  }

  /** Load the page of notifications before the loaded ones. */
  loadOlderNotifications() {
    const { items, hasOlder } = this.#state.notifications;
    return hasOlder ? this.#fetchNotifications(items.at(-1)?.seq) : Promise.resolve();
  }

  /** Mark all messages of a conversation as read. @param {string} conversationId */
  markRead(conversationId) {
    const { userId, conversations } = this.#state;
    const { lastSeq, unreadCount } = conversations[conversationId] ?? {};
    if (!userId || !unreadCount) return;
    const data = { user_id: userId, seq: lastSeq };
    this.#set(reduceChat(this.#state, { type: "read", conversation_id: conversationId, data }));
    this.#socket.markRead(conversationId, lastSeq);
  }

  /** @param {string} notificationId */
  markNotificationRead(notificationId) {
    return this.#markNotifications(
      () => this.#api.readNotification(notificationId),
      ({ data }) => data.notification_id === notificationId,
    );
  }

  /** Mark all notifications as read. */
  async markNotificationsRead() {
    const last = this.#state.notifications.seq;
    if (last) await this.#markNotifications(() => this.#api.readNotifications(last), ({ seq }) => seq <= last);
  }

  /** Mark a group of notifications as read, as far as it was loaded. @param {import("./types.js").NotificationGroup} group */
  markGroupRead(group) {
    return this.#markNotifications(
      () => this.#api.readGroup(group.key, group.seq),
      (notification) => belongsTo(notification, group),
    );
  }

  /** Mark all notifications about a post as read. @param {string} postId */
  markPostRead(postId) {
    const last = this.#state.notifications.seq;
    return this.#markNotifications(
      () => this.#api.readPost(postId),
      ({ seq, data }) => seq <= last && "post_id" in data && data.post_id === postId,
    );
  }

  /**
   * Remove a pending message that has failed.
   * @param {string} conversationId
   * @param {string} nonce
   */
  dismiss(conversationId, nonce) {
    this.#socket.dismiss(nonce);
    this.#set(withoutPending(this.#state, conversationId, nonce));
  }

  /**
   * Remove a pending edit or deletion that has failed.
   * @param {string} conversationId
   * @param {string} messageId
   */
  dismissChange(conversationId, messageId) {
    this.#socket.dismissChange(conversationId, messageId);
  }

  // Events.

  /** Keep the state if it is of no user yet, or of this one. @param {string} userId */
  #setUser(userId) {
    if (this.#state.userId === userId) return;
    if (this.#state.userId) this.#reset(userId);
    else this.#set({ ...this.#state, userId });
  }

  /** @param {string | null} userId */
  #reset(userId) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#inflight.clear();
    this.#fetchedSinceHello = new Set();
    this.#nextCursor = null;
    const { connectionState: chat } = this.#socket;
    const { connectionState: stream } = this.#stream;
    this.#set({ ...INITIAL, userId, chat, stream });
    for (const data of this.#socket.pending) {
      this.#set(reduceChat(this.#state, { type: "pending", conversation_id: data.conversation_id, data }));
    }
    const changes = this.#socket.pendingChanges;
    for (const id of new Set(changes.map(({ conversation_id }) => conversation_id))) {
      const data = changes.filter(({ conversation_id }) => conversation_id === id);
      this.#set(reduceChat(this.#state, { type: "changes", conversation_id: id, data }));
    }
  }

  /** @param {ChatEvent} event */
  #onChatEvent(event) {
    if (event.type === "hello") this.#setUser(event.user_id);
    if (event.type === "new_message" || event.type === "message_updated") {
      for (const arrivals of this.#arrivals) arrivals.push(event.data);
    }
    this.#set(reduceChat(this.#state, event));
    switch (event.type) {
      case "hello":
      case "reset":
        this.#fetchedSinceHello = new Set();
        this.#inflight.clear();
        return ignoreRejections(this.#refresh());
      case "conversation_updated": {
        const id = event.conversation_id;
        if (!this.#state.conversations[id]?.details) return ignoreRejections(this.#fetchNewDetails(id));
        return void this.#fetchedSinceHello.add(id);
      }
      case "conversation_removed":
        return void this.#fetchedSinceHello.add(event.conversation_id);
      case "typing":
        return this.#scheduleTypingExpiry();
      case "new_message":
      case "message_updated":
      case "pending": {
        const id = event.conversation_id;
        if (!this.#state.conversations[id]?.details) ignoreRejections(this.#loadMissing(id));
      }
    }
  }

  /** @param {StreamEvent} event */
  #onStreamEvent(event) {
    if (event.type === "status") return this.#set({ ...this.#state, stream: event.data });
    const before = this.#state.notifications;
    const notifications = reduceNotifications(before, event);
    this.#set({ ...this.#state, notifications });
    const readElsewhere =
      notifications.readCount > before.readCount && notifications.unreadCount && !this.#runningMarks;
    if (event.type === "hello" || event.type === "reset" || readElsewhere) ignoreRejections(this.#fetchNotifications());
  }

  /** Reload the details after a reconnect: titles and participants may have changed, which `sync` does not report. */
  async #refresh() {
    await this.#fetchConversations(null);
    for (const { id, details, isOpen } of Object.values(this.#state.conversations)) {
      if (isOpen || !details) ignoreRejections(this.#loadMissing(id));
    }
  }

  #scheduleTypingExpiry() {
    clearTimeout(this.#typingTimer);
    const expiries = Object.values(this.#state.conversations).flatMap(({ typing }) => Object.values(typing));
    if (!expiries.length) return;
    this.#typingTimer = setTimeout(() => {
      this.#set(withoutExpiredTyping(this.#state, Date.now()));
      this.#scheduleTypingExpiry();
    }, Math.min(...expiries) - Date.now());
  }

  // Requests.

  /**
   * Load the details of a conversation unless they are current, and a page of messages if it is open. Resolves once both
   * are part of the state.
   * @param {string} id
   */
  async #loadMissing(id) {
    const { signal } = this.#abort;
    // After a hello in the meantime, a response is discarded: it may be older than the connection.
    while (!this.#fetchedSinceHello.has(id) && !signal.aborted) await this.#fetchDetails(id);
    const { isOpen, messages } = this.#state.conversations[id] ?? {};
    if (isOpen && messages.length < PAGE_SIZE) await this.loadOlder(id);
  }

  /** @param {string | null} before */
  #fetchConversations(before) {
    return this.#fetchOnce(`conversations:${before}`, async (signal) => {
      const fetchedSinceHello = this.#fetchedSinceHello;
      const { items, next } = await this.#api.conversations({ limit: LIST_PAGE_SIZE, before });
      const isCurrent = fetchedSinceHello === this.#fetchedSinceHello;
      // Until the list is fetched that was requested after the hello, an older one is better than none.
      if (signal.aborted || (!isCurrent && this.#state.conversationsLoaded)) return;
      this.#nextCursor = next;
      const state = items.reduce((reduced, details) => this.#withFetchedDetails(reduced, details, isCurrent), this.#state);
      this.#set({ ...state, conversationsLoaded: true, hasMoreConversations: next !== null });
    });
  }

  /** @param {string} id */
  #fetchDetails(id) {
    return this.#fetchOnce(`details:${id}`, async () => {
      const fetchedSinceHello = this.#fetchedSinceHello;
      const details = await this.#api.conversation(id);
      if (fetchedSinceHello === this.#fetchedSinceHello) this.#set(this.#withFetchedDetails(this.#state, details));
    });
  }

  /**
   * Fetch the details of a conversation that an event announced without them. What is being fetched may be older.
   * @param {string} id
   */
  async #fetchNewDetails(id) {
    await this.#inflight.get(`details:${id}`)?.catch(() => {});
    this.#fetchedSinceHello.delete(id);
    await this.#fetchDetails(id);
  }

  /**
   * @param {State} state
   * @param {import("./types.js").Conversation} details
   * @param {boolean} [isCurrent] whether they were requested after the last hello
   */
  #withFetchedDetails(state, details, isCurrent = true) {
    if (this.#fetchedSinceHello.has(details.id)) return state;
    if (isCurrent) this.#fetchedSinceHello.add(details.id);
    this.#socket.setBaseline(details);
    return withDetails(state, details);
  }

  /** @param {number} [before] */
  #fetchNotifications(before) {
    return this.#fetchOnce(`notifications:${before}`, async (signal) => {
      const page = await this.#api.notifications({ limit: LIST_PAGE_SIZE, before });
      if (!signal.aborted) this.#set({ ...this.#state, notifications: withPage(this.#state.notifications, page, before) });
    });
  }

  /**
   * @param {() => Promise<unknown>} request
   * @param {(notification: import("./types.js").Notification) => boolean} matches
   */
  async #markNotifications(request, matches) {
    this.#runningMarks++;
    try {
      await request();
      this.#set({ ...this.#state, notifications: withRead(this.#state.notifications, matches) });
    } finally {
      this.#runningMarks--;
    }
  }

  /**
   * Run `task`, with retries, unless the same is being fetched already; then return the running promise. Rejects with
   * an error that is not retryable.
   * @param {string} key
   * @param {(signal: AbortSignal) => Promise<void>} task must discard its result if `signal` is aborted
   * @returns {Promise<void>}
   */
  #fetchOnce(key, task) {
    const running = this.#inflight.get(key);
    if (running) return running;
    const promise = this.#retry(task).finally(() => {
      if (this.#inflight.get(key) === promise) this.#inflight.delete(key);
    });
    this.#inflight.set(key, promise);
    return promise;
  }

  /** @param {(signal: AbortSignal) => Promise<void>} task */
  async #retry(task) {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        return await task(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof LoaError && error.retryable)) throw error;
        await sleep((error.retryAfter ?? RETRY_DELAY) * 1000 * (1 + Math.random()), signal);
      }
    }
  }

  /** @param {State} state */
  #set(state) {
    const before = this.#state;
    if (state === before) return;
    const reorder = state.conversations !== before.conversations;
    this.#state = reorder ? { ...state, conversationIds: sortedIds(state, before.conversationIds) } : state;
    if (this.#emitScheduled) return;
    this.#emitScheduled = true;
    queueMicrotask(() => {
      this.#emitScheduled = false;
      this.#emitter.emit(this.#state);
    });
  }
}

/**
 * Return the ids of the conversations whose details are known, latest activity first; `before` itself if it is equal.
 * @param {State} state
 * @param {string[]} before
 */
function sortedIds({ conversations }, before) {
  const listed = Object.values(conversations).flatMap(({ id, details, lastMessage }) => {
    if (!details) return [];
    const sentAt = lastMessage?.created_at ?? "";
    return [{ id, at: sentAt > details.last_activity_at ? sentAt : details.last_activity_at }];
  });
  const ids = listed.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0)).map(({ id }) => id);
  return ids.length === before.length && ids.every((id, index) => id === before[index]) ? before : ids;
}

/**
 * Return the page with those messages replaced of which a later version has arrived.
 * @param {import("./types.js").Message[]} page
 * @param {import("./types.js").Message[]} arrivals
 */
function latestVersions(page, arrivals) {
  return page.map((message) =>
    arrivals.reduce((latest, other) => (other.id === latest.id && other.rev > latest.rev ? other : latest), message),
  );
}

/**
 * Ignore the server's errors in a background request: if the user has left a conversation, for example, there is
 * nothing to show.
 * @param {Promise<void>} promise
 */
function ignoreRejections(promise) {
  promise.catch((error) => {
    if (!(error instanceof LoaError)) throw error;
  });
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal ends the sleep early
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    signal.addEventListener("abort", wake);
  });
}
