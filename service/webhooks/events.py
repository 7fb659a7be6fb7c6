"""What a webhook says: the events of the contract, made from the changes of the collections."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from service.common.encoding import dumps
from service.common.times import iso
from service.datastores.change_follower import Change, Updates, Wanted
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, committed_reads
from service.notifications.notification_store import REACTED_COMMENT
from service.webhooks.delivery_store import Delivery
from service.webhooks.external_ids import ExternalIds


class Source(NamedTuple):
    """Where events of one noun come from. `created`, `updated`: their types. `refs`: fields with the id of a `user`
    or `conversation`, whose external id is added. `ids`: other ids. `values`: sequence numbers and kinds, with
    defaults. `hidden`: fields that decide what is said, and are not said themselves. `corrected(document)` returns the
    values that are stored in another sense than they are said."""

    collection: str
    created: str
    updated: str | None = None
    updates: Updates | None = None
    refs: Mapping[str, str] = {}
    ids: Sequence[str] = ()
    values: Mapping[str, Any] = {}
    hidden: Sequence[str] = ()
    corrected: Callable[[Document], Document] = lambda document: {}

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.refs, *self.ids, *self.values, *self.hidden)


BARRIER = "barrier"
"""The kind of a document among the messages that is none: see `chat.direct_blocks.DirectBlocks`."""


def _deleted(message: Document) -> Document:
    """System messages are stored like deleted ones: see `chat.message_store.MessageStore`."""
    return {"deleted": False} if "kind" in message else {}


def _is_told(change: Change, document: Document) -> bool:
    if document.get("erased") or document.get("kind") == BARRIER:
        return False
    # What changes in a direct conversation is only who blocks whom, and whose history is deleted.
    return change.created or change.collection != CONVERSATION or document.get("kind") != "direct"


def _about(notification: Document) -> Document:
    """The comment that a reaction is to is stored under another name than the one that a notification is of."""
    return {"comment_id": str(notification[REACTED_COMMENT])} if REACTED_COMMENT in notification else {}


USER, CONVERSATION = "users", "conversations"
SOURCES = {
    source.collection: source
    for source in (
        Source(
            "messages",
            "message.created",
            "message.updated",
            # `claims` has all revs of a message: a second one, if it was changed.
            Updates("rev", "changed_at", {"claims.1": {"$exists": True}}, indexed=True),
            {"conversation_id": CONVERSATION, "sender_id": USER},
            values={"kind": "text", "seq": 0, "rev": 0, "deleted": False},
            corrected=_deleted,
        ),
        Source(
            CONVERSATION,
            "conversation.created",
            "conversation.updated",
            Updates("version", "changed_at"),
            {"owner_id": USER},
            values={"external_id": None, "kind": "group", "version": 0},
        ),
        Source("posts", "post.created", refs={"author_id": USER}, hidden=("erased",)),
        Source(
            "comments",
            "comment.created",
            refs={"author_id": USER},
            ids=("post_id", "parent_id"),
            values={"number": 0},
        ),
        Source(
            "notifications",
            "notification.created",
            refs={"user_id": USER, "sender_id": USER},
            ids=("post_id", "comment_id"),
            values={"type": "", "seq": 0},
            hidden=(REACTED_COMMENT,),
            corrected=_about,
        ),
        Source(
            USER,
            "user.created",
            "user.deleted",
            Updates("deleted_at", "deleted_at"),
            values={"external_id": None},
            hidden=("deleted_external_id",),
        ),
        Source("reports", "report.created", refs={"reporter_id": USER}, ids=("subject_id",), values={"subject": None}),
    )
}
"""By collection."""
ONCE = frozenset({"user.deleted"})
"""Updates that happen at most once to a subject: their ids need no number."""


class EventBuilder:
    """Makes deliveries of changes: those whose type is selected."""

    def __init__(self, database: Database, selected: Collection[str]) -> None:
        self._database = database
        self._selected = frozenset(selected)
        self._external_ids = ExternalIds(database)

    @property
    def wanted(self) -> list[Wanted]:
        """What to follow."""
        return [
            Wanted(
                source.collection,
                source.fields,
                source.updates if source.updated in self._selected else None,
            )
            for source in SOURCES.values()
            if {source.created, source.updated} & self._selected
        ]

    async def build(self, changes: Sequence[Change]) -> list[Delivery]:
        """Return the deliveries for these changes. The same change always gives the same id. Raises Unavailable."""
        known = [change for change in changes if self._type(change) in self._selected]
        documents = await self._complete(known)
        refs: dict[str, set[ObjectId]] = {USER: set(), CONVERSATION: set()}
        for change, document in zip(known, documents, strict=True):
            for name, collection in SOURCES[change.collection].refs.items():
                if document.get(name):
                    refs[collection].add(document[name])
        external = {collection: await self._external_ids.of(collection, ids) for collection, ids in refs.items()}
        return [
            self._delivery(change, document, external)
            for change, document in zip(known, documents, strict=True)
            if _is_told(change, document)
        ]

    def _type(self, change: Change) -> str | None:
        source = SOURCES[change.collection]
        return source.created if change.created else source.updated

    async def _complete(self, changes: Sequence[Change]) -> list[Document]:
        """Return the documents; those of updates are read, but for what the updates themselves say."""
        updated: dict[str, list[Change]] = {}
        for change in changes:
            if not change.created:
                updated.setdefault(change.collection, []).append(change)
        found: dict[ObjectId, Document] = {}
        for collection, some in updated.items():
            source = SOURCES[collection]
            # In a sharded database the changes have the shard key, too: only the shards of these documents are asked.
            where: Document = {source.updates.field if source.updates else "_id": {"$ne": None}}
            for name in set.intersection(*(set(change.key) for change in some)) - {"_id"}:
                where[name] = {"$in": list({change.key[name] for change in some})}
            ids = {change.id for change in some}
            stored = await find_by_ids(
                committed_reads(self._database[collection]), ids, dict.fromkeys(source.fields, True), where
            )
            found |= {document["_id"]: document for document in stored}
        return [{**found.get(change.id, {}), **change.fields} for change in changes]

    def _delivery(self, change: Change, document: Document, external: Mapping[str, Mapping[ObjectId, str]]) -> Delivery:
        source, type = SOURCES[change.collection], self._type(change)
        assert type
        data: dict[str, Any] = {"id": str(change.id)}
        for name, collection in source.refs.items():
            value = document.get(name)
            data[name] = str(value) if value else None
            data[f"{name.removesuffix('_id')}_external_id"] = external[collection].get(value) if value else None
        for name in source.ids:
            data[name] = str(document[name]) if document.get(name) else None
        data |= {name: document.get(name, default) for name, default in source.values.items()}
        data |= source.corrected(document)
        if former := document.get("deleted_external_id"):
            data["external_id"] = former
        webhook_id = f"{type.replace('.', '_')}_{change.id}"
        if not change.created and type not in ONCE and source.updates:
            webhook_id += f"_{document[source.updates.field]}"
        body = dumps({"type": type, "timestamp": iso(change.at), "data": data})
        return Delivery(webhook_id, type, body, change.at)
