/** The order of what changes in conversations. */

/**
 * @typedef {import("./types.js").Message} Message
 * @typedef {import("./types.js").MessageEvent} MessageEvent
 */

/** Conversations followed at once; the one followed longest is forgotten for one more. */
const MAX_FOLLOWED = 2000;
/** Events of one conversation that are kept because they came early; the others come again with the sync. */
const MAX_EARLY = 500;

/**
 * How far one conversation has come. It is followed `since` a rev; `rev` is the last change handed on, `known` the last
 * that is known to exist. `seq` is the place up to which every message was handed on or was there before, `beyond` the
 * places after it.
 * @typedef {{since: number, rev: number, known: number, doubtful: boolean, held: boolean, seq: number,
 *   beyond: Set<number>, early: Map<number, Message>}} Course
 */

/**
 * Hands on the messages of each conversation in the order of `rev`, none twice, and knows which conversations have
 * gaps. What came early waits until the gap before it is filled.
 *
 * A conversation is followed from where one first hears of it: nobody holds anything of it, so nothing was missed.
 */
export class Revs {
  /** @type {Map<string, Course>} */
  #courses = new Map();

  /**
   * What was loaded of the conversation is as of `last_rev`: what is later is to come. Only the first call counts;
   * from then on everything later was handed on already, or will be.
   * @param {{id: string, last_rev: number, last_seq: number}} conversation
   */
  hold({ id, last_rev, last_seq }) {
    const course = this.#follow(id, last_rev, last_seq);
    if (course.held) return;
    course.held = true;
    if (last_rev >= course.since) return;
    course.rev = last_rev;
    course.seq = Math.min(course.seq, last_seq);
    course.beyond.clear();
  }

  /**
   * The conversation has come this far.
   * @param {string} id
   * @param {number} rev
   * @param {number} seq
   */
  reach(id, rev, seq) {
    const course = this.#follow(id, rev, seq);
    course.known = Math.max(course.known, rev);
  }

  /** Of all conversations but these, it is not known how far they have come. @param {Iterable<string>} [but] */
  doubt(but = []) {
    const known = new Set(but);
    for (const [id, course] of this.#courses) if (!known.has(id)) course.doubtful = true;
  }

  /** @param {string} id */
  forget(id) {
    this.#courses.delete(id);
  }

  /** The rev up to which all was handed on; undefined where the conversation is not followed. @param {string} id */
  at(id) {
    return this.#courses.get(id)?.rev;
  }

  /**
   * Of conversations with a gap, at most `limit`: the rev up to which there is none.
   * @param {number} limit
   */
  behind(limit) {
    /** @type {Record<string, number>} */
    const behind = {};
    let count = 0;
    for (const [id, course] of this.#courses) {
      if (course.known <= course.rev && !course.doubtful) continue;
      if (count++ === limit) break;
      behind[id] = course.rev;
    }
    return behind;
  }

  /**
   * What can be handed on now that `event` has come.
   * @param {MessageEvent} event
   * @returns {MessageEvent[]}
   */
  take(event) {
    const { rev, seq } = event.data;
    const course = this.#follow(event.conversation_id, rev - 1, event.type === "new_message" ? seq - 1 : seq);
    course.known = Math.max(course.known, rev);
    if (rev <= course.rev) return [];
    if (rev === course.rev + 1) return [this.#pass(course, event.data), ...this.#passEarly(course)];
    if (course.early.size < MAX_EARLY) course.early.set(rev, event.data);
    return [];
  }

  /**
   * What can be handed on now that it is known what has changed: `messages`, ascending, are all whose last change is
   * later than what was handed on, up to `lastRev`.
   * @param {string} id
   * @param {Message[]} messages
   * @param {number} lastRev
   * @returns {MessageEvent[]}
   */
  fill(id, messages, lastRev) {
    const course = this.#courses.get(id);
    if (!course) return [];
    course.doubtful = false;
    const passed = [];
    for (const data of messages) {
      if (data.rev <= course.rev) continue;
      // A message comes with its last change only: the revs of those before it are in no answer.
      passed.push(this.#pass(course, data));
    }
    course.rev = Math.max(course.rev, lastRev);
    return [...passed, ...this.#passEarly(course)];
  }

  /**
   * @param {Course} course
   * @param {Message} data
   * @returns {MessageEvent}
   */
  #pass(course, data) {
    const { rev, seq, conversation_id } = data;
    const isNew = seq > course.seq && !course.beyond.has(seq);
    course.rev = rev;
    course.known = Math.max(course.known, rev);
    if (isNew) course.beyond.add(seq);
    while (course.beyond.delete(course.seq + 1)) course.seq++;
    return { type: isNew ? "new_message" : "message_updated", conversation_id, data };
  }

  /** @param {Course} course */
  #passEarly(course) {
    const passed = [];
    for (const rev of course.early.keys()) if (rev <= course.rev) course.early.delete(rev);
    for (let data; (data = course.early.get(course.rev + 1)); ) {
      course.early.delete(course.rev + 1);
      passed.push(this.#pass(course, data));
    }
    return passed;
  }

  /**
   * @param {string} id
   * @param {number} rev
   * @param {number} seq
   * @returns {Course}
   */
  #follow(id, rev, seq) {
    let course = this.#courses.get(id);
    if (course) return course;
    for (const oldest of this.#courses.keys()) {
      if (this.#courses.size < MAX_FOLLOWED) break;
      this.#courses.delete(oldest);
    }
    course = { since: rev, rev, known: rev, doubtful: false, held: false, seq, beyond: new Set(), early: new Map() };
    this.#courses.set(id, course);
    return course;
  }
}
