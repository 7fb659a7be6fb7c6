/** RevisionTracker with events that arrive in random order. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { RevisionTracker } from "../../service/web/client/revision-tracker.js";
import { CONVERSATION, message, messageEvent } from "./support/chat-server.js";

/** Random histories of one conversation: two of three choices are new messages, the others update an earlier one. */
const history = fc.array(fc.nat(), { minLength: 1, maxLength: 40 }).map((choices) => {
  const events = [];
  let last = 0;
  for (const [index, choice] of choices.entries()) {
    const isNew = last === 0 || choice % 3 > 0;
    const seq = isNew ? ++last : 1 + (choice % last);
    events.push(messageEvent(message(seq, index + 1), isNew ? "new_message" : "message_updated"));
  }
  return events;
});

/** A history of which some events are lost, some are repeated, and all arrive in random order. */
const arrivals = history.chain((events) =>
  fc.record({
    events: fc.constant(events),
    order: fc.array(fc.nat(events.length - 1), { maxLength: 80 }),
    seen: fc.nat(events.length),
  }),
);

/** The server's answer to a sync: the messages changed after `after`, in their latest version. */
function changes(events, after) {
  const latest = new Map(events.map(({ data }) => [data.seq, data]));
  return [...latest.values()].filter(({ rev }) => rev > after).sort((a, b) => a.rev - b.rev);
}

test("changes are delivered in order and once, and none is missing after a sync", () => {
  fc.assert(
    fc.property(arrivals, ({ events, order, seen }) => {
      const tracker = new RevisionTracker();
      const before = events.slice(0, seen);
      const lastSeq = Math.max(0, ...before.map(({ data }) => data.seq));
      tracker.setLastKnown(CONVERSATION, seen, lastSeq);
      const arrive = (indexes) => indexes.flatMap((index) => tracker.receive(events[index]));
      const answer = ([id, rev]) => [id, changes(events, rev), events.length];
      const sync = () => Object.entries(tracker.behind(10)).map(answer);
      const half = order.length / 2;
      const delivered = arrive(order.slice(0, half));
      // Other events arrive between the sync request and its answer.
      const answers = sync();
      delivered.push(...arrive(order.slice(half)), ...answers.flatMap((args) => tracker.backfill(...args)));
      tracker.setLastKnown(CONVERSATION, events.length, 0);
      delivered.push(...sync().flatMap((args) => tracker.backfill(...args)));

      assert.deepEqual(tracker.behind(10), {});
      const revs = delivered.map(({ data }) => data.rev);
      assert.deepEqual(revs, [...new Set(revs)].sort((a, b) => a - b));
      assert.ok(revs.every((rev) => rev > seen));
      const final = changes(events, seen);
      for (const data of final) assert.ok(revs.includes(data.rev));
      const added = delivered.filter(({ type }) => type === "new_message").map(({ data }) => data.seq);
      const missed = events.slice(seen).map(({ data }) => data.seq).filter((seq) => seq > lastSeq);
      assert.equal(added.length, new Set(added).size);
      assert.deepEqual(new Set(added), new Set(missed));
    }),
    { numRuns: 500 },
  );
});

test("a rev that is skipped leaves no gap, whether it arrives in order or early", () => {
  const tracker = new RevisionTracker();
  tracker.setLastKnown(CONVERSATION, 3, 3);
  assert.deepEqual(tracker.skip(CONVERSATION, 4), []);
  assert.deepEqual(tracker.receive(messageEvent(message(4, 5))).map(({ data }) => data.rev), [5]);
  assert.deepEqual(tracker.skip(CONVERSATION, 7), []);
  assert.deepEqual(tracker.receive(messageEvent(message(6, 8))), []);
  assert.deepEqual(tracker.behind(10), { [CONVERSATION]: 5 });
  assert.deepEqual(tracker.receive(messageEvent(message(5, 6))).map(({ data }) => data.rev), [6, 8]);
  assert.deepEqual(tracker.skip(CONVERSATION, 7), []);
  assert.deepEqual(tracker.behind(10), {});
});

test("a skipped rev of a conversation that is not tracked is ignored", () => {
  const tracker = new RevisionTracker();
  assert.deepEqual(tracker.skip(CONVERSATION, 7), []);
  assert.equal(tracker.deliveredRev(CONVERSATION), undefined);
});

test("a history that arrives completely and in order is delivered unchanged", () => {
  fc.assert(
    fc.property(history, (events) => {
      const tracker = new RevisionTracker();
      tracker.setLastKnown(CONVERSATION, 0, 0);
      assert.deepEqual(events.flatMap((event) => tracker.receive(event)), events);
      assert.deepEqual(tracker.behind(10), {});
    }),
  );
});

test("a backfill clears only stale marks that are older than its request", () => {
  const tracker = new RevisionTracker();
  tracker.setLastKnown(CONVERSATION, 5, 5);
  tracker.markStale();
  const requestedAt = tracker.staleMarks;
  tracker.markStale();
  tracker.backfill(CONVERSATION, [], 5, requestedAt);
  assert.deepEqual(tracker.behind(10), { [CONVERSATION]: 5 });
  tracker.backfill(CONVERSATION, [message(6)], 6, tracker.staleMarks);
  assert.deepEqual(tracker.behind(10), {});
});

test("at most 2000 conversations are tracked", () => {
  const tracker = new RevisionTracker();
  for (let count = 0; count < 2500; count++) tracker.setLastKnown(`${count}`, 1, 1);
  tracker.markStale();
  assert.equal(Object.keys(tracker.behind(Infinity)).length, 2000);
  assert.equal(tracker.deliveredRev("0"), undefined);
  assert.equal(tracker.deliveredRev("2499"), 1);
});

test("at most 500 early events are buffered, and the others remain a gap", () => {
  const tracker = new RevisionTracker();
  tracker.setLastKnown(CONVERSATION, 0, 0);
  for (let rev = 2; rev <= 1000; rev++) assert.deepEqual(tracker.receive(messageEvent(message(rev))), []);
  const delivered = tracker.backfill(CONVERSATION, [message(1)], 1);
  assert.equal(delivered.length, 501);
  assert.deepEqual(tracker.behind(10), { [CONVERSATION]: 501 });
});
