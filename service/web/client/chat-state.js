/**
 * The reducer of the chat state.
 *
 * All lasting state is merged so that the order and repetition of events do not matter: of two versions of a message
 * the one with the larger `rev` wins; read marks and sequence numbers only increase. Clients that received the same
 * events, in whatever order, therefore end in the same state.
 */

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Conversation} Conversation
 * @typedef {import("./types.js").AnnouncedConversation} AnnouncedConversation
 * @typedef {import("./types.js").ConversationState} ConversationState
 * @typedef {import("./types.js").PendingMessage} PendingMessage
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").State} State
 */

/** Messages per page of history, and the messages kept of a conversation that is not open. */
export const PAGE_SIZE = 50;
/** Messages kept of an open conversation. Older ones are loaded again when the user scrolls back to them. */
const MAX_MESSAGES = 2000;
/** Of a conversation of which nothing else is known. */
const NO_SETTINGS = { muted_until: null, archived: false, mention_count: 0 };

/**
 * Return the state after `event`.
 * @param {State} state
 * @param {ChatEvent} event
 * @returns {State}
 */
export function reduceChat(state, event) {
  switch (event.type) {
    case "status":
      return { ...state, chat: event.data };
    case "hello":
      return event.conversations
        .filter(({ conversation_id }) => conversation_id in state.conversations)
        .reduce((reduced, { conversation_id, last_seq, last_read_seq }) => {
          const update = (/** @type {ConversationState} */ conversation) =>
            withReadMark(withLastSeq(conversation, last_seq), event.user_id, last_read_seq);
          return updateConversation(reduced, conversation_id, update);
        }, state);
    case "new_message":
    case "message_updated":
      return updateConversation(state, event.conversation_id, (conversation) =>
        withMessage(conversation, event.data, state.userId, event.type),
      );
    case "sent":
      return updateConversation(state, event.conversation_id, (conversation) =>
        withMessage(conversation, event.data, state.userId),
      );
    case "pending":
      return updateConversation(state, event.conversation_id, (conversation) => {
        return { ...conversation, pending: [...pendingExcept(conversation, event.data), event.data] };
      });
    case "failed": {
      const { nonce, error } = event.data;
      return updateConversation(state, event.conversation_id, (conversation) => {
        const pending = conversation.pending.map((message) => {
          return message.nonce === nonce ? { ...message, error } : message;
        });
        return { ...conversation, pending };
      });
    }
    case "changes": {
      const changes = Object.fromEntries(event.data.map((change) => [change.message_id, change]));
      return updateConversation(state, event.conversation_id, (conversation) => ({ ...conversation, changes }));
    }
    case "read":
      return updateConversation(state, event.conversation_id, (conversation) =>
        withReadMark(conversation, event.data.user_id, event.data.seq),
      );
    case "typing": {
      const { user_id, expires_in } = event.data;
      const until = Date.now() + expires_in * 1000;
      return updateConversation(state, event.conversation_id, (conversation) => {
        const { [user_id]: _, ...others } = conversation.typing;
        return { ...conversation, typing: expires_in > 0 ? { ...others, [user_id]: until } : others };
      });
    }
    case "presence": {
      const { user_id, online, last_seen } = event.data;
      return { ...state, presence: { ...state.presence, [user_id]: { online, last_seen } } };
    }
    case "history_cleared":
      return withoutHistory(state, event.conversation_id, event.data.seq);
    case "conversation_updated":
      return withAnnounced(state, event.data);
    case "conversation_removed": {
      const { [event.conversation_id]: _, ...conversations } = state.conversations;
      return { ...state, conversations };
    }
    case "announcement":
      return { ...state, announcement: event.data.message };
    default:
      return state;
  }
}

/**
 * Set the details of a conversation.
 * @param {State} state
 * @param {Conversation} details
 * @returns {State}
 */
export function withDetails(state, details) {
  const profiles = Object.fromEntries(details.participants.map((profile) => [profile.id, profile]));
  const withPeople = { ...state, people: { ...state.people, ...profiles } };
  return updateConversation(withPeople, details.id, (conversation) => {
    // Later messages are kept from now on; earlier ones are history, which is loaded on demand.
    const loadedFrom = conversation.loadedFrom === Infinity ? details.last_seq + 1 : conversation.loadedFrom;
    const lastMessage = details.last_message
      ? latest(conversation.lastMessage, details.last_message)
      : conversation.lastMessage;
    const updated = { ...withLastSeq(conversation, details.last_seq), details, loadedFrom, lastMessage };
    const read = withReadMark(updated, state.userId, details.last_read_seq);
    return withUncountedOf(Object.entries(details.read_marks ?? {}).reduce(withReadMarkEntry, read), details);
  });
}

/**
 * Set the details of a conversation to those of an event. If it does not tell the user's read mark and unread count, they
 * are kept, with the numbers of the moment that they belong to; without any, the details remain unknown.
 * @param {State} state
 * @param {AnnouncedConversation} announced
 * @returns {State}
 */
function withAnnounced(state, announced) {
  const { last_read_seq, unread_count } = announced;
  const known = state.conversations[announced.id]?.details;
  const { muted_until, archived, mention_count } = announced.archived === null ? (known ?? NO_SETTINGS) : announced;
  const settings = { muted_until, archived: archived ?? false, mention_count: mention_count ?? 0 };
  if (last_read_seq !== null && unread_count !== null) {
    return withDetails(state, { ...announced, ...settings, last_read_seq, unread_count });
  }
  if (!known) return state;
  const { last_seq, last_rev } = known;
  const own = { last_seq, last_rev, last_read_seq: known.last_read_seq, unread_count: known.unread_count };
  return updateConversation(withDetails(state, { ...announced, ...settings, ...own }), announced.id, (conversation) =>
    withLastSeq(conversation, announced.last_seq),
  );
}

/**
 * Remove the messages up to `seq`, which the user has deleted for themselves.
 * @param {State} state
 * @param {string} id
 * @param {number} seq
 * @returns {State}
 */
function withoutHistory(state, id, seq) {
  if (!(id in state.conversations)) return state;
  return updateConversation(state, id, (conversation) => {
    const kept = (/** @type {Message | null} */ message) => (message && message.seq > seq ? message : null);
    const { details, lastMessage } = conversation;
    const cleared = {
      ...conversation,
      messages: conversation.messages.filter(kept),
      // What is before is not there any more.
      loadedFrom: 1,
      lastMessage: kept(lastMessage),
      details: details && { ...details, last_message: kept(details.last_message) },
    };
    return withReadMark(cleared, state.userId, seq);
  });
}

/**
 * Add a page of history.
 * @param {State} state
 * @param {string} id
 * @param {Message[]} messages ascending
 * @param {number} before the page contains the messages up to this seq, exclusive
 * @param {boolean} [isFirst] whether the user's history begins with this page, maybe long after seq 1
 * @returns {State}
 */
export function withHistory(state, id, messages, before, isFirst = false) {
  return updateConversation(state, id, (conversation) => {
    // The oldest messages were dropped while the page was loading: it would leave a gap.
    if (before < conversation.loadedFrom) return conversation;
    const first = messages.length && !isFirst ? messages[0].seq : 1;
    const extended = { ...conversation, loadedFrom: Math.min(conversation.loadedFrom, first) };
    return messages.reduce((merged, message) => withMessage(merged, message, null), extended);
  });
}

/**
 * Mark a conversation as open (shown on the screen) or closed.
 * @param {State} state
 * @param {string} id
 * @param {boolean} isOpen
 */
export function withOpen(state, id, isOpen) {
  return updateConversation(state, id, (conversation) => {
    return isOpen ? { ...conversation, isOpen } : trimmed({ ...conversation, isOpen });
  });
}

/**
 * Remove a pending message that has failed.
 * @param {State} state
 * @param {string} id
 * @param {string} nonce
 */
export function withoutPending(state, id, nonce) {
  return updateConversation(state, id, (conversation) => {
    return { ...conversation, pending: conversation.pending.filter((message) => message.nonce !== nonce) };
  });
}

/** Remove the typing indicators that have expired at `now`. @param {State} state @param {number} now */
export function withoutExpiredTyping(state, now) {
  return Object.values(state.conversations).reduce((reduced, { id, typing }) => {
    const active = Object.entries(typing).filter(([, until]) => until > now);
    if (active.length === Object.keys(typing).length) return reduced;
    return updateConversation(reduced, id, (conversation) => ({ ...conversation, typing: Object.fromEntries(active) }));
  }, state);
}

/**
 * @param {State} state
 * @param {string} id
 * @param {(conversation: ConversationState) => ConversationState} update
 * @returns {State}
 */
function updateConversation(state, id, update) {
  const before = state.conversations[id] ?? emptyConversation(id);
  const after = update(before);
  if (after === before) return state;
  const lastRead = (state.userId && after.reads[state.userId]) || 0;
  const counted = { ...after, unreadCount: countUnread(after, lastRead), hasOlder: after.loadedFrom > 1 };
  return { ...state, conversations: { ...state.conversations, [id]: counted } };
}

/**
 * @param {string} id
 * @returns {ConversationState}
 */
function emptyConversation(id) {
  return {
    id,
    details: null,
    messages: [],
    loadedFrom: Infinity,
    hasOlder: true,
    pending: [],
    changes: {},
    lastMessage: null,
    lastSeq: 0,
    unreadCount: 0,
    uncounted: { lastRead: 0, rev: 0, count: 0, later: [] },
    reads: {},
    typing: {},
    isOpen: false,
  };
}

/**
 * @param {ConversationState} conversation
 * @param {Message} message
 * @param {string | null} userId of the signed-in user
 * @param {string} [type] of the event that carried the message; absent for history and for the reply to `send_message`
 * @returns {ConversationState}
 */
function withMessage(conversation, message, userId, type) {
  // Messages of a conversation whose details are not known yet are kept from the first new one on.
  const isFirst = conversation.loadedFrom === Infinity && type === "new_message";
  const loadedFrom = isFirst ? message.seq : conversation.loadedFrom;
  const { [message.sender_id]: _, ...typing } = conversation.typing;
  const isSystem = Boolean(message.event);
  const isUncounted = type && (message.deleted || isSystem);
  const updated = {
    // Who writes has read what was before. Who changes the group, maybe not.
    ...withReadMark(withLastSeq(conversation, message.seq), isSystem ? null : message.sender_id, message.seq),
    loadedFrom,
    lastMessage: latest(conversation.lastMessage, message),
    messages: message.seq < loadedFrom ? conversation.messages : inserted(conversation.messages, message),
    pending: message.sender_id === userId ? pendingExcept(conversation, message) : conversation.pending,
    typing: type === "new_message" ? typing : conversation.typing,
    uncounted: isUncounted ? withUncounted(conversation.uncounted, message) : conversation.uncounted,
  };
  return type ? trimmed(updated) : updated;
}

/**
 * @param {Message[]} messages
 * @param {Message} message
 */
function inserted(messages, message) {
  let index = messages.length;
  while (index > 0 && messages[index - 1].seq > message.seq) index--;
  const existing = messages[index - 1];
  if (existing?.seq !== message.seq) return messages.toSpliced(index, 0, message);
  return message.rev > existing.rev ? messages.with(index - 1, message) : messages;
}

/**
 * Return the message with the larger seq; of two versions of the same message, the one with the larger rev.
 * @param {Message | null} current
 * @param {Message} message
 */
function latest(current, message) {
  if (!current || message.seq > current.seq) return message;
  return message.seq === current.seq && message.rev > current.rev ? message : current;
}

/** @param {ConversationState} conversation @param {number} lastSeq */
function withLastSeq(conversation, lastSeq) {
  return lastSeq > conversation.lastSeq ? { ...conversation, lastSeq } : conversation;
}

/** @param {ConversationState} conversation @param {string | null} userId @param {number} seq */
function withReadMark(conversation, userId, seq) {
  if (!userId || seq <= (conversation.reads[userId] ?? 0)) return conversation;
  return { ...conversation, reads: { ...conversation.reads, [userId]: seq } };
}

/** @param {ConversationState} conversation @param {[string, number]} mark */
function withReadMarkEntry(conversation, [userId, seq]) {
  return withReadMark(conversation, userId, seq);
}

/**
 * Take the number of deleted and system messages from the details, unless a later one is known.
 * @param {ConversationState} conversation
 * @param {Conversation} details
 * @returns {ConversationState}
 */
function withUncountedOf(conversation, { last_seq, last_rev, last_read_seq, unread_count }) {
  const { uncounted } = conversation;
  if (last_rev < uncounted.rev) return conversation;
  const count = Math.max(0, last_seq - last_read_seq - unread_count);
  const later = uncounted.later.filter(({ rev }) => rev > last_rev);
  return { ...conversation, uncounted: { lastRead: last_read_seq, rev: last_rev, count, later } };
}

/**
 * @param {import("./types.js").Uncounted} uncounted
 * @param {Message} message deleted, or a system message
 */
function withUncounted(uncounted, { seq, rev }) {
  if (rev <= uncounted.rev || uncounted.later.some((each) => each.seq === seq)) return uncounted;
  return { ...uncounted, later: [...uncounted.later, { seq, rev }] };
}

/**
 * Return how many messages after `lastRead` others have written and not deleted: who writes has read what was before.
 * @param {ConversationState} conversation
 * @param {number} lastRead
 */
function countUnread(conversation, lastRead) {
  const { messages, loadedFrom, lastSeq } = conversation;
  if (loadedFrom > lastRead + 1) return Math.max(0, lastSeq - lastRead - uncountedAfter(conversation, lastRead));
  let count = Math.max(0, lastSeq - Math.max(lastRead, messages.at(-1)?.seq ?? 0));
  for (let index = messages.length - 1; index >= 0 && messages[index].seq > lastRead; index--) {
    if (!messages[index].deleted && !messages[index].event) count++;
  }
  return count;
}

/**
 * Return how many of the messages after `lastRead` are deleted or system messages.
 * @param {ConversationState} conversation
 * @param {number} lastRead
 */
function uncountedAfter({ uncounted }, lastRead) {
  const { count, later } = uncounted;
  // Which messages the count is of is not known: once the user has read on, none of them is unread any more.
  return (lastRead > uncounted.lastRead ? 0 : count) + later.filter(({ seq }) => seq > lastRead).length;
}

/** @param {ConversationState} conversation @param {{nonce: string | null}} message */
function pendingExcept({ pending }, { nonce }) {
  return pending.some((message) => message.nonce === nonce)
    ? pending.filter((message) => message.nonce !== nonce)
    : pending;
}

/** Drop the oldest messages beyond the limit. @param {ConversationState} conversation */
function trimmed(conversation) {
  const limit = conversation.isOpen ? MAX_MESSAGES : PAGE_SIZE;
  const loadedFrom = (conversation.messages.at(-1)?.seq ?? 0) + 1 - limit;
  if (loadedFrom <= conversation.loadedFrom) return conversation;
  return { ...conversation, loadedFrom, messages: conversation.messages.filter(({ seq }) => seq >= loadedFrom) };
}
