"""The search against a brute-force oracle: it finds the messages that the user sees, and no others."""

import random
from typing import Any

import pytest
from bson import ObjectId

from service.chat.members import History
from service.common.errors import NotFound, ValidationFailed
from service.datastores.mongo import Mongo
from service.search import candidates, index_store, search_service
from service.search.models import MessageSearch
from tests.chat.chat_process import ADA, BOB, CAY
from tests.search.searching import Searching

WORDS = {
    "Hương": "huong",
    "hướng": "huong",
    "HU": "hu",
    "Đức": "duc",
    "duc": "duc",
    "bún": "bun",
    "bung": "bung",
    "chả": "cha",
    "chào": "chao",
    "xe": "xe",
    "2026": "2026",
    "Phở": "pho",
    "p": "p",
}
"""Words as people write them, and as they are compared: by hand, so that the oracle shares no code with the service."""
QUERIES = ["huong", "Hu", "đ", "b", "bun cha", '"bun cha"', '"p h"', "c x", "20", "ph p", "xe xe", '"chao xe" d', "zz"]


def matches(query: str, content: str) -> bool:
    """The oracle's own reading of the contract. All queries are of the alphabet of WORDS."""
    said = [WORDS[word] for word in content.split()]
    folded = query.lower().replace("đ", "d")
    for index, part in enumerate(folded.split('"')):
        wanted = part.split()
        phrases = [wanted] if index % 2 else [[word] for word in wanted]
        for phrase in phrases:
            places = range(len(said) - len(phrase) + 1)
            if not any(all(said[place + i].startswith(word) for i, word in enumerate(phrase)) for place in places):
                return False
    return True


class World:
    """What each user should see: the messages of each conversation, and from which on."""

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.starts: dict[tuple[str, str], int] = {}

    def expected(
        self, user_id: str, query: str, conversation: str | None = None, sender: str | None = None
    ) -> list[str]:
        found = [
            message
            for key, messages in self.messages.items()
            if (user_id, key) in self.starts and conversation in (None, key)
            for message in messages
            if message["seq"] > self.starts[user_id, key]
            and message["content"]
            and sender in (None, message["sender_id"])
            and matches(query, message["content"])
        ]
        return [each["id"] for each in sorted(found, key=lambda each: (each["created_at"], each["id"]), reverse=True)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.scenario) for seed in range(2, 6))])
async def test_random_histories(searching: Searching, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages, edits, deletions, joins, removals and deleted histories in any order; searches in all conversations
    and in one, by sender, with pages of any size and any number of reads."""
    choose = random.Random(seed)
    process, world = searching.process, World()
    people = [ADA, BOB, CAY]

    async def create() -> None:
        members = choose.sample(people, choose.choice([2, 3]))
        history: History = choose.choice(["all", "since_joined"])
        title = "group" if len(members) == 3 or choose.random() < 0.5 else None
        conversation, created = await process.conversations.create(members[0], members[1:], title, history)
        if created:
            key = str(conversation["id"])
            world.messages[key] = []
            world.starts.update({(member, key): 0 for member in members})

    def text() -> str:
        return " ".join(choose.choices(list(WORDS), k=choose.randint(1, 6)))

    async def say(user: str, key: str) -> None:
        world.messages[key].append(await searching.say(user, key, text()))

    async def edit(user: str, key: str) -> None:
        own = [each for each in visible(user, key) if each["sender_id"] == user and each["content"]]
        if own:
            message = choose.choice(own)
            message["content"] = text()
            await process.messages.edit(user, key, message["id"], message["content"])

    async def delete(user: str, key: str) -> None:
        own = [each for each in visible(user, key) if each["sender_id"] == user and each["content"]]
        if own:
            message = choose.choice(own)
            message["content"] = ""
            await process.messages.delete(user, key, message["id"])

    def visible(user: str, key: str) -> list[dict[str, Any]]:
        return [each for each in world.messages[key] if each["seq"] > world.starts[user, key]]

    async def clear(user: str, key: str) -> None:
        last = (await process.stored(key))[-1]["seq"] if await process.stored(key) else 0
        await process.settings.clear_history(user, key)
        world.starts[user, key] = max(last, world.starts[user, key])

    async def leave(user: str, key: str) -> None:
        document = await process.conversation_store.find(ObjectId(key))
        if document and document["kind"] == "group" and len(document["participants"]) > 1:
            await process.groups.remove_participant(user, key, user)
            del world.starts[user, key]

    await create()
    weights = {say: 14, edit: 4, delete: 2, clear: 0.3, leave: 0.3}
    for _ in range(70):
        if choose.random() < 0.06:
            await create()
        places = sorted(world.starts)
        [act] = choose.choices(list(weights), list(weights.values()))
        if places:
            await act(*choose.choice(places))
    await searching.indexed()
    for user in people:
        monkeypatch.setattr(candidates, "MAX_UNINDEXED", choose.choice([0, 3, 256]))
        for query in choose.sample(QUERIES, 3):
            monkeypatch.setattr(search_service, "MAX_READS", choose.choice([1, 20, 200]))
            limit = choose.choice([1, 3, 20])
            assert world.expected(user, query) == await searching.found(user, query, limit=limit), (user, query)
            sender = choose.choice(people)
            assert world.expected(user, query, sender=sender) == await searching.found(user, query, sender_id=sender)
        for key in choose.sample([key for each, key in sorted(world.starts) if each == user], 2):
            query = choose.choice(QUERIES)
            monkeypatch.setattr(search_service, "MAX_READS", choose.choice([1, 30]))
            in_one = await searching.found(user, query, limit=choose.choice([1, 20]), conversation_id=key)
            assert world.expected(user, query, key) == in_one, (user, query, key)


async def terms_stored(mongo: Mongo) -> set[str]:
    """Return every term that is anywhere in the index."""
    found: set[str] = set()
    for name in ("search_heads", "search_buckets"):
        async for document in mongo.database[name].find():
            found.update(document["terms"].split("\n"))
    return found


@pytest.mark.usefixtures("small")
async def test_what_was_deleted_or_edited_is_gone_from_the_index(searching: Searching, mongo: Mongo) -> None:
    """In the tail as well as in old chunks, also the sender."""
    group = await searching.process.group(ADA, BOB)
    old = await searching.say(BOB, group, "secretold")
    edited = await searching.say(ADA, group, "secretedited")
    for _ in range(9):
        await searching.say(ADA, group, "xe")
    new = await searching.say(ADA, group, "secretnew")
    await searching.indexed()
    assert {"secretold", "secretedited", "secretnew"} <= await terms_stored(mongo)
    await searching.process.messages.delete(BOB, group, old["id"])
    await searching.process.messages.edit(ADA, group, edited["id"], "harmless")
    await searching.process.messages.delete(ADA, group, new["id"])
    await searching.indexed()
    terms = await terms_stored(mongo)
    assert "harmless" in terms
    assert not {term for term in terms if term.startswith("secret") or term == "@" + BOB[::-1]}
    assert [edited["id"]] == await searching.found(BOB, "harm")


@pytest.mark.usefixtures("small")
async def test_a_conversation_of_invented_words_does_not_stop_the_index(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their bucket has a limit, beyond which the rarest are not found; the frequent ones and all others are."""
    monkeypatch.setattr(index_store, "MAX_BUCKET_BYTES", 400)
    flooded, other = [await searching.process.group(ADA, BOB) for _ in range(2)]
    for number in range(32):
        await searching.say(ADA, flooded, f"aafrequent zebra {' '.join(f'aa{number:02}{each}' for each in range(9))}")
    await searching.say(ADA, other, "aarare")
    await searching.indexed()
    assert 32 == len(await searching.found(BOB, "aafrequent"))
    assert 32 == len(await searching.found(BOB, "zebra"))
    assert 1 == len(await searching.found(BOB, "aarare"))
    assert [] == await searching.found(BOB, "aa318")
    async for bucket in searching.mongo.database["search_buckets"].find():
        assert len(bucket["terms"]) + len(bucket["counts"]) + len(bucket["offsets"]) <= 400


async def test_what_others_say_is_not_found(searching: Searching) -> None:
    group = await searching.process.group(ADA, BOB)
    await searching.say(ADA, group, "Hương")
    await searching.indexed()
    assert 1 == len(await searching.found(BOB, "huong"))
    assert [] == await searching.found(CAY, "huong")
    with pytest.raises(NotFound):
        await searching.found(CAY, "huong", conversation_id=group)
    with pytest.raises(NotFound):
        await searching.found(ADA, "huong", conversation_id="0" * 24)


@pytest.mark.parametrize("wanted", [1, 5])
async def test_a_forged_cursor_tells_nothing_of_messages_that_the_caller_does_not_see(
    searching: Searching, wanted: int
) -> None:
    """It names them as found by the previous page: neither the page nor its cursor says whether they match."""
    process = searching.process
    hidden = await process.group(ADA, BOB)
    joined = (await process.conversations.create(ADA, [BOB], "A group", "since_joined"))[0]["id"]
    for conversation in (hidden, joined):
        await searching.say(ADA, conversation, "Hương")
    await process.groups.add_participants(ADA, joined, [CAY])
    pending = [(ObjectId(each), 1) for each in (hidden, joined)]
    cursor = search_service.SearchPosition(search_service.START, search_service.START, wanted, pending).encode()
    for q in ("huong", "nothing"):
        assert ([], None) == await searching.service.search(CAY, MessageSearch(q=q, before=cursor))


@pytest.mark.parametrize("before", ["x", "!", "a" * 100, "A" * 1000])
@pytest.mark.parametrize("conversation", [True, False])
async def test_a_cursor_of_something_else_is_refused(searching: Searching, before: str, conversation: bool) -> None:
    group = await searching.process.group(ADA, BOB)
    where = {"conversation_id": group} if conversation else {}
    with pytest.raises(ValidationFailed):
        await searching.service.search(ADA, MessageSearch.model_validate({"q": "a", "before": before, **where}))


async def test_a_message_is_found_before_it_is_indexed(unindexed: Searching) -> None:
    """Without anybody who indexes: in all conversations and in one, over several pages; its edits and its deletion,
    too. What nobody has said, as when a block begins, is no message."""
    process = unindexed.process
    direct = await process.conversation(ADA, BOB)
    sent = [(await unindexed.say(ADA, direct, f"Hương {number}"))["id"] for number in range(5)]
    await process.blocks.add(BOB, ADA)
    await process.conversations.direct_blocks.reconcile(BOB, ADA)
    await process.messages.flush_counters()
    for where in ({}, {"conversation_id": direct}):
        assert sent[::-1] == await unindexed.found(BOB, "huong", limit=2, **where)
    await process.blocks.remove(BOB, ADA)
    await process.conversations.direct_blocks.reconcile(BOB, ADA)
    await process.messages.edit(ADA, direct, sent[1], "Đức")
    await process.messages.delete(ADA, direct, sent[2])
    assert [sent[1]] == await unindexed.found(BOB, "duc")
    assert [sent[4], sent[3], sent[0]] == await unindexed.found(BOB, "huong")
    assert [] == await unindexed.found(CAY, "huong")


async def test_messages_of_a_blocked_user_are_found_where_they_arrive(searching: Searching) -> None:
    """In groups of both, and in the direct conversation those from before the block."""
    process = searching.process
    direct, group = await process.conversation(ADA, BOB), await process.group(ADA, BOB)
    before = (await searching.say(ADA, direct, "Hương"))["id"]
    await process.blocks.add(BOB, ADA)
    await process.conversations.direct_blocks.reconcile(BOB, ADA)
    after = (await searching.say(ADA, group, "Hương"))["id"]
    for _ in range(2):
        assert [after, before] == await searching.found(BOB, "huong")
        assert [before] == await searching.found(BOB, "huong", conversation_id=direct, sender_id=ADA)
        await searching.indexed()


async def test_who_was_removed_from_a_large_group_finds_nothing_of_it(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.chat.large_groups.MAX_EMBEDDED", 1)
    group = await searching.process.group(ADA, BOB, CAY)
    sent = (await searching.say(ADA, group, "Hương"))["id"]
    await searching.process.groups.remove_participant(ADA, group, CAY)
    for _ in range(2):
        assert [sent] == await searching.found(BOB, "huong")
        assert [] == await searching.found(CAY, "huong")
        with pytest.raises(NotFound):
            await searching.found(CAY, "huong", conversation_id=group)
        await searching.indexed()


async def test_a_page_looks_at_a_limited_number_of_conversations(
    unindexed: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many a user has: the next page goes on with the others."""
    monkeypatch.setattr(search_service, "MAX_READS", 4)
    for _ in range(12):
        group = await unindexed.process.group(ADA, BOB)
    sent = (await unindexed.say(ADA, group, "Hương"))["id"]
    pages: list[int] = []
    assert [sent] == await unindexed.found(BOB, "huong", pages=pages)
    assert 3 <= len(pages)


async def test_a_message_is_found_before_its_conversation_is_counted_as_active(unindexed: Searching) -> None:
    """The stored time of its last activity may be old: the search does not stop before it."""
    process = unindexed.process
    quiet, busy = await process.group(ADA, BOB), await process.group(ADA, BOB)
    await process.messages.flush_counters()
    key = {"_id": ObjectId(quiet)}
    counted = await unindexed.mongo.database["conversations"].find_one(key)
    sent = [(await unindexed.say(ADA, each, "Hương"))["id"] for each in (busy, quiet)]
    await process.messages.flush_counters()
    assert counted
    assert await unindexed.mongo.database["conversations"].replace_one(key, counted)
    assert sent[::-1] == await unindexed.found(BOB, "huong", limit=1)


async def test_a_conversation_that_becomes_active_between_two_pages_is_searched(
    unindexed: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turn was to come. What is found in it comes once, and nothing that was sent after the first page."""
    monkeypatch.setattr(search_service, "MAX_READS", 4)
    monkeypatch.setattr(search_service, "FIRST_GROUP", 1)
    process = unindexed.process
    groups = [await process.group(ADA, BOB) for _ in range(6)]
    sent = [(await unindexed.say(ADA, each, "Hương"))["id"] for each in groups]
    await process.messages.flush_counters()
    items, before = await unindexed.service.search(BOB, MessageSearch(q="huong"))
    for group in (groups[0], groups[5]):
        await unindexed.say(ADA, group, "Hương, later")
    await process.messages.flush_counters()
    found = [item["message"]["id"] for item in items]
    while before:
        items, before = await unindexed.service.search(BOB, MessageSearch(q="huong", before=before))
        found += [item["message"]["id"] for item in items]
    assert sent[::-1] == found
