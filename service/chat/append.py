"""The append: messages and their changes take the next numbers of their conversation, from however many processes."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo.errors import BulkWriteError, DuplicateKeyError

from service.chat.conversation_store import Place
from service.chat.head_cache import HeadCache
from service.chat.message_store import MessageStore, message_of
from service.common.errors import LoaError, NonceReused, NotFound, Unavailable, ValidationFailed
from service.common.times import now
from service.datastores.mongo import Document, unavailable

MAX_COLLISIONS = 400
"""Numbers lost in a row to writers of other processes, after which a batch gives up: some seconds, far more than eight
processes at one conversation need."""
LAST_PAUSE = 0.02
MAX_CLAIMS = 1000
"""A rev may be forgotten once its message has changed this often: a write that is under way for so long has ended."""


class Draft(NamedTuple):
    """A message to be said. `nonce` makes it the same message for ever."""

    conversation_id: ObjectId
    user_id: ObjectId
    content: str
    nonce: str | None = None
    reply_to: ObjectId | None = None


class Change(NamedTuple):
    """A change of a message. `apply(document)`: the fields to set, or None where there is nothing to change; it raises
    what the user may not do. `user_id` is None where it is the operator, who need not take part."""

    conversation_id: ObjectId
    user_id: ObjectId | None
    message_id: ObjectId
    apply: Callable[[Document], Document | None]


@dataclass
class Stored:
    """A message as it is stored now, and who takes part. `event` is "" where it had been stored before."""

    message: Document
    participants: list[str]
    event: str

    @cached_property
    def shown(self) -> dict[str, Any]:
        """The message as clients see it: it is both told and acknowledged."""
        return message_of(self.message)


Outcome = Stored | Exception


class Append:
    """Optimistic append: the writer takes the last number it knows plus one, and a unique index lets one have it.

    Guarantees: a number exists only once its message is durable; seq and rev of a conversation have no holes; what one
    caller hands in for a conversation is stored in that order; who takes no part writes nothing. One call at a time.
    """

    def __init__(self, places: HeadCache, messages: MessageStore) -> None:
        self._places = places
        self._messages = messages

    async def write(self, items: Sequence[Draft | Change]) -> list[Outcome]:
        """Store all of `items`; for each its outcome. Raises Unavailable where what became of them is not known."""
        places = await self._places.of({item.conversation_id for item in items})
        outcomes: dict[int, Outcome] = {}
        for index, item in enumerate(items):
            place = places.get(item.conversation_id)
            if place is None or (item.user_id is not None and item.user_id.binary not in place.members):
                outcomes[index] = NotFound()
        await self._check_replies(items, outcomes)
        drafts = [
            (index, item) for index, item in enumerate(items) if index not in outcomes and isinstance(item, Draft)
        ]
        await self._insert(drafts, places, outcomes)
        for index, item in enumerate(items):
            if index not in outcomes and isinstance(item, Change):
                outcomes[index] = await self._change(item, places[item.conversation_id])
        return [outcomes[index] for index in range(len(items))]

    async def _check_replies(self, items: Sequence[Draft | Change], outcomes: dict[int, Outcome]) -> None:
        replies = {index: item for index, item in enumerate(items) if isinstance(item, Draft) and item.reply_to}
        found = await self._messages.by_ids({item.reply_to for item in replies.values() if item.reply_to})
        for index, item in replies.items():
            first = found.get(item.reply_to) if item.reply_to else None
            if index not in outcomes and (first is None or first["conversation_id"] != item.conversation_id):
                outcomes[index] = ValidationFailed.of("reply_to", "There is no such message in this conversation.")

    async def _insert(
        self, drafts: Sequence[tuple[int, Draft]], places: dict[ObjectId, Place], outcomes: dict[int, Outcome]
    ) -> None:
        waiting = [(index, _document(draft)) for index, draft in drafts]
        collisions = 0
        while waiting:
            _number([document for _, document in waiting], places)
            done, refusal = await self._try([document for _, document in waiting])
            for index, document in waiting[:done]:
                outcomes[index] = self._settled(document, places, "new_message")
            waiting = waiting[done:]
            if refusal is None:
                continue
            index, document = waiting[0]
            place = places[document["conversation_id"]]
            outcome = await self._judge(document, place)
            if outcome is not None:
                if isinstance(outcome, Stored) and outcome.event:
                    self._settled(outcome.message, places, outcome.event)
                outcomes[index] = outcome
                waiting = waiting[1:]
            elif refusal != 11000:
                raise Unavailable("The database refuses to store messages.")
            else:
                collisions = 0 if done else collisions + 1
                await self._catch_up(document["conversation_id"], place, collisions)

    async def _try(self, documents: list[Document]) -> tuple[int, int | None]:
        """How many were stored, and the code with which the next one was refused."""
        try:
            async with unavailable():
                await self._messages.collection.insert_many(documents, ordered=True)
        except BulkWriteError as error:
            refused: list[dict[str, Any]] = error.details["writeErrors"]
            if not refused or error.details["writeConcernErrors"]:
                raise Unavailable("The database did not confirm the write.") from error
            return int(refused[0]["index"]), int(refused[0]["code"])
        return len(documents), None

    async def _judge(self, document: Document, place: Place) -> Outcome | None:
        """What a refusal means: it was stored all the same, or said before; None where its number was taken."""
        # A write that the driver repeats after losing its connection can meet itself.
        own = await self._messages.one(document["conversation_id"], document["_id"])
        if own:
            return Stored(own, place.participants, "new_message")
        if "nonce" not in document:
            return None
        first = await self._messages.by_nonce(document["conversation_id"], document["sender_id"], document["nonce"])
        if first is None:
            return None
        return Stored(first, place.participants, "") if first["digest"] == document["digest"] else NonceReused()

    async def _change(self, change: Change, place: Place) -> Outcome:
        for collisions in range(1, MAX_COLLISIONS + 1):
            document = await self._messages.one(change.conversation_id, change.message_id)
            if document is None:
                return NotFound()
            try:
                fields = change.apply(document)
            except LoaError as error:
                return error
            if fields is None:
                return Stored(document, place.participants, "")
            place.rev = max(place.rev, document["rev"])
            rev = place.rev + 1
            fields = fields | {"rev": rev, "claims": [*document["claims"], rev][-MAX_CLAIMS:]}
            try:
                async with unavailable():
                    result = await self._messages.collection.update_one(
                        {"_id": document["_id"], "rev": document["rev"]}, {"$set": fields}
                    )
            except DuplicateKeyError:
                await self._catch_up(change.conversation_id, place, collisions)
                continue
            if result.matched_count:
                place.rev = rev
                return Stored(document | fields, place.participants, "message_updated")
        return Unavailable("Too many are changing this message at once.")

    async def _catch_up(self, conversation_id: ObjectId, place: Place, collisions: int) -> None:
        """Learn what others have added. Raises Unavailable after too many collisions in a row."""
        if collisions > MAX_COLLISIONS:
            raise Unavailable("Too many are writing here at once.")
        if collisions > 1:
            await asyncio.sleep(random.uniform(0, min(LAST_PAUSE, 0.001 * 2**collisions)))  # noqa: S311
        await self._places.catch_up(conversation_id, place)

    @staticmethod
    def _settled(document: Document, places: dict[ObjectId, Place], event: str) -> Stored:
        place = places[document["conversation_id"]]
        place.reach(document["seq"], document["rev"])
        return Stored(document, place.participants, event)


def _document(draft: Draft) -> Document:
    document: Document = {
        "_id": ObjectId(),
        "conversation_id": draft.conversation_id,
        "sender_id": draft.user_id,
        "content": draft.content,
        "reply_to": draft.reply_to,
        "created_at": now(),
        "edited_at": None,
        "deleted": False,
        "reactions": {},
    }
    if draft.nonce is not None:
        # The content may be edited later; what the nonce stood for does not change.
        first = f"{draft.reply_to}\n{draft.content}".encode()
        document |= {"nonce": draft.nonce, "digest": hashlib.blake2b(first, digest_size=16).digest()}
    return document


def _number(documents: Sequence[Document], places: dict[ObjectId, Place]) -> None:
    """Give each the numbers that come next in its conversation, as far as `places` know."""
    ahead: dict[ObjectId, int] = {}
    for document in documents:
        conversation_id = document["conversation_id"]
        ahead[conversation_id] = step = ahead.get(conversation_id, 0) + 1
        place = places[conversation_id]
        document["seq"] = place.seq + step
        document["rev"] = place.rev + step
        document["claims"] = [document["rev"]]
