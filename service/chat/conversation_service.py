"""The use cases of conversations: participants, title, read marks, typing."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from service.chat import events
from service.chat.barrier import BARRIER, BLOCKED_BY
from service.chat.blocker_cache import BlockerCache
from service.chat.conversation_announcer import ConversationAnnouncer
from service.chat.conversation_lists import activity_of, size_of
from service.chat.conversation_store import ConversationStore, is_listed, seq_of, version_of
from service.chat.counter_reader import CounterReader
from service.chat.direct_blocks import DirectBlocks
from service.chat.members import (
    History,
    Roles,
    history_of,
    owner_of,
    participant_count,
    read_marks_of,
    read_of,
    role_of,
    start_of,
    tells_activity,
)
from service.chat.membership_filter import MembershipFilter
from service.chat.mention_counter import MentionCounter
from service.chat.message_store import MessageStore
from service.chat.models import MAX_PARTICIPANTS
from service.chat.settings_store import NONE, ArchivedRow, ConversationSettings, SettingsStore, settings_json
from service.chat.unread_counter import UnreadCounter
from service.common.blocks import Blocks, blockers
from service.common.cursor import CursorFormat
from service.common.errors import Forbidden, ValidationFailed
from service.common.page_size import fit
from service.common.profiles import Profile, Profiles, profile_of
from service.common.times import iso
from service.datastores.batcher import Batcher
from service.datastores.mongo import Document
from service.realtime.connection import Connection
from service.realtime.dispatcher import MAX_ADDRESSED, Dispatcher

MAX_PROFILES = 5
"""Profiles included with a conversation: enough for a title and a picture, however many participants it has."""
MAX_IDS = 100
"""Ids of participants included with a conversation. The others are paged: a change of a group of a thousand is sent to
each of them."""
HELLO_LIMIT = 200
"""Conversations in a hello."""
HELLO_BATCH = 32
"""Users in one read. On the embedded server twice as many take three times as long."""
HELLO_INTERVAL = 0.01
"""Seconds between the starts of two reads, at least, unless the second is for so many users: a read for one user costs
nearly as much."""
TYPING_EXPIRES_IN = 5
"""Seconds."""
MAX_LIST_READS = 20
"""Reads for one page of a list. Only a user with many archived conversations, or empty ones started by others, needs a
second."""

CURSORS = CursorFormat("conversations", datetime, ObjectId)
ARCHIVED_CURSORS = CursorFormat("archived", datetime, ObjectId)
PARTICIPANT_CURSORS = CursorFormat("participants", int, ObjectId)


class ConversationService:
    """Conversations as their participants see them. Every change is stored, then published to all of them."""

    def __init__(
        self,
        conversations: ConversationStore,
        messages: MessageStore,
        profiles: Profiles,
        dispatcher: Dispatcher,
        flush_counters: Callable[[], Awaitable[bool]],
        append_pending: Callable[[Document], Awaitable[None]],
        blocks: Blocks,
        settings: SettingsStore,
        on_removed: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        """`on_removed(user_ids)` is called with users who are no participants of a conversation any more.

        `flush_counters()` writes the counters of all messages stored so far; it returns whether any were waiting.
        `append_pending(conversation)` appends the system messages that belong to changes of a group.
        `blocks`: users are not added to a group by those whom they block."""
        self._counter_reader = CounterReader(messages, dispatcher.positions)
        self._flush_counters = flush_counters
        self._append_pending = append_pending
        # After a restart all clients reconnect at once: those that arrive during one read share the next.
        self._hellos: Batcher[str, list[dict[str, Any]]] = Batcher(
            self._read_hellos, max_batch=HELLO_BATCH, interval=HELLO_INTERVAL
        )
        self._conversations = conversations
        self.direct_blocks = DirectBlocks(conversations, messages, blocks)
        self._blocks = blocks
        self._blockers = BlockerCache(blocks)
        self._settings = settings
        self._messages = messages
        self._profiles = profiles
        self._dispatcher = dispatcher
        dispatcher.before_reset(self._catch_up_on_joins)
        self._unread = UnreadCounter(messages)
        self._mentions = MentionCounter(messages, blocks)
        self.announcer = ConversationAnnouncer(
            conversations,
            dispatcher,
            self._unread,
            self._complete_change,
            self._as_announced,
            settings,
            self._mentions,
            on_removed,
        )

    async def start(self) -> None:
        await self.announcer.start()

    async def close(self) -> None:
        await self._hellos.close()
        await self.announcer.close()

    async def create(
        self,
        user_id: str,
        others: Sequence[str],
        title: str | None,
        history: History = "since_joined",
        *,
        by_site: bool = False,
    ) -> tuple[dict[str, Any], bool]:
        """Return the conversation, and whether it was created: with one other user and no title, their direct one.

        `history`: what users see who join a group later. `by_site`: not the user decides who is in the group, but the
        site, so nobody's block is in the way.

        Raises ValidationFailed if a user does not exist, or if there is none but the caller; Forbidden if one of a
        group blocks the user; Unavailable.
        """
        others = [other for other in dict.fromkeys(others) if other != user_id]
        if not others:
            raise ValidationFailed.of("participant_ids", "A conversation needs at least one other person.")
        if len(others) >= MAX_PARTICIPANTS:
            raise ValidationFailed.of("participant_ids", f"A conversation has at most {MAX_PARTICIPANTS} participants.")
        await self.check_exist("participant_ids", others)
        owner, members = ObjectId(user_id), [ObjectId(other) for other in others]
        if len(members) == 1 and title is None:
            document, created = await self._conversations.create_direct(owner, members[0], checked=False)
            if BARRIER in document:
                document = await self.direct_blocks.reconcile(user_id, others[0]) or document
        else:
            blockable_by = None if by_site else user_id
            await self.check_addable(blockable_by, others)
            document, created = await self._conversations.create_group(owner, members, title, history), True
            document = await self.remove_refusing(document, members, blockable_by)
        await self.announcer.announce_if_marked(document)
        return await self.seen_by(user_id, document), created

    async def get(self, user_id: str, conversation_id: str) -> dict[str, Any]:
        """Return the conversation as the user sees it. Raises NotFound, Unavailable."""
        document = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        shown = await self.as_json([document], user_id)
        # Not before: the numbers may include messages that were stored after the user was removed.
        await self._conversations.check_participant(document["_id"], ObjectId(user_id))
        return shown[0]

    async def page(self, user_id: str, limit: int, before: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of conversations, the most recently active first, and the cursor of the next page.

        A direct conversation that somebody else started is not listed before it has a message, and none that the user
        has archived. Raises ValidationFailed (`before`), Unavailable.
        """
        cursor = CURSORS.parse(before) if before is not None else None
        await self._flush_counters()
        rows, settings, end = await self._read_list(ObjectId(user_id), limit + 1, cursor)
        items = await self._as_json([document for _, document in rows[:limit]], user_id, settings)
        page = fit(items)
        if len(page) < len(rows):
            end = rows[len(page) - 1][0]
        return page, CURSORS.encode(end) if end else None

    async def archived_page(
        self, user_id: str, limit: int, before: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of the archived conversations, the latest archived first, and the cursor of the next page.

        Raises ValidationFailed (`before`), Unavailable.
        """
        user, rows = ObjectId(user_id), list[tuple[ArchivedRow, Document]]()
        settings: dict[ObjectId, ConversationSettings] = {}
        cursor = ARCHIVED_CURSORS.parse(before) if before is not None else None
        end = (cursor[0], cursor[1]) if cursor else None
        for _ in range(MAX_LIST_READS):
            read = await self._settings.archived(user, limit + 1, end)
            documents = await self._conversations.get_many({row.conversation_id for row in read}, user, whole=True)
            await self._counter_reader.refresh(documents.values(), user_id)
            settings |= await self._settings.of_user(user, documents)
            rows += [
                (row, document)
                for row in read
                if (document := documents.get(row.conversation_id)) and _is_archived(document, settings)
            ]
            end = read[-1].key if len(read) > limit else None
            if end is None or len(rows) > limit:
                break
        items = await self._as_json([document for _, document in rows[:limit]], user_id, settings)
        page = fit(items)
        if len(page) < len(rows):
            end = rows[len(page) - 1][0].key
        return page, ARCHIVED_CURSORS.encode(end) if end else None

    async def _read_list(
        self, user_id: ObjectId, wanted: int, before: tuple[datetime, ObjectId] | None
    ) -> tuple[
        list[tuple[tuple[datetime, ObjectId], Document]],
        dict[ObjectId, ConversationSettings],
        tuple[datetime, ObjectId] | None,
    ]:
        """Return `wanted` rows of the list behind `before`, each with its sort key and up-to-date counters; the user's
        settings of them; and where reading has ended.

        Fewer rows are the last ones if the latter is None.
        """
        rows: list[tuple[tuple[datetime, ObjectId], Document]] = []
        settings: dict[ObjectId, ConversationSettings] = {}
        for _ in range(MAX_LIST_READS):
            documents = await self._conversations.lists.page(user_id, wanted, before)
            # Taken before the refresh, which moves conversations with new messages to where this page does not begin.
            keys = [activity_of(document) for document in documents]
            await self._counter_reader.refresh(documents, str(user_id))
            settings |= await self._settings.of_user(user_id, [document["_id"] for document in documents])
            rows += [
                (key, document)
                for key, document in zip(keys, documents, strict=True)
                if is_listed(document, user_id) and not _is_archived(document, settings)
            ]
            if len(documents) < wanted:
                return rows[:wanted], settings, None
            before = keys[-1]
            if len(rows) >= wanted:
                break
        return rows[:wanted], settings, before

    async def heads_for_hello(self, user_id: str) -> list[dict[str, Any]]:
        """Return the heads of the most recently active conversations; their events are delivered in order from there.

        Raises Unavailable.
        """
        return await self._hellos.submit(user_id)

    async def _read_hellos(self, user_ids: Sequence[str]) -> list[list[dict[str, Any]]]:
        # The strings of the callers: what is remembered of thousands of users would else have copies.
        users = {ObjectId(user_id): user_id for user_id in user_ids}
        recent = await self._conversations.lists.recent(users, HELLO_LIMIT)
        truncated = any(len(documents) == HELLO_LIMIT for documents in recent.values())
        # A conversation that was left out may be the most active one, with counters that are not written yet.
        if truncated and await self._flush_counters():
            recent = await self._conversations.lists.recent(users, HELLO_LIMIT)
        await self._counter_reader.refresh_each({users[user]: documents for user, documents in recent.items()})
        for documents in recent.values():
            documents.sort(key=activity_of, reverse=True)
        for user, documents in recent.items():
            for document in documents:
                topic = events.TOPIC + str(document["_id"])
                self._dispatcher.set_position(topic, document["last_rev"], [users[user]])
                if (size_of(document) or 0) > MAX_ADDRESSED:
                    self._dispatcher.join_room(topic, document["last_rev"], users[user])
        await self._join_rooms({user for user, documents in recent.items() if not _show_all_rooms(documents)})
        return [[_head_json(document, user_id) for document in recent[ObjectId(user_id)]] for user_id in user_ids]

    async def _join_rooms(self, users: Collection[ObjectId]) -> None:
        if not users:
            return
        for user, rooms in (await self._conversations.lists.larger_than(MAX_ADDRESSED, users)).items():
            for conversation_id, last_rev in rooms.items():
                self._dispatcher.join_room(events.TOPIC + str(conversation_id), last_rev, str(user))

    async def _catch_up_on_joins(self, connections: Collection[Connection]) -> None:
        """Do what a `conversation_updated` would have done that these connections may have missed: join the rooms of
        their users, and no longer withhold events of conversations that a user has left and joined again."""
        await self._join_rooms({ObjectId(each.user_id) for each in connections})
        for connection in connections:
            membership = connection.event_filter
            if not isinstance(membership, MembershipFilter):
                continue
            if left := [ObjectId(conversation_id) for conversation_id in membership.left()]:
                joined = await self._conversations.get_many(left, ObjectId(connection.user_id))
                for conversation_id, document in joined.items():
                    membership.join(str(conversation_id), version_of(document))

    async def participants(
        self, user_id: str, conversation_id: str, limit: int, after: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return a page of the participants, in the order of joining, and the cursor of the next page.

        Raises NotFound, ValidationFailed (`after`), Unavailable.
        """
        place = PARTICIPANT_CURSORS.parse(after, "after") if after is not None else None
        document = await self.get_document(conversation_id, user_id)
        rows, more = await self._conversations.participants(document, place, limit)
        profiles = await self._profiles.profiles(str(row.user_id) for row in rows) if rows else {}
        roles = Roles(document)
        items = [
            {
                "user": profile_of(str(row.user_id), profiles).model_dump(),
                "role": roles.of(row.user_id),
                "joined_at": iso(row.joined_at),
                "last_read_seq": row.last_read_seq,
            }
            for row in rows
        ]
        # The participants may have been read after the caller was removed.
        await self._conversations.check_participant(document["_id"], ObjectId(user_id))
        return items, PARTICIPANT_CURSORS.encode((rows[-1].place, rows[-1].user_id)) if rows and more else None

    async def mark_read(self, user_id: str, conversation_id: str, seq: int) -> dict[str, Any]:
        """Move the user's read mark forward, at most to the last message.

        Publishes it to the participants; in a large conversation (MAX_NOTIFIED) to the user's own connections only.

        Raises NotFound, Unavailable.
        """
        user, key = ObjectId(user_id), ObjectId(conversation_id)
        counters = await self._conversations.counters(key, user)
        await self._counter_reader.refresh([counters], user_id)
        last, mark = seq_of(counters), read_of(counters, user)
        seq = min(seq, last)
        if seq >= mark:
            await self._conversations.mark_read(key, user, seq)
            # Read after the write, and published even if the mark was there already: this may be a repeated request.
            document = await self._conversations.get(key, user)
            mark = max(seq, read_of(document, user))
            recipients = [str(member) for member in document["participants"]] if tells_activity(document) else [user_id]
            self._dispatcher.publish(events.read(conversation_id, user_id, mark), recipients, room=True)
        unread = await self._unread.count(counters, mark)
        return {"conversation_id": conversation_id, "last_read_seq": mark, "unread_count": unread}

    async def on_block_changed(self, user_id: str, other: str) -> None:
        """Bring what depends on the blocks between two users in step, after each change of one. Idempotent. Raises
        Unavailable."""
        self._blockers.forget([user_id, other])
        await self.direct_blocks.reconcile(user_id, other)

    async def publish_typing(self, user_id: str, conversation_id: str, active: bool = True) -> None:
        """Publish to the other participants that `user_id` is typing, or no longer; not in a large conversation
        (MAX_NOTIFIED), nor where one of two users blocks the other, nor to those in a group who block the user. Such a
        block in a group counts after up to ten seconds if another process has changed it (see BlockerCache).

        Raises NotFound, Unavailable.
        """
        document = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        if not tells_activity(document) or BARRIER in document:
            return
        others = [str(member) for member in document["participants"] if str(member) != user_id]
        if document["kind"] == "group":
            refusing = await self._blockers.in_group(user_id, conversation_id, version_of(document), others)
            others = [member for member in others if member not in refusing]
        expires_in = TYPING_EXPIRES_IN if active else 0
        self._dispatcher.publish(events.typing(conversation_id, user_id, expires_in), others, room=True)

    async def get_document(self, conversation_id: str, user_id: str) -> Document:
        """Return the stored conversation with up-to-date counters. Raises NotFound, Unavailable."""
        document = await self._conversations.get(ObjectId(conversation_id), ObjectId(user_id))
        await self._counter_reader.refresh([document], user_id)
        return document

    async def count_all(self, document: Document) -> None:
        """Raise the counters of `document` to all messages that any process has stored. Raises Unavailable."""
        last_rev = -1
        while document["last_rev"] > last_rev:
            last_rev = document["last_rev"]
            await self._counter_reader.refresh_from_messages(document)

    async def check_exist(self, field: str, user_ids: Collection[str]) -> None:
        """Check that all these users exist. Raises ValidationFailed (`field`), Unavailable."""
        known = await self._profiles.existing(user_ids) if user_ids else set()
        if missing := [user_id for user_id in user_ids if user_id not in known]:
            raise ValidationFailed.of(field, f"There is no user {missing[0]}.")

    async def check_addable(self, user_id: str | None, others: Collection[str]) -> None:
        """Check that none of the others blocks the user, who adds them to a group; None: the site does, or they join by
        themselves. Raises Forbidden, Unavailable."""
        if user_id and (refusing := await blockers(self._blocks, user_id, others)):
            raise Forbidden(f"The user {min(refusing)} cannot be added to a group by you.")

    async def remove_refusing(self, document: Document, added: Sequence[ObjectId], user_id: str | None) -> Document:
        """Remove those of the participants just added whose deletion began meanwhile, or who have blocked `user_id`
        meanwhile (see `check_addable`); return the conversation.

        The deletion leaves the groups that it finds, and may have looked before they were added.
        """
        ids = [str(member) for member in added]
        existing = await self._profiles.existing(ids) if ids else set()
        refusing = await blockers(self._blocks, user_id, ids) if user_id else set()
        for member in added:
            if str(member) not in existing or str(member) in refusing:
                document = await self._conversations.groups.leave(document["_id"], member) or document
            if str(member) not in existing:
                await self._conversations.groups.forget(member)
        return document

    async def seen_by(self, user_id: str, document: Document) -> dict[str, Any]:
        """Return a conversation that was just read or changed, as `user_id` sees it. Raises Unavailable."""
        seen = await self._conversations.groups.large.seen_by(ObjectId(user_id), document)
        # Who has been removed meanwhile sees it as after their own change.
        return (await self.as_json([seen or document], user_id))[0]

    async def forget_settings(self, conversation_id: ObjectId, user_id: ObjectId) -> None:
        """Delete what a user has set in a conversation that they have left. Raises Unavailable."""
        await self._settings.delete(user_id, conversation_id)

    async def _complete_change(self, document: Document) -> None:
        """Do what a process that ended has left to do: append the system messages of its change, look up the blocks in
        a direct conversation that it created."""
        if BARRIER in document and BLOCKED_BY not in document:
            one, other = document["participants"]
            await self.direct_blocks.reconcile(str(one), str(other))
        await self._append_pending(document)

    async def _as_announced(self, document: Document) -> dict[str, Any]:
        await self._counter_reader.refresh_from_messages(document)
        return (await self.as_json([document], None))[0]

    async def as_json(self, documents: Sequence[Document], user_id: str | None) -> list[dict[str, Any]]:
        """Return the conversations as `user_id` sees them: one read each for all profiles, all last messages,
        and what of these the user sees.

        With None, what differs between the participants is left at any value. A user who was removed meanwhile sees no
        last message: it may have been stored after the removal.
        Refreshes the counters of `documents` in place.
        """
        await self._counter_reader.refresh(documents, user_id)
        ids = [document["_id"] for document in documents]
        settings = await self._settings.of_user(ObjectId(user_id), ids) if user_id else {}
        return await self._as_json(documents, user_id, settings)

    async def _as_json(
        self, documents: Sequence[Document], user_id: str | None, settings: Mapping[ObjectId, ConversationSettings]
    ) -> list[dict[str, Any]]:
        """Like `as_json`, of documents with up-to-date counters and with the user's settings of them."""
        user_ids = {str(member) for document in documents for member in _with_profile(document)}
        profiles = await self._profiles.profiles(user_ids) if user_ids else {}
        last = [(document["_id"], document["last"]["id"]) for document in documents if document["last"]["id"]]
        last_messages = await self._messages.get_many(last)
        viewer = ObjectId(user_id) if user_id else None
        if viewer:
            last_messages = await self._visible_to(viewer, last_messages)
        read_marks = [read_of(document, user_id) if user_id else seq_of(document) for document in documents]
        unread = await self._unread.count_each(documents, read_marks)
        mentions = await self._mentions.count_each(documents, read_marks, viewer) if viewer else None
        shown = {key: self._messages.as_json(each, user_id) for key, each in last_messages.items()}
        return [
            _conversation_json(document, viewer, profiles, shown.get(document["last"]["id"]))
            | {"last_read_seq": read_mark, "unread_count": count, "mention_count": mention_count}
            | settings_json(settings.get(document["_id"], NONE), seq_of(document))
            for document, read_mark, count, mention_count in zip(
                documents, read_marks, unread, mentions or [0] * len(documents), strict=True
            )
        ]

    async def _visible_to(self, user_id: ObjectId, messages: dict[ObjectId, Document]) -> dict[ObjectId, Document]:
        """Return those of the messages that the user sees. Raises Unavailable.

        Called after the messages were read: the user may have been removed, or have joined again, since the
        conversations were.
        """
        ids = {message["conversation_id"] for message in messages.values()}
        current = await self._conversations.get_many(ids, user_id)
        return {
            key: message
            for key, message in messages.items()
            if (conversation := current.get(message["conversation_id"]))
            and message["seq"] > start_of(conversation, user_id)
        }


def _is_archived(document: Document, settings: Mapping[ObjectId, ConversationSettings]) -> bool:
    return settings.get(document["_id"], NONE).is_archived(seq_of(document))


def _with_profile(document: Document) -> list[ObjectId]:
    members: list[ObjectId] = document["participants"]
    return members[:MAX_PROFILES]


def _show_all_rooms(documents: Sequence[Document]) -> bool:
    """Return whether these are all conversations of a user, and tell which of them are rooms."""
    return len(documents) < HELLO_LIMIT and all(size_of(document) is not None for document in documents)


def _head_json(document: Document, user_id: str) -> dict[str, Any]:
    return {
        "conversation_id": str(document["_id"]),
        "last_seq": seq_of(document),
        "last_rev": document["last_rev"],
        "last_read_seq": read_of(document, user_id),
    }


def _conversation_json(
    document: Document, user_id: ObjectId | None, profiles: dict[str, Profile], last_message: dict[str, Any] | None
) -> dict[str, Any]:
    members = map(str, _with_profile(document))
    return {
        "id": str(document["_id"]),
        "kind": document["kind"],
        "title": document["title"],
        "participant_count": participant_count(document),
        "participant_ids": [str(member) for member in document["participants"][:MAX_IDS]],
        "participants": [profiles[member].model_dump() for member in members if member in profiles],
        "owner_id": str(owner_of(document)),
        "history": history_of(document) if document["kind"] == "group" else None,
        "role": role_of(document, user_id) if user_id else None,
        "created_at": iso(document["created_at"]),
        "last_activity_at": iso(document["last_activity"]),
        "last_message": last_message,
        "last_seq": seq_of(document),
        "last_rev": document["last_rev"],
        "read_marks": read_marks_of(document, user_id) if user_id else None,
    }
