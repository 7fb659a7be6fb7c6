"""The use cases of conversations: who talks to whom, under what title, and how far each has read."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from service.chat import events
from service.chat.conversation_store import ConversationStore, activity_of, owner_of, read_of, seq_of, version_of
from service.chat.counter_reader import CounterReader
from service.chat.message_store import MessageStore, message_of
from service.chat.models import MAX_PARTICIPANTS
from service.common.errors import Forbidden, NotFound, ValidationFailed
from service.common.profiles import Profile, Profiles
from service.common.times import iso
from service.datastores.batcher import Batcher
from service.datastores.mongo import Document
from service.realtime.dispatcher import Dispatcher

SHOWN = 20
"""Profiles that come with a conversation: enough for a title and a picture, whatever its size."""
HELLO_LIMIT = 200
HELLO_BATCH = 32
"""Users in one read. For the embedded server twice as many are three times the work."""
TYPING_SECONDS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ConversationService:
    """Conversations as their participants see them. Every change is stored, and then told to all of them."""

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        profiles: Profiles,
        dispatcher: Dispatcher,
        counted: Callable[[], Awaitable[bool]],
    ) -> None:
        """`counted()` returns once all that was said up to now is in the order of the conversations, and whether it was
        not before."""
        self._freshness = CounterReader(messages, dispatcher.last_known)
        self._counted = counted
        # After a restart everybody comes back at once: those who come while one read is out share the next.
        self._hellos: Batcher[str, list[dict[str, Any]]] = Batcher(self._hello_all, max_batch=HELLO_BATCH)
        self._conversations = conversations
        self._messages = messages
        self._profiles = profiles
        self._dispatcher = dispatcher

    async def start(self) -> None:
        """Nothing runs before it is asked for."""

    async def close(self) -> None:
        await self._hellos.close()

    async def create(self, user_id: str, others: Sequence[str], title: str | None) -> tuple[dict[str, Any], bool]:
        """The conversation, and whether it is new: with one other and no title, the direct one of the two.

        Raises ValidationFailed where someone does not exist, or where there is nobody but the caller.
        """
        others = [other for other in dict.fromkeys(others) if other != user_id]
        if not others:
            raise ValidationFailed.of("participant_ids", "A conversation needs at least one other person.")
        if len(others) >= MAX_PARTICIPANTS:
            raise ValidationFailed.of("participant_ids", f"A conversation has at most {MAX_PARTICIPANTS} participants.")
        await self._check_exist("participant_ids", others)
        me, them = ObjectId(user_id), [ObjectId(other) for other in others]
        if len(them) == 1 and title is None:
            document, new = await self._conversations.create_direct(me, them[0])
        else:
            document, new = await self._conversations.create_group(me, them, title), True
        if new:
            await self._tell(document)
        return (await self._views([document], user_id))[0], new

    async def get(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        """Raises NotFound."""
        document = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        return (await self._views([document], user_id))[0]

    async def page(self, user_id: str, limit: int, before: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Newest activity first, and the cursor of the next page. Raises ValidationFailed (`before`)."""
        place = _parse_cursor(before) if before is not None else None
        await self._counted()
        documents = await self._conversations.page(ObjectId(user_id), limit + 1, place)
        more = len(documents) > limit
        documents = documents[:limit]
        return await self._views(documents, user_id), _cursor(documents[-1]) if more else None

    async def hello(self, user_id: str) -> list[dict[str, Any]]:
        """Where the most recently active conversations stand; from here on their events are followed in order."""
        return await self._hellos.submit(user_id)

    async def _hello_all(self, user_ids: Sequence[str]) -> list[list[dict[str, Any]]]:
        people = {ObjectId(user_id) for user_id in user_ids}
        recent = await self._conversations.recent(people, HELLO_LIMIT)
        cut = any(len(theirs) == HELLO_LIMIT for theirs in recent.values())
        # Among those that were left out may be one that was the most active, and was not counted yet.
        if cut and await self._counted():
            recent = await self._conversations.recent(people, HELLO_LIMIT)
        documents = {document["_id"]: document for theirs in recent.values() for document in theirs}
        await self._freshness.refresh(documents.values())
        for theirs in recent.values():
            theirs.sort(key=activity_of, reverse=True)
        for document in documents.values():
            self._dispatcher.set_position(events.TOPIC + str(document["_id"]), document["last_rev"])
        return [[_number(document, user_id) for document in recent[ObjectId(user_id)]] for user_id in user_ids]

    async def rename(self, user_id: str, conversation_id: str, title: str) -> dict[str, Any]:
        """Raises NotFound, Forbidden for a direct conversation."""
        changed = await self._conversations.rename(ObjectId(conversation_id), ObjectId(user_id), title)
        return await self._changed(changed, user_id, conversation_id)

    async def add(self, user_id: str, conversation_id: str, new: Sequence[str]) -> dict[str, Any]:
        """Raises NotFound, Forbidden for a direct conversation, ValidationFailed (`user_ids`)."""
        me = ObjectId(user_id)
        document = await self._get(conversation_id, user_id)
        present = {str(member) for member in document["participants"]}
        new = [member for member in dict.fromkeys(new) if member not in present]
        await self._check_exist("user_ids", new)
        if not new and document["kind"] == "group":
            return (await self._views([document], user_id))[0]
        changed = await self._conversations.add(document, me, [ObjectId(member) for member in new])
        return await self._changed(changed, user_id, conversation_id)

    async def remove(self, user_id: str, conversation_id: str, member: str) -> None:
        """Leave, or as the owner take someone out. Raises NotFound, Forbidden. A group goes on under its next owner."""
        me, them = ObjectId(user_id), ObjectId(member)
        changed = await self._conversations.remove(ObjectId(conversation_id), me, them)
        if changed is None:
            document = await self._conversations.get(ObjectId(conversation_id), me)
            if document["kind"] == "group" and them not in document["participants"]:
                raise NotFound
            if owner_of(document) == me != document["owner_id"]:
                await self._conversations.hand_over(document["_id"], document["owner_id"], me)
                return await self.remove(user_id, conversation_id, member)
            raise Forbidden("Only the owner can take others out of a group, and nobody leaves a direct conversation.")
        if changed["owner_id"] == them and changed["participants"]:
            await self._conversations.hand_over(changed["_id"], them, owner_of(changed))
        # Whoever has taken them in again meanwhile tells them so.
        if them not in changed["participants"]:
            self._dispatcher.publish(events.conversation_removed(conversation_id, version_of(changed)), [member])
        await self._tell(changed)

    async def read(self, user_id: str, conversation_id: str, seq: int) -> dict[str, Any]:
        """Move the caller's read mark forward, to the last message at most. Raises NotFound."""
        me = ObjectId(user_id)
        document = await self._get(conversation_id, user_id)
        seq = min(seq, seq_of(document))
        if await self._conversations.read(document["_id"], me, seq):
            to = [str(member) for member in document["participants"]]
            self._dispatcher.publish(events.read(conversation_id, user_id, seq), to)
        read = max(seq, read_of(document, me))
        unread = max(0, seq_of(document) - read)
        return {"conversation_id": conversation_id, "last_read_seq": read, "unread_count": unread}

    async def typing(self, user_id: str, conversation_id: str) -> None:
        """Raises NotFound."""
        document = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        to = [str(member) for member in document["participants"] if str(member) != user_id]
        self._dispatcher.publish(events.typing(conversation_id, user_id, TYPING_SECONDS), to)

    async def _get(self, conversation_id: str, user_id: str) -> Document:
        document = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        await self._freshness.refresh([document])
        return document

    async def _check_exist(self, field: str, user_ids: Collection[str]) -> None:
        known = await self._profiles.existing(user_ids) if user_ids else set()
        if missing := [user_id for user_id in user_ids if user_id not in known]:
            raise ValidationFailed.of(field, f"There is no user {missing[0]}.")

    async def _changed(self, changed: Document | None, user_id: str, conversation_id: str) -> dict[str, Any]:
        if changed is None:
            await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
            raise Forbidden("A direct conversation stays as it is.")
        await self._tell(changed)
        return (await self._views([changed], user_id))[0]

    async def _tell(self, document: Document) -> None:
        """Tell every participant how the conversation stands: one event for all who have read as far."""
        if not document["participants"]:
            return
        view = (await self._views([document], str(document["participants"][0])))[0]
        groups: dict[int, list[str]] = {}
        for member in document["participants"]:
            groups.setdefault(read_of(document, member), []).append(str(member))
        for read, members in groups.items():
            unread = max(0, seq_of(document) - read)
            seen = view | {"last_read_seq": read, "unread_count": unread}
            event = events.conversation_updated(seen, version_of(document))
            self._dispatcher.publish(event, members)

    async def _views(self, documents: Sequence[Document], user_id: str) -> list[dict[str, Any]]:
        """As `user_id` sees them, brought up to date in place: one read for all people, one for all last messages."""
        await self._freshness.refresh(documents)
        shown = {str(member) for document in documents for member in _shown(document)}
        profiles = await self._profiles.profiles(shown) if shown else {}
        last_ids = [document["last"]["id"] for document in documents if document["last"]["id"]]
        last = await self._messages.by_ids(last_ids)
        return [_view(document, user_id, profiles, last.get(document["last"]["id"])) for document in documents]


def _shown(document: Document) -> list[ObjectId]:
    members: list[ObjectId] = document["participants"]
    return members[:SHOWN]


def _number(document: Document, user_id: str) -> dict[str, Any]:
    return {
        "conversation_id": str(document["_id"]),
        "last_seq": seq_of(document),
        "last_rev": document["last_rev"],
        "last_read_seq": read_of(document, user_id),
    }


def _view(document: Document, user_id: str, profiles: dict[str, Profile], last: Document | None) -> dict[str, Any]:
    read = read_of(document, user_id)
    return {
        "id": str(document["_id"]),
        "kind": document["kind"],
        "title": document["title"],
        "participant_ids": [str(member) for member in document["participants"]],
        "participants": [profiles[str(member)].model_dump() for member in _shown(document) if str(member) in profiles],
        "owner_id": str(owner_of(document)),
        "created_at": iso(document["created_at"]),
        "last_activity_at": iso(document["last_activity"]),
        "last_message": message_of(last) if last else None,
        "last_seq": seq_of(document),
        "last_rev": document["last_rev"],
        "last_read_seq": read,
        "unread_count": max(0, seq_of(document) - read),
    }


def _cursor(document: Document) -> str:
    milliseconds = round((document["last_activity"] - EPOCH).total_seconds() * 1000)
    return f"{milliseconds}-{document['_id']}"


def _parse_cursor(cursor: str) -> tuple[datetime, ObjectId]:
    milliseconds, _, conversation_id = cursor.partition("-")
    if not (milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= 14):
        raise ValidationFailed.of("before", "It is not a cursor of this list.")
    if not ObjectId.is_valid(conversation_id):
        raise ValidationFailed.of("before", "It is not a cursor of this list.")
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC), ObjectId(conversation_id)
