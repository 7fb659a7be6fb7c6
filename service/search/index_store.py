"""The store of the search index: a head for each conversation, and the buckets of its chunks."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from service.common.errors import Unavailable
from service.datastores.find_by_ids import IDS_PER_READ, find_by_ids, find_in_lists
from service.datastores.mongo import Database, Document, committed_reads, only_duplicates, unavailable
from service.search import layout
from service.search.layout import Chunk
from service.search.postings import LARGE, Postings, computed

STATE: Document = {"_id": "index"}
NO_POSTINGS = Postings.of({})
MAX_BUCKET_BYTES = 2 << 20
"""Of the postings of a bucket: twice what a conversation of long messages needs. If somebody fills a conversation with
invented words that begin alike, the rarest of them are not found there. A bucket that is too large for the database
would stop the indexing of everybody's messages."""


class Conflict(Exception):
    """Another process has changed the index of the same conversation: read it again."""


class Head(NamedTuple):
    """What is indexed of a conversation: its messages up to the seq `indexed`.

    `tail`: the postings of those that fill no block yet; those of the others are in `layout.chunks`. `obsolete`: chunks
    that have become part of larger ones, and may not be deleted yet. `version` increases with each change; 0: the
    conversation has no head. `generation`: see IndexStore.
    """

    id: ObjectId
    version: int = 0
    indexed: int = 0
    tail: Postings = NO_POSTINGS
    obsolete: Sequence[Chunk] = ()
    generation: int = 0

    @property
    def blocks(self) -> int:
        """How many blocks are full."""
        return self.indexed // layout.BLOCK

    @property
    def tail_before(self) -> int:
        """The seq before the first message of the tail."""
        return self.blocks * layout.BLOCK


class Bucket(NamedTuple):
    """One of the documents of a chunk."""

    conversation_id: ObjectId
    chunk: Chunk
    number: int

    @property
    def id(self) -> str:
        return f"{self.conversation_id}/{self.chunk.level}/{self.chunk.number}/{self.number}"


class IndexStore:
    """`search_heads`, one for each conversation with messages, and `search_buckets`. All methods raise Unavailable.

    A head is written only if it still has the version that was read, so of several processes that index a conversation,
    one proceeds, and the others get Conflict. Buckets carry the version of the head under which they were written (see
    `claim`), and are not replaced by those of an earlier version: a process that was stalled cannot bring anything back
    that has been removed from the index meanwhile.

    `search_index` has one document with the `generation` of the index: a head with an earlier one has to be
    rebuilt. `complete` is the last generation in which all messages have been indexed.
    """

    def __init__(self, database: Database) -> None:
        self._heads = database["search_heads"]
        self._buckets = database["search_buckets"]
        self._index = database["search_index"]
        self._committed_heads = committed_reads(self._heads)
        self._committed_buckets = committed_reads(self._buckets)

    async def create_indexes(self) -> None:
        """All is found by `_id`: each further index would cost every write."""

    async def heads(self, conversation_ids: Collection[ObjectId]) -> dict[ObjectId, Head]:
        """Return the heads of these conversations, by id; an empty one for each that has none."""
        found = await find_by_ids(self._committed_heads, conversation_ids)
        stored = {document["_id"]: _head(document) for document in found}
        return {each: stored.get(each) or Head(each) for each in conversation_ids}

    async def write_heads(self, heads: Sequence[Head]) -> None:
        """Store these, each with the next version. Raises Conflict if one has not the version that is stored."""
        if not heads:
            return
        updates = [
            UpdateOne({"_id": head.id, "version": head.version}, {"$set": _fields(head)}, upsert=not head.version)
            for head in heads
        ]
        try:
            async with unavailable():
                result = await self._heads.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise Unavailable("The database cannot do this just now.") from error
            raise Conflict from error
        if result.matched_count + result.upserted_count < len(heads):
            raise Conflict

    async def claim(self, head: Head) -> Head:
        """Return the head with the next version, under which buckets can be written. Raises Conflict."""
        claimed = {"$set": {"version": head.version + 1}}
        if not head.version:
            claimed = {"$set": _fields(head)}
        try:
            async with unavailable():
                result = await self._heads.update_one(
                    {"_id": head.id, "version": head.version}, claimed, upsert=not head.version
                )
        except DuplicateKeyError as error:
            raise Conflict from error
        if not result.matched_count and result.upserted_id is None:
            raise Conflict
        return head._replace(version=head.version + 1)

    async def read(self, buckets: Collection[Bucket]) -> dict[Bucket, Postings]:
        """Return those of the buckets that exist."""
        by_id = {(each.conversation_id, each.id): each for each in buckets}
        if not by_id:
            return {}
        found = await find_in_lists(self._committed_buckets, "conversation_id", by_id.keys())
        result: dict[Bucket, Postings] = {}
        for each in found:
            postings = result[by_id[each["conversation_id"], each["_id"]]] = Postings.parse(each)
            if len(postings) > LARGE:
                await asyncio.sleep(0)
        return result

    async def write(self, postings: Mapping[Bucket, Postings], version: int) -> None:
        """Store these buckets, claimed with `version`. Raises Conflict if one was written with it or a later one."""
        operations: list[ReplaceOne[Document]] = []
        for bucket, each in postings.items():
            key: Document = {"_id": bucket.id, "conversation_id": bucket.conversation_id}
            where = key | {"version": {"$lt": version}}
            fields = await computed(partial(_fields_of, each), [each])
            operations.append(ReplaceOne(where, key | {"version": version} | fields, upsert=True))
        try:
            async with unavailable():
                for first in range(0, len(operations), IDS_PER_READ):
                    await self._buckets.bulk_write(operations[first : first + IDS_PER_READ], ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise Unavailable("The database cannot do this just now.") from error
            raise Conflict from error

    async def delete(self, conversation_id: ObjectId, chunks: Iterable[Chunk]) -> None:
        """Delete all buckets of these chunks."""
        ids = [Bucket(conversation_id, chunk, number).id for chunk in chunks for number in range(chunk.buckets)]
        async with unavailable():
            for first in range(0, len(ids), IDS_PER_READ):
                part = {"_id": {"$in": ids[first : first + IDS_PER_READ]}, "conversation_id": conversation_id}
                await self._buckets.delete_many(part)

    async def generation(self) -> int:
        return int((await self._state())["generation"])

    async def next_generation(self) -> None:
        """Have the whole index rebuilt."""
        async with unavailable():
            await self._index.update_one(STATE, {"$inc": {"generation": 1}}, upsert=True)

    async def is_complete(self) -> bool:
        """Return whether all messages that were stored before the first start have been indexed."""
        state = await self._state()
        return bool(state.get("complete") == state["generation"])

    async def set_complete(self, generation: int) -> None:
        """Note that all messages are indexed in this generation or a later one."""
        async with unavailable():
            await self._index.update_one(STATE, {"$max": {"complete": generation}}, upsert=True)

    async def set_incomplete(self) -> None:
        """Have the next process that holds the lease look for messages that are not indexed."""
        async with unavailable():
            await self._index.update_one(STATE, {"$unset": {"complete": ""}})

    async def _state(self) -> Document:
        async with unavailable():
            found: Document | None = await self._index.find_one(STATE)
        return {"generation": 0, **(found or {})}


def _head(document: Document) -> Head:
    return Head(
        document["_id"],
        document["version"],
        document["indexed"],
        Postings.parse(document),
        [Chunk(*each) for each in document["obsolete"]],
        document["generation"],
    )


def _fields_of(postings: Postings) -> dict[str, Any]:
    return postings.fitting(MAX_BUCKET_BYTES).as_fields()


def _fields(head: Head) -> dict[str, Any]:
    return {
        "version": head.version + 1,
        "indexed": head.indexed,
        "obsolete": [list(each) for each in head.obsolete],
        "generation": head.generation,
        **head.tail.as_fields(),
    }
