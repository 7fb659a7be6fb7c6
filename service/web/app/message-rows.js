/** Computes the rows of the message list: the messages, a label for each day, and the unread divider. */

import { isSystemMessage } from "./system-message.js";
import { startOfDay } from "./time-format.js";

/** Milliseconds. Consecutive messages of one sender are a group if they are less than this apart. */
const GROUP_WINDOW = 5 * 60_000;

/**
 * Builds rows {key, kind: "day" | "unread" | "system" | "message", …}. Those of a day and of the unread divider have the
 * `date` of the first message after them. A system row, which says how the group has
 * changed, is {message, profiles}. A message row is {message, mine, pending, change,
 * firstInGroup, lastInGroup, sender, quoted, status}. `change` is the user's edit or deletion that is not stored yet;
 * `message` then has the edited text. `quoted` is the message replied to: null if it is no reply, undefined if it is not
 * loaded. `status` is set for the user's own messages: "sending", "failed", "change_failed", "sent", or the number of
 * readers.
 *
 * A row that has not changed is the same object as before, so that only changed rows are rendered.
 */
export class MessageRows {
  #rows = new WeakMap();
  #timestamps = new WeakMap();
  /** The messages with the text of their pending change, by change. */
  #changed = new WeakMap();
  #days = new Map();
  #unread = null;
  /** The last result; `starts[i]` is the index of the first row that belongs to message `i`. */
  #last = { all: [], rows: [], starts: [], context: [] };
  #me;

  /** `me`: the signed-in user's id. */
  constructor(me) {
    this.#me = me;
  }

  /** `unreadAfter`: the `seq` of the message before the unread divider; null for no divider. */
  build(conversation, profiles, unreadAfter) {
    const all = [...conversation.messages, ...conversation.pending];
    const changes = conversation.changes ?? {};
    const context = [profiles, conversation.reads, conversation.details?.read_marks, changes, unreadAfter];
    const unchanged = this.#countUnchanged(all, context);
    const rows = this.#last.rows.slice(0, this.#last.starts[unchanged] ?? this.#last.rows.length);
    const starts = this.#last.starts.slice(0, unchanged);
    const byId = new Map(conversation.messages.map((message) => [message.id, message]));
    const reads = Object.entries(readMarks(conversation))
      .filter(([id]) => id !== this.#me)
      .map(([, seq]) => seq);
    for (let index = unchanged; index < all.length; index += 1) {
      const [previous, message, next] = [all[index - 1], all[index], all[index + 1]];
      const newDay = !previous || this.#timestamp(previous).day !== this.#timestamp(message).day;
      const firstUnread = unreadAfter !== null && message.seq === unreadAfter + 1;
      starts.push(rows.length);
      if (newDay) rows.push(this.#dayRow(message));
      if (firstUnread) rows.push(this.#unreadRow(message));
      if (isSystemMessage(message)) {
        rows.push({ key: message.id, kind: "system", message, profiles });
        continue;
      }
      const firstInGroup = newDay || firstUnread || !this.#sameGroup(previous, message);
      const lastInGroup = !next || !this.#sameGroup(message, next);
      const change = changes[message.id] ?? null;
      rows.push(this.#messageRow({ message, change, firstInGroup, lastInGroup, profiles, byId, reads }));
    }
    this.#last = { all, rows, starts, context };
    return rows;
  }

  /** Return for how many messages, from the top, the rows can be reused. A row also depends on the next message. */
  #countUnchanged(all, context) {
    const last = this.#last;
    if (!context.every((value, index) => value === last.context[index])) return 0;
    let count = 0;
    while (count < all.length && all[count] === last.all[count]) count += 1;
    return Math.max(0, count - 1);
  }

  #sameGroup(message, next) {
    if (isSystemMessage(message) || isSystemMessage(next)) return false;
    if (this.#senderOf(next) !== this.#senderOf(message)) return false;
    const [first, second] = [this.#timestamp(message), this.#timestamp(next)];
    return second.time - first.time < GROUP_WINDOW && second.day === first.day;
  }

  #senderOf(message) {
    return message.sender_id ?? this.#me;
  }

  #messageRow({ message, change, firstInGroup, lastInGroup, profiles, byId, reads }) {
    const mine = this.#senderOf(message) === this.#me;
    const pending = message.id === undefined;
    const row = {
      // By nonce, the user's own message keeps its element when it is acknowledged.
      key: (mine && message.nonce) || message.id,
      kind: "message",
      message: change ? this.#withChange(message, change) : message,
      mine,
      pending,
      change,
      firstInGroup,
      lastInGroup,
      sender: profiles[this.#senderOf(message)],
      quoted: message.reply_to ? byId.get(message.reply_to) : null,
      status: mine ? statusOf(message, { pending, change, lastInGroup, reads }) : null,
    };
    const known = this.#rows.get(message);
    if (known && Object.keys(row).every((name) => row[name] === known[name])) return known;
    this.#rows.set(message, row);
    return row;
  }

  #withChange(message, change) {
    let known = this.#changed.get(change);
    if (known?.message !== message) {
      known = { message, changed: applyChange(message, change) };
      this.#changed.set(change, known);
    }
    return known.changed;
  }

  /** Parse `created_at`, once per message: it is the slowest step here, and is needed on every render. */
  #timestamp(message) {
    let timestamp = this.#timestamps.get(message);
    if (!timestamp) {
      timestamp = { time: Date.parse(message.created_at), day: startOfDay(message.created_at) };
      this.#timestamps.set(message, timestamp);
    }
    return timestamp;
  }

  #unreadRow({ created_at: date }) {
    if (this.#unread?.date !== date) this.#unread = { key: "unread", kind: "unread", date };
    return this.#unread;
  }

  #dayRow(message) {
    const { day } = this.#timestamp(message);
    if (!this.#days.has(day)) this.#days.set(day, { key: `day ${day}`, kind: "day", date: message.created_at });
    return this.#days.get(day);
  }
}

/** Return `message` with the text of the user's edit of it that is not stored yet. */
export function applyChange(message, change) {
  return change?.kind === "edit" && !message.deleted ? { ...message, content: change.content } : message;
}

/** Return the last read `seq` by user id: from the conversation as it was loaded, and from events since then. */
export function readMarks({ reads, details }) {
  const marks = { ...details?.read_marks };
  for (const [id, seq] of Object.entries(reads)) marks[id] = Math.max(seq, marks[id] ?? 0);
  return marks;
}

function statusOf(message, { pending, change, lastInGroup, reads }) {
  if (change) return change.error ? "change_failed" : "sending";
  if (pending) return message.error ? "failed" : "sending";
  if (!lastInGroup) return null;
  return reads.filter((seq) => seq >= message.seq).length || "sent";
}
