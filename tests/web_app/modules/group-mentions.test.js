/** Whom a message in a group can mention. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { GroupMentions } from "../../../service/web/app/group-mentions.js";

/** A group of this size: its participants are called "Member 0 of Huế" and so on. */
function groupOf(size) {
  const group = {
    details: { id: "group", participant_count: size },
    requests: 0,
    async participants(id, { after, limit }) {
      group.requests += 1;
      const first = after ?? 0;
      const items = Array.from({ length: Math.min(limit, size - first) }, (_, index) => ({
        user: { id: String(first + index), username: `name${first + index}`, display_name: `Member ${first + index} of Huế` },
      }));
      return { items, next: first + limit < size ? first + limit : null };
    },
  };
  group.mentions = new GroupMentions(group, "0", () => group.details);
  return group;
}

const found = async ({ mentions }, query, max = 6) => (await mentions.find(query, max)).map(({ username }) => username);

test("the others are found by their names, without regard to accents, and everyone", async () => {
  const group = groupOf(4);
  assert.deepEqual(await found(group, "hue"), ["name1", "name2", "name3"]);
  assert.deepEqual(await found(group, "hue", 2), ["name1", "name2"]);
  assert.deepEqual(await found(group, "name2"), ["name2"]);
  assert.deepEqual(await found(group, "al"), ["all"]);
  assert.deepEqual(await found(group, "name0"), []);
  assert.equal(group.requests, 1);
});

test("of a larger group, pages are loaded until enough are found, and nothing stands for everyone", async () => {
  const group = groupOf(1200);
  const both = await Promise.all([found(group, "name"), found(group, "name150")]);
  assert.deepEqual(both, [["name1", "name2", "name3", "name4", "name5", "name6"], ["name150"]]);
  assert.deepEqual(await found(group, "all"), []);
  assert.deepEqual(await found(group, "name999"), ["name999"]);
  // Those who joined later.
  assert.deepEqual(await found(group, "name1100"), []);
  assert.equal(group.requests, 10);
});

test("once the group has changed, its participants are loaded again", async () => {
  const group = groupOf(3);
  await found(group, "member");
  const early = found(group, "nobody");
  group.details = { ...group.details };
  assert.deepEqual(await found(group, "member"), ["name1", "name2"]);
  assert.deepEqual(await early, []);
  assert.equal(group.requests, 2);
});

test("a search that fails is repeated by the next one", async () => {
  const group = groupOf(3);
  const { participants } = group;
  group.participants = () => Promise.reject(new Error("unavailable"));
  await assert.rejects(found(group, "member"));
  group.participants = participants;
  assert.deepEqual(await found(group, "member"), ["name1", "name2"]);
});
