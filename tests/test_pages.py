"""Every list in pages: while rows are added and deleted, each row that stays is on exactly one page."""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Protocol

import pytest
from bson import ObjectId

from service.common.cursor import MAX_LENGTH, CursorFormat
from service.common.errors import ValidationFailed
from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from tests.chat.chat_process import ADA, BOB, ChatProcess
from tests.notifications.service_process import NOBODY, ServiceProcess

ROWS = 40


class List(Protocol):
    """One kind of list. Rows are named by ids; `moment` is one of a few, so that many rows share each."""

    deletes: bool

    async def add(self, moment: int) -> str: ...

    async def delete(self, row: str) -> None: ...

    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]: ...


class Conversations:
    deletes = True

    def __init__(self, mongo: Mongo) -> None:
        self.process = ChatProcess(mongo.database)
        self.rows = mongo.database["conversations"]
        self.start = now()

    async def open(self) -> None:
        await self.process.create_indexes()

    async def add(self, moment: int) -> str:
        # New ones come first, as they do in truth.
        document = self.process.conversation_store._blank("group", "A group", [ObjectId(ADA), ObjectId(BOB)])
        await self.rows.insert_one(document | {"last_activity": self.start + timedelta(milliseconds=moment)})
        return str(document["_id"])

    async def delete(self, row: str) -> None:
        await self.process.groups.remove_participant(ADA, row, ADA)

    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]:
        items, next_cursor = await self.process.conversations.page(ADA, limit, cursor)
        return [item["id"] for item in items], next_cursor

    async def close(self) -> None:
        await self.process.close()


class Posts:
    deletes = True

    def __init__(self, mongo: Mongo) -> None:
        self.process = ServiceProcess(mongo.database)
        self.rows = mongo.database["posts"]
        self.author = new_id()
        self.start = now()

    async def open(self) -> None:
        await self.process.create_indexes()

    async def add(self, moment: int) -> str:
        created_at = self.start + timedelta(milliseconds=moment)
        return str((await self.process.post_store.insert(self.author, "A post", created_at))["_id"])

    async def delete(self, row: str) -> None:
        await self.rows.delete_one({"_id": ObjectId(row)})

    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]:
        page = await self.process.posts.page(NOBODY, limit=limit, before=cursor)
        return [item.id for item in page.items], page.next

    async def close(self) -> None:
        await self.process.close()


class Comments(Posts):
    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo)
        self.rows = mongo.database["comments"]

    async def open(self) -> None:
        await super().open()
        self.post = await self.process.post(self.author)

    async def add(self, moment: int) -> str:
        return await self.process.comment(self.author, self.post)

    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]:
        page = await self.process.posts.comments(NOBODY, self.post, limit=limit, after=cursor or 0)
        return [item.id for item in page.items], page.next


class Notifications(Posts):
    unread = False

    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo)
        self.rows = mongo.database["notifications"]
        self.user = new_id()

    async def add(self, moment: int) -> str:
        comment = new_id()
        request = self.process.request(self.user, self.author, comment_id=comment)
        assert [None] == await self.process.notifications.notify([request])
        found = await self.rows.find_one({"comment_id": ObjectId(comment)})
        assert found
        return str(found["_id"])

    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]:
        page = await self.process.notifications.page(self.user, limit=limit, before=cursor, unread=self.unread)
        return [item.data.notification_id for item in page.items], page.next


class UnreadNotifications(Notifications):
    unread = True


class History:
    """Messages are never deleted: a tombstone keeps its place."""

    deletes = False

    def __init__(self, mongo: Mongo) -> None:
        self.process = ChatProcess(mongo.database)

    async def open(self) -> None:
        await self.process.create_indexes()
        self.group = await self.process.group(ADA, BOB)

    async def add(self, moment: int) -> str:
        return str((await self.process.messages.send(ADA, self.group, "A message"))[0]["id"])

    async def delete(self, row: str) -> None:
        await self.process.messages.delete(ADA, self.group, row)

    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]:
        page = await self.process.messages.history(BOB, self.group, cursor, limit)
        return [item["id"] for item in page.items], page.next

    async def close(self) -> None:
        await self.process.close()


class Changes(History):
    async def page(self, limit: int, cursor: Any) -> tuple[list[str], Any]:
        page = await self.process.messages.changes(BOB, self.group, cursor or 0, limit)
        return [item["id"] for item in page.items], page.next


LISTS = [Conversations, Posts, Comments, Notifications, UnreadNotifications, History, Changes]


@pytest.fixture(params=LISTS, ids=lambda kind: kind.__name__)
async def rows(request: pytest.FixtureRequest, mongo: Mongo) -> AsyncIterator[Any]:
    kind: Callable[[Mongo], Any] = request.param
    opened = kind(mongo)
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize("seed", range(3))
async def test_each_row_that_stays_is_on_exactly_one_page(rows: List, seed: int) -> None:
    """Whatever is added and deleted between and during the reads of pages, the row under the cursor above all."""
    chance = random.Random(seed)
    limit = chance.choice([1, 3, 7])
    staying = {await rows.add(chance.randrange(4)) for _ in range(ROWS)}
    changed: set[str] = set()
    seen: list[str] = []
    cursor = None

    async def change(last: str | None) -> None:
        await rows.add(chance.randrange(6))
        doomed = last if last and chance.random() < 0.5 else chance.choice(sorted(staying | set(seen[:1])))
        if doomed not in changed and chance.random() < 0.7:
            changed.add(doomed)
            staying.discard(doomed)
            await rows.delete(doomed)

    for number in range(20 * ROWS):
        (found, cursor), _ = await asyncio.gather(rows.page(limit, cursor), change(seen[-1] if seen else None))
        assert len(found) <= limit
        seen += found
        if cursor is None:
            break
        assert found, f"page {number} is empty and not the last"
        # Not another row for each one read: lists that grow at the end would never end.
        if rows.deletes and chance.random() < 0.5:
            await change(found[-1])
        if number > ROWS:
            limit = 50
    else:
        pytest.fail("the pages do not end")
    counts = Counter(seen)
    assert not staying - counts.keys(), "rows are on no page"
    assert not [row for row in staying if counts[row] != 1], "rows are on several pages"


async def test_one_message_in_each_of_many_conversations_at_once(mongo: Mongo) -> None:
    """They share a millisecond of activity, and are all in the list, once."""
    rows = Conversations(mongo)
    await rows.open()
    made = {await rows.add(0) for _ in range(150)}
    seen: list[str] = []
    cursor = None
    while True:
        found, cursor = await rows.page(30, cursor)
        seen += found
        if cursor is None:
            break
    assert sorted(made) == sorted(seen)
    await rows.close()


FORMAT = CursorFormat("things", str, ObjectId)
KEY = ("Nguyễn", ObjectId("6b08bc9e5281b79e820259bb"))


def test_a_cursor_is_opaque_and_means_what_was_encoded() -> None:
    cursor = FORMAT.encode(KEY)
    assert KEY == FORMAT.parse(cursor)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    moment, numbers = now(), CursorFormat("numbers", type(now()), int)
    assert (moment, 7) == numbers.parse(numbers.encode((moment, 7)))


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "%", "null", "0", "{}", "é", "====", "x" * (MAX_LENGTH + 1), "-" * 40),
        FORMAT.encode(KEY) + "=",
        FORMAT.encode(KEY) + "A",
        FORMAT.encode(KEY)[:-1],
        CursorFormat("others", str, ObjectId).encode(KEY),
        CursorFormat("things", str, int).encode(("a", 1)),
        CursorFormat("things", str).encode(("a",)),
        *(
            base64.urlsafe_b64encode(json).decode().rstrip("=")
            for json in (
                b"[]",
                b"{}",
                b"7",
                b'"things"',
                b'["things"]',
                b'["things",1,2]',
                b"\xff",
                b'["things","a",null]',
            )
        ),
    ],
)
def test_an_invalid_cursor_is_rejected(text: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        FORMAT.parse(text, "after")
    assert "after" == caught.value.fields[0].field


@pytest.mark.parametrize("value", [-1, 10**30, True, 1.5, "1"])
def test_a_time_out_of_range_is_rejected(value: Any) -> None:
    text = base64.urlsafe_b64encode(str(["n", value]).lower().replace("'", '"').encode()).decode().rstrip("=")
    with pytest.raises(ValidationFailed):
        CursorFormat("n", type(now())).parse(text)
