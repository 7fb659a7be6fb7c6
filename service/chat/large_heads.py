"""The heads of large groups, of which a process reads only what has changed."""

from collections import OrderedDict
from dataclasses import replace

from bson import ObjectId

from service.chat.conversation_head import ConversationHead
from service.chat.large_groups import LargeGroups
from service.chat.membership_store import MembershipStore
from service.datastores.mongo import Document

MAX_REMEMBERED = 200_000
"""Participants of all remembered groups together: some thirty megabytes, most of which HeadCache holds as well."""


class LargeHeads:
    """Reads the heads of large groups, and remembers the last ones: of a group of ten thousand that somebody joins, it
    then reads one membership. All methods raise Unavailable."""

    def __init__(self, groups: LargeGroups, memberships: MembershipStore) -> None:
        self._groups = groups
        self._memberships = memberships
        self._heads: OrderedDict[ObjectId, ConversationHead] = OrderedDict()
        """Ascending by the time of their use."""
        self._participant_count = 0

    def __contains__(self, conversation_id: ObjectId) -> bool:
        """Whether the head is remembered: the conversation is a large group then."""
        return conversation_id in self._heads

    async def read(self, document: Document) -> ConversationHead:
        """Return the head of a large group; `document` may lack what MembershipStore has."""
        document = await self._groups.settled(document)
        key = document["_id"]
        head = self._heads.get(key)
        while head is None or head.version != document["version"]:
            if head is None or head.version > document["version"]:
                head = ConversationHead.of(await self._groups.complete(document))
            else:
                head = head.changed(document, await self._memberships.changed(key, head.version))
            # What was read is of this version only if no change has begun meanwhile: other processes take the
            # participants of a version from it.
            document = await self._groups.current(key) or document
        head = head.changed(document, [])
        self._remember(key, head)
        # The caller changes its own.
        return replace(head)

    def _remember(self, key: ObjectId, head: ConversationHead) -> None:
        self._forget(key)
        self._heads[key] = head
        self._participant_count += len(head.participants)
        while self._participant_count > MAX_REMEMBERED and len(self._heads) > 1:
            self._forget(next(iter(self._heads)))

    def _forget(self, key: ObjectId) -> None:
        head = self._heads.pop(key, None)
        if head is not None:
            self._participant_count -= len(head.participants)
