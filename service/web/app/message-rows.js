/** What stands in the list of messages: the messages, and the days and the mark of what is new between them. */

import { dayOf } from "./time.js";

const GROUP = 5 * 60_000;
/** Milliseconds between two messages of one person that still read as one breath. */

/**
 * Rows of a conversation: {key, kind: "day" | "fresh" | "message", …}. A message's row is {message, mine, pending,
 * first, last, sender, quoted, status}; `first` and `last` of what one person has said in one breath; `quoted`: the
 * message replied to, null where there is none, undefined where it is not loaded; `status` of one's own: "sending",
 * "failed", "sent", or the number of people who have read it.
 *
 * A row that has not changed is the object that it was, so that only what has changed is drawn again.
 */
export class MessageRows {
  #rows = new WeakMap();
  #stamps = new WeakMap();
  #days = new Map();
  #last = { all: [], rows: [], starts: [], context: [] };
  #me;

  /** `me`: one's own user id. */
  constructor(me) {
    this.#me = me;
  }

  /** `freshAfter`: the `seq` after which the mark stands, null where there is none. */
  of(conversation, people, freshAfter) {
    const all = [...conversation.messages, ...conversation.pending];
    const context = [people, conversation.reads, freshAfter];
    const same = this.#unchanged(all, context);
    const rows = this.#last.rows.slice(0, this.#last.starts[same] ?? this.#last.rows.length);
    const starts = this.#last.starts.slice(0, same);
    const byId = new Map(conversation.messages.map((message) => [message.id, message]));
    const reads = Object.entries(conversation.reads)
      .filter(([id]) => id !== this.#me)
      .map(([, seq]) => seq);
    for (let at = same; at < all.length; at += 1) {
      const [before, message, next] = [all[at - 1], all[at], all[at + 1]];
      const newDay = !before || this.#stamp(before).day !== this.#stamp(message).day;
      const fresh = freshAfter !== null && message.seq === freshAfter + 1;
      starts.push(rows.length);
      if (newDay) rows.push(this.#day(message));
      if (fresh) rows.push(FRESH);
      const first = newDay || fresh || !this.#continues(before, message);
      const last = !next || !this.#continues(message, next);
      rows.push(this.#message({ message, first, last, people, byId, reads }));
    }
    this.#last = { all, rows, starts, context };
    return rows;
  }

  /** Of how many messages, from the top, the rows are as they were: each depends on its neighbours, too. */
  #unchanged(all, context) {
    const last = this.#last;
    if (!context.every((value, at) => value === last.context[at])) return 0;
    let same = 0;
    while (same < all.length && all[same] === last.all[same]) same += 1;
    return Math.max(0, same - 1);
  }

  #continues(message, next) {
    if (this.#senderOf(next) !== this.#senderOf(message)) return false;
    const [then, now] = [this.#stamp(message), this.#stamp(next)];
    return now.time - then.time < GROUP && now.day === then.day;
  }

  #senderOf(message) {
    return message.sender_id ?? this.#me;
  }

  #message({ message, first, last, people, byId, reads }) {
    const mine = this.#senderOf(message) === this.#me;
    const pending = message.id === undefined;
    const row = {
      // One's own keeps its place in the page from the moment it is written.
      key: (mine && message.nonce) || message.id,
      kind: "message",
      message,
      mine,
      pending,
      first,
      last,
      sender: people[this.#senderOf(message)],
      quoted: message.reply_to ? byId.get(message.reply_to) : null,
      status: mine ? statusOf(message, pending, last, reads) : null,
    };
    const known = this.#rows.get(message);
    if (known && Object.keys(row).every((name) => row[name] === known[name])) return known;
    this.#rows.set(message, row);
    return row;
  }

  /** Reading a date takes longer than all the rest here, and every message is asked each time. */
  #stamp(message) {
    let stamp = this.#stamps.get(message);
    if (!stamp) {
      stamp = { time: Date.parse(message.created_at), day: dayOf(message.created_at) };
      this.#stamps.set(message, stamp);
    }
    return stamp;
  }

  #day(message) {
    const { day } = this.#stamp(message);
    if (!this.#days.has(day)) this.#days.set(day, { key: `day ${day}`, kind: "day", date: message.created_at });
    return this.#days.get(day);
  }
}

const FRESH = { key: "fresh", kind: "fresh" };

function statusOf(message, pending, last, reads) {
  if (pending) return message.error ? "failed" : "sending";
  if (!last) return null;
  return reads.filter((seq) => seq >= message.seq).length || "sent";
}
