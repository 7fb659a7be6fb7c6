"""Brings the index of conversations up to date with their messages: from changes, or from what is stored."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from bson import ObjectId

from service.chat.barrier import is_barrier
from service.chat.message_store import CHANGED_AT, REV_HISTORY, MessageStore
from service.common.errors import Unavailable
from service.datastores.change_follower import Change, Updates, Wanted
from service.datastores.mongo import Document
from service.search.index_store import Conflict, Head, IndexStore
from service.search.index_writer import IndexWriter

WANTED = Wanted(
    "messages",
    (),
    # An edit and a deletion change the content; a message that has had a second rev may have been changed.
    Updates("content", CHANGED_AT, {f"{REV_HISTORY}.1": {"$exists": True}}, indexed=True),
    # New messages are handed over by the process that stores them: see IndexQueue.
    created=False,
)
MAX_GAP = 500
"""Messages that `add` reads of one conversation if there is a gap. A longer one is a backlog."""
READ_SIZE = 256
"""Messages in one read of a conversation that is behind."""
MAX_ATTEMPTS = 20
MAX_KNOWN = 500
"""Heads that are remembered as this process has written them: some megabytes."""


class IndexBuilder:
    """Indexes messages once they are stored, and again when their content changes.

    Several processes may do so at the same time: see IndexStore. All methods raise Unavailable.
    """

    on_backlog: Callable[[ObjectId, int], None] = staticmethod(lambda conversation_id, last: None)
    """Called with a conversation and its last seq if so many messages are missing that `add` leaves them to
    `catch_up`: everybody's new messages would wait for it."""

    def __init__(self, messages: MessageStore, store: IndexStore) -> None:
        self._messages = messages
        self._store = store
        self._writer = IndexWriter(store)
        self._known: dict[ObjectId, Head] = {}

    async def add(self, new: Mapping[ObjectId, Mapping[int, Document]]) -> None:
        """Add new messages, given as they were stored, by conversation and seq. Can be repeated."""
        last = {key: max(messages) for key, messages in new.items()}
        known = {key: self._known.pop(key) for key in new if key in self._known}
        try:
            await self._write(known, last, new)
        except Conflict:
            # Another process has written the index, perhaps because a message is not what it was.
            known = {}
        if others := {key: seq for key, seq in last.items() if key not in known}:
            await _repeated(lambda: self._add_stored(others))

    async def _add_stored(self, last: Mapping[ObjectId, int]) -> None:
        """Add messages up to these seqs as they are now."""
        await self._write(await self._heads(last), last, {})

    async def _write(
        self,
        heads: Mapping[ObjectId, Head],
        last: Mapping[ObjectId, int],
        new: Mapping[ObjectId, Mapping[int, Document]],
    ) -> None:
        complete = {key: await self._without_gaps(head, last[key], new.get(key, {})) for key, head in heads.items()}
        self._known.update((head.id, head) for head in await self._writer.add(heads, complete))
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def _heads(self, conversation_ids: Iterable[ObjectId]) -> dict[ObjectId, Head]:
        heads = await self._store.heads(list(conversation_ids))
        if any(not head.version for head in heads.values()):
            generation = await self._store.generation()
            return {key: head if head.version else head._replace(generation=generation) for key, head in heads.items()}
        return heads

    async def _without_gaps(self, head: Head, last: int, new: Mapping[int, Document]) -> list[Document]:
        """Return the messages that come next in the index, up to `last`; of those in `new` none is read."""
        if last - head.indexed - len(new) > MAX_GAP:
            await self._store.set_incomplete()
            self.on_backlog(head.id, last)
            return []
        found = _next(head, new)
        if len(found) < last - head.indexed:
            # A gap: other processes have stored these messages, or they are older than the first start.
            found = _next(head, {each["seq"]: each for each in await self._range(head, last)})
        return found

    async def _range(self, head: Head, last: int) -> list[Document]:
        found: list[Document] = []
        for first in range(head.indexed + 1, last + 1, READ_SIZE):
            found += await self._messages.range(head.id, first, min(last, first + READ_SIZE - 1))
        return [each for each in found if not is_barrier(each)]

    async def handle(self, changes: Sequence[Change]) -> None:
        """Index the messages of these changes as they are now. Can be repeated."""
        by_conversation: dict[ObjectId, list[ObjectId]] = {}
        for conversation_id, message_id in await self._messages.places([change.key for change in changes]):
            by_conversation.setdefault(conversation_id, []).append(message_id)
        for conversation_id, ids in by_conversation.items():
            await self.replace(conversation_id, ids)

    async def replace(self, conversation_id: ObjectId, message_ids: Sequence[ObjectId]) -> None:
        """Index messages of a conversation, which have changed, as they are now."""
        self._known.pop(conversation_id, None)
        await _repeated(lambda: self._replace_in(conversation_id, message_ids))

    async def _replace_in(self, conversation_id: ObjectId, message_ids: Sequence[ObjectId]) -> None:
        head = (await self._heads([conversation_id]))[conversation_id]
        messages = await self._messages.get_many({(conversation_id, each) for each in message_ids})
        await self._writer.replace(head, list(messages.values()))

    async def catch_up(self, conversation_id: ObjectId, last: int, generation: int = 0) -> int:
        """Add messages up to seq `last`, at most READ_SIZE. Returns how many that were; 0: there are no more.

        If what is indexed is of an earlier `generation`, it is removed first.
        """
        added = 0

        async def attempt() -> None:
            nonlocal added
            head = (await self._heads([conversation_id]))[conversation_id]
            if head.version and head.generation < generation:
                await self._writer.reset(head, generation)
                head = (await self._heads([conversation_id]))[conversation_id]
            stored = await self._range(head, min(last, head.indexed + READ_SIZE))
            found = _next(head, {each["seq"]: each for each in stored})
            await self._writer.add({conversation_id: head}, {conversation_id: found})
            added = len(found)

        await _repeated(attempt)
        return added


def _next(head: Head, messages: Mapping[int, Document]) -> list[Document]:
    """Return the messages that follow what is indexed, up to the first gap."""
    found: list[Document] = []
    while (seq := head.indexed + 1 + len(found)) in messages:
        found.append(messages[seq])
    return found


async def _repeated(step: Callable[[], Awaitable[None]]) -> None:
    """Call `step` until it meets no Conflict."""
    for _ in range(MAX_ATTEMPTS):
        try:
            await step()
        except Conflict:
            continue
        return
    raise Unavailable("Other processes change the same part of the search index.")
