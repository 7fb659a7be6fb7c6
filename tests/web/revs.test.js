/** The order of changes, under random arrivals. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { Revs } from "../../service/web/client/revs.js";
import { message, said, TALK } from "./support/chat-server.js";

/** What was said and changed: each number is a message's place; a place that was not there yet is a new message. */
const history = fc.array(fc.nat(), { minLength: 1, maxLength: 40 }).map((choices) => {
  const events = [];
  let last = 0;
  for (const [index, choice] of choices.entries()) {
    const isNew = last === 0 || choice % 3 > 0;
    const seq = isNew ? ++last : 1 + (choice % last);
    events.push(said(message(seq, index + 1), isNew ? "new_message" : "message_updated"));
  }
  return events;
});

/** Some events do not arrive, some do more than once, and in any order. */
const arrivals = history.chain((events) =>
  fc.record({
    events: fc.constant(events),
    order: fc.array(fc.nat(events.length - 1), { maxLength: 80 }),
    seen: fc.nat(events.length),
  }),
);

/** What the server answers to a sync: each message that has changed since, as it is now. */
function changes(events, after) {
  const latest = new Map(events.map(({ data }) => [data.seq, data]));
  return [...latest.values()].filter(({ rev }) => rev > after).sort((one, other) => one.rev - other.rev);
}

test("whatever arrives, changes are handed on in order, none twice, and after a sync none is missing", () => {
  fc.assert(
    fc.property(arrivals, ({ events, order, seen }) => {
      const revs = new Revs();
      const before = events.slice(0, seen);
      const lastSeq = Math.max(0, ...before.map(({ data }) => data.seq));
      revs.reach(TALK, seen, lastSeq);
      const arrive = (places) => places.flatMap((place) => revs.take(events[place]));
      const sync = () => Object.entries(revs.behind(10)).map(([id, rev]) => [id, changes(events, rev), events.length]);
      const half = order.length / 2;
      const handedOn = arrive(order.slice(0, half));
      // The answers come when other things have come meanwhile.
      const answers = sync();
      handedOn.push(...arrive(order.slice(half)), ...answers.flatMap((answer) => revs.fill(...answer)));
      revs.reach(TALK, events.length, 0);
      handedOn.push(...sync().flatMap((answer) => revs.fill(...answer)));

      assert.deepEqual(revs.behind(10), {});
      const numbers = handedOn.map(({ data }) => data.rev);
      assert.deepEqual(numbers, [...new Set(numbers)].sort((one, other) => one - other));
      assert.ok(numbers.every((rev) => rev > seen));
      const final = changes(events, seen);
      for (const data of final) assert.ok(numbers.includes(data.rev));
      const added = handedOn.filter(({ type }) => type === "new_message").map(({ data }) => data.seq);
      const missed = events.slice(seen).map(({ data }) => data.seq).filter((seq) => seq > lastSeq);
      assert.equal(added.length, new Set(added).size);
      assert.deepEqual(new Set(added), new Set(missed));
    }),
    { numRuns: 500 },
  );
});

test("a history that arrives whole and in order is handed on as it is", () => {
  fc.assert(
    fc.property(history, (events) => {
      const revs = new Revs();
      revs.reach(TALK, 0, 0);
      assert.deepEqual(events.flatMap((event) => revs.take(event)), events);
      assert.deepEqual(revs.behind(10), {});
    }),
  );
});

test("no more conversations are followed than is reasonable", () => {
  const revs = new Revs();
  for (let count = 0; count < 2500; count++) revs.reach(`${count}`, 1, 1);
  revs.doubt();
  assert.equal(Object.keys(revs.behind(Infinity)).length, 2000);
  assert.equal(revs.at("0"), undefined);
  assert.equal(revs.at("2499"), 1);
});

test("no more early events are kept than is reasonable, and the others are known to be missing", () => {
  const revs = new Revs();
  revs.reach(TALK, 0, 0);
  for (let rev = 2; rev <= 1000; rev++) assert.deepEqual(revs.take(said(message(rev))), []);
  const passed = revs.fill(TALK, [message(1)], 1);
  assert.equal(passed.length, 501);
  assert.deepEqual(revs.behind(10), { [TALK]: 501 });
});
