/**
 * How what happens in the chat changes what is known of it.
 *
 * Everything that lasts is merged so that order and repetition do not matter: of a message the form with the larger
 * `rev` wins, read marks and numbers only rise. So whoever was told the same things, in whatever order, knows the same.
 */

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").Conversation} Conversation
 * @typedef {import("./types.js").ConversationState} ConversationState
 * @typedef {import("./types.js").Pending} Pending
 * @typedef {import("./types.js").ChatEvent} ChatEvent
 * @typedef {import("./types.js").State} State
 */

/** Messages in a page of history, and of a conversation that is not on the screen. */
export const PAGE = 50;
/** Messages held of one that is; who scrolls up further loads those that went again. */
const MAX_HELD = 2000;

/**
 * The state after `event`.
 * @param {State} state
 * @param {ChatEvent} event
 * @returns {State}
 */
export function foldChat(state, event) {
  switch (event.type) {
    case "status":
      return { ...state, chat: event.data };
    case "hello":
      return event.conversations.reduce(
        (known, { conversation_id, last_seq, last_read_seq }) =>
          conversation_id in known.conversations
            ? change(known, conversation_id, (it) => marked(stretched(it, last_seq), event.user_id, last_read_seq))
            : known,
        state,
      );
    case "new_message":
    case "message_updated":
      return change(state, event.conversation_id, (it) => withMessage(it, event.data, state.userId, event.type));
    case "sent":
      return change(state, event.conversation_id, (it) => withMessage(it, event.data, state.userId));
    case "pending":
      return change(state, event.conversation_id, (it) => {
        return { ...it, pending: [...without(it, event.data), event.data] };
      });
    case "failed": {
      const { nonce, error } = event.data;
      const fail = (/** @type {Pending} */ one) => (one.nonce === nonce ? { ...one, error } : one);
      return change(state, event.conversation_id, (it) => ({ ...it, pending: it.pending.map(fail) }));
    }
    case "read":
      return change(state, event.conversation_id, (it) => marked(it, event.data.user_id, event.data.seq));
    case "typing": {
      const until = Date.now() + event.data.expires_in * 1000;
      const writing = { [event.data.user_id]: until };
      return change(state, event.conversation_id, (it) => ({ ...it, typing: { ...it.typing, ...writing } }));
    }
    case "presence": {
      const { user_id, online, last_seen } = event.data;
      return { ...state, presence: { ...state.presence, [user_id]: { online, last_seen } } };
    }
    case "conversation_updated":
      return withDetails(state, event.data);
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
 * The state once a conversation is known as `details` say.
 * @param {State} state
 * @param {Conversation} details
 * @returns {State}
 */
export function withDetails(state, details) {
  const met = Object.fromEntries(details.participants.map((profile) => [profile.id, profile]));
  const known = { ...state, people: { ...state.people, ...met } };
  return change(known, details.id, (it) => {
    // What comes from now on is held; what was before is history, to be loaded.
    const from = it.from === Infinity ? details.last_seq + 1 : it.from;
    const last = details.last_message ? later(it.lastMessage, details.last_message) : it.lastMessage;
    const told = { ...stretched(it, details.last_seq), details, from, lastMessage: last };
    return marked(told, state.userId, details.last_read_seq);
  });
}

/**
 * The state with a page of history, `messages` ascending, which ends where `before` begins.
 * @param {State} state
 * @param {string} id
 * @param {Message[]} messages
 * @param {number} before
 * @returns {State}
 */
export function withHistory(state, id, messages, before) {
  return change(state, id, (it) => {
    // Meanwhile the oldest were let go: the page no longer touches what is held.
    if (before < it.from) return it;
    const from = messages.length ? messages[0].seq : 1;
    const longer = { ...it, from: Math.min(it.from, from) };
    return messages.reduce((held, message) => withMessage(held, message, null), longer);
  });
}

/**
 * @param {State} state
 * @param {string} id
 * @param {boolean} opened whether it is on the screen
 */
export function withOpened(state, id, opened) {
  return change(state, id, (it) => (opened ? { ...it, opened } : trimmed({ ...it, opened })));
}

/**
 * @param {State} state
 * @param {string} id
 * @param {string} nonce of a message that has failed
 */
export function withoutPending(state, id, nonce) {
  return change(state, id, (it) => ({ ...it, pending: it.pending.filter((one) => one.nonce !== nonce) }));
}

/** Without those who have stopped typing by now. @param {State} state @param {number} now */
export function withoutIdle(state, now) {
  return Object.values(state.conversations).reduce((known, { id, typing }) => {
    const writing = Object.entries(typing).filter(([, until]) => until > now);
    if (writing.length === Object.keys(typing).length) return known;
    return change(known, id, (it) => ({ ...it, typing: Object.fromEntries(writing) }));
  }, state);
}

/**
 * @param {State} state
 * @param {string} id
 * @param {(conversation: ConversationState) => ConversationState} changed
 * @returns {State}
 */
function change(state, id, changed) {
  const before = state.conversations[id] ?? unknown(id);
  const after = changed(before);
  if (after === before) return state;
  const read = (state.userId && after.reads[state.userId]) || 0;
  const counted = { ...after, unreadCount: Math.max(0, after.lastSeq - read), hasOlder: after.from > 1 };
  return { ...state, conversations: { ...state.conversations, [id]: counted } };
}

/**
 * A conversation of which nothing has been told yet.
 * @param {string} id
 * @returns {ConversationState}
 */
function unknown(id) {
  return {
    id,
    details: null,
    messages: [],
    from: Infinity,
    hasOlder: true,
    pending: [],
    lastMessage: null,
    lastSeq: 0,
    unreadCount: 0,
    reads: {},
    typing: {},
    opened: false,
  };
}

/**
 * @param {ConversationState} it
 * @param {Message} message
 * @param {string | null} me
 * @param {string} [type] of the event that brought it
 * @returns {ConversationState}
 */
function withMessage(it, message, me, type) {
  // Of a conversation that nobody has told us of, what comes new is held.
  const from = it.from === Infinity && type === "new_message" ? message.seq : it.from;
  const { [message.sender_id]: _, ...typing } = it.typing;
  const said = {
    ...marked(stretched(it, message.seq), message.sender_id, message.seq),
    from,
    lastMessage: later(it.lastMessage, message),
    messages: message.seq < from ? it.messages : inserted(it.messages, message),
    pending: message.sender_id === me ? without(it, message) : it.pending,
    typing: type === "new_message" ? typing : it.typing,
  };
  return type ? trimmed(said) : said;
}

/**
 * @param {Message[]} messages
 * @param {Message} message
 */
function inserted(messages, message) {
  let place = messages.length;
  while (place > 0 && messages[place - 1].seq > message.seq) place--;
  const there = messages[place - 1];
  if (there?.seq !== message.seq) return messages.toSpliced(place, 0, message);
  return message.rev > there.rev ? messages.with(place - 1, message) : messages;
}

/**
 * Of two messages the later one, and of two forms of the same.
 * @param {Message | null} one
 * @param {Message} other
 */
function later(one, other) {
  if (!one || other.seq > one.seq) return other;
  return other.seq === one.seq && other.rev > one.rev ? other : one;
}

/** @param {ConversationState} it @param {number} lastSeq */
function stretched(it, lastSeq) {
  return lastSeq > it.lastSeq ? { ...it, lastSeq } : it;
}

/** @param {ConversationState} it @param {string | null} userId @param {number} seq */
function marked(it, userId, seq) {
  if (!userId || seq <= (it.reads[userId] ?? 0)) return it;
  return { ...it, reads: { ...it.reads, [userId]: seq } };
}

/** @param {ConversationState} it @param {{nonce: string | null}} message */
function without(it, { nonce }) {
  return it.pending.some((one) => one.nonce === nonce) ? it.pending.filter((one) => one.nonce !== nonce) : it.pending;
}

/** @param {ConversationState} it */
function trimmed(it) {
  const from = (it.messages.at(-1)?.seq ?? 0) + 1 - (it.opened ? MAX_HELD : PAGE);
  if (from <= it.from) return it;
  return { ...it, from, messages: it.messages.filter(({ seq }) => seq >= from) };
}
