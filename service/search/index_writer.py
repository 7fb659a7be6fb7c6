"""Writes the index of conversations: adds messages, replaces those that have changed, merges chunks."""

import asyncio
from array import array
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from bson import ObjectId

from service.datastores.mongo import Document
from service.search import layout
from service.search.index_store import Bucket, Conflict, Head, IndexStore
from service.search.layout import Chunk, bucket_of, chunks, completed, covering
from service.search.message_terms import terms_of
from service.search.postings import NUMBER, Postings, computed


class IndexWriter:
    """Messages are added in the order of their seq, so `Head.indexed` says which are: adding them again does nothing.

    All methods raise Unavailable, and Conflict if another process indexes one of the conversations; then they can be
    repeated with heads that are read again.
    """

    def __init__(self, store: IndexStore) -> None:
        self._store = store

    async def add(self, heads: Mapping[ObjectId, Head], messages: Mapping[ObjectId, Sequence[Document]]) -> list[Head]:
        """Add messages, by conversation; the seq of the first one is the next one, and there are no gaps.

        Returns the heads that are stored then."""
        short: list[Head] = []
        written: list[Head] = []
        for conversation_id, some in messages.items():
            head = heads[conversation_id]
            if not some:
                continue
            if len(some) + head.indexed - head.tail_before < layout.BLOCK:
                short.append(_with_tail(head, some))
                # Thousands of messages take some tenths of a second: others have their turn.
                await asyncio.sleep(0)
            else:
                written.append(await self._add_blocks(head, some))
        # Most conversations have a few new messages: that is one write for all of them.
        await self._store.write_heads(short)
        return written + [head._replace(version=head.version + 1) for head in short]

    async def _add_blocks(self, head: Head, messages: Sequence[Document]) -> Head:
        head = await self._store.claim(await self._without_obsolete(head))
        obsolete: list[Chunk] = []
        while messages:
            room = layout.BLOCK - (head.indexed - head.tail_before)
            filled = _with_tail(head, messages[:room])
            messages = messages[room:]
            if filled.indexed % layout.BLOCK:
                head = filled
                break
            block = Chunk(0, filled.blocks - 1)
            await self._store.write({Bucket(head.id, block, 0): filled.tail}, head.version)
            for chunk in completed(filled.blocks):
                await self._merge(head, chunk)
                obsolete += chunk.children
            head = filled._replace(tail=Postings.of({}))
        await self._store.write_heads([head._replace(obsolete=obsolete)])
        return await self._delete(head._replace(version=head.version + 1, obsolete=obsolete))

    async def _without_obsolete(self, head: Head) -> Head:
        """Delete what a process left that was killed."""
        return await self._delete(head) if head.obsolete else head

    async def _delete(self, head: Head) -> Head:
        """Delete the obsolete chunks of a head that is stored. Returns the head that is stored then."""
        if not head.obsolete:
            return head
        await self._store.delete(head.id, head.obsolete)
        head = head._replace(obsolete=())
        await self._store.write_heads([head])
        return head._replace(version=head.version + 1)

    async def _merge(self, head: Head, chunk: Chunk) -> None:
        """Write a chunk, made of its children: bucket by bucket, each of which becomes several."""
        for number in range(chunk.children[0].buckets):
            parts = [Bucket(head.id, child, number) for child in chunk.children]
            found = await self._store.read(parts)
            if len(found) < len(parts):
                raise Conflict
            postings = [found[part] for part in parts]
            merged = await computed(partial(_merged, postings, chunk, number), postings)
            await self._store.write({Bucket(head.id, chunk, each): merged[each] for each in merged}, head.version)
            # One bucket takes some milliseconds: others have their turn.
            await asyncio.sleep(0)

    async def replace(self, head: Head, messages: Collection[Document]) -> None:
        """Index these messages, which have changed, as they are now. They were read after `head`."""
        head = await self._without_obsolete(head)
        # Also for messages that are not indexed yet: another process may be about to add them as they were.
        head = await self._store.claim(head)
        tail: dict[int, set[str]] = {}
        older: dict[Chunk, dict[int, set[str]]] = {}
        for message in messages:
            seq = message["seq"]
            if chunk := covering(head.blocks, seq):
                older.setdefault(chunk, {})[seq - chunk.before - 1] = terms_of(message)
            elif seq <= head.indexed:
                tail[seq - head.tail_before - 1] = terms_of(message)
        for chunk, terms in older.items():
            await self._replace_in_chunk(head, chunk, terms)
        if changed := head.tail.replaced(tail) if tail else None:
            await self._store.write_heads([head._replace(tail=changed)])

    async def _replace_in_chunk(self, head: Head, chunk: Chunk, terms: Mapping[int, set[str]]) -> None:
        buckets = [Bucket(head.id, chunk, number) for number in range(chunk.buckets)]
        found = await self._store.read(buckets)
        if len(found) < len(buckets):
            raise Conflict
        changed: dict[Bucket, Postings] = {}
        for bucket, postings in found.items():
            own = {
                offset: {term for term in some if bucket_of(term, chunk.level) == bucket.number}
                for offset, some in terms.items()
            }
            if replaced := await computed(partial(postings.replaced, own), [postings]):
                changed[bucket] = replaced
            await asyncio.sleep(0)
        await self._store.write(changed, head.version)

    async def reset(self, head: Head, generation: int) -> None:
        """Remove everything that is indexed of a conversation, which then is of this generation."""
        head = await self._without_obsolete(head)
        empty = Head(head.id, head.version, obsolete=chunks(head.blocks), generation=generation)
        await self._store.write_heads([empty])
        await self._delete(empty._replace(version=empty.version + 1))


def _with_tail(head: Head, messages: Sequence[Document]) -> Head:
    """Return the head with further messages, which find room in the current block."""
    found = {term: array(NUMBER, offsets) for term, offsets in head.tail.items()}
    for message in messages:
        offset = message["seq"] - head.tail_before - 1
        for term in terms_of(message):
            found.setdefault(term, array(NUMBER)).append(offset)
    return head._replace(indexed=messages[-1]["seq"], tail=Postings.of(found))


def _merged(parts: Sequence[Postings], chunk: Chunk, number: int) -> dict[int, Postings]:
    """Return the buckets of `chunk` that the buckets with this number of its children become."""
    size = chunk.children[0].size
    share = chunk.buckets // chunk.children[0].buckets
    merged: dict[int, dict[str, array[int]]] = {each: {} for each in range(number * share, (number + 1) * share)}
    for index, part in enumerate(parts):
        for term, offsets in part.items():
            bucket = merged[bucket_of(term, chunk.level)]
            bucket.setdefault(term, array(NUMBER)).extend(offset + index * size for offset in offsets)
    return {each: Postings.of(terms) for each, terms in merged.items()}
