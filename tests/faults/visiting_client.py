"""A device of a user who joins conversations and leaves them, again and again."""

import random

from tests.faults.api_client import ApiClient
from tests.faults.chat_client import ChatClient, Replica
from tests.faults.ledger import Json
from tests.faults.users import User


class VisitingClient(ChatClient):
    """It has a replica of each conversation of which it was told that the user is in it.

    `joined`: the conversations that the user has joined, by the responses to their requests; `leaving`: those that they
    have asked to leave, until the client is told that they are out. `seen`: the ids of all messages that the client has
    ever got, by conversation.

    The processes learn of a change of the members one after the other. So at the beginning and at the end of a stay,
    between messages of processes that know of it, one of another may be missing. At the beginning, the client asks for
    what is missing when the announcement arrives. At the end, it would ask, and be told that the user is out.
    """

    def __init__(self, user: User, api: ApiClient, random: random.Random) -> None:
        super().__init__(user, api, random)
        self.joined: set[str] = set()
        self.leaving: set[str] = set()
        self.seen: dict[str, set[str]] = {}
        self._announced: set[str] = set()
        """Conversations that a `hello` or `conversation_updated` has shown since the user joined them."""

    async def _on_event(self, event: Json) -> None:
        kind, conversation = event["type"], event.get("conversation_id", "")
        if kind == "hello":
            self._announced = {head["conversation_id"] for head in event["conversations"]}
            for left in self.replicas.keys() - self._announced:
                del self.replicas[left]
                self.leaving.discard(left)
        elif kind == "conversation_updated":
            self._announced.add(conversation)
            if self.rev(conversation) < event["data"]["last_rev"]:
                await self._ask(conversation)
        elif kind == "conversation_removed":
            self._announced.discard(conversation)
            self.leaving.discard(conversation)
            self.replicas.pop(conversation, None)
            if conversation in self.joined:
                # The answer to an earlier `sync`: the user has joined again since.
                await self._ask(conversation)
            self.changes.notify()
            return
        elif kind == "new_message":
            self._note(conversation, [event["data"]])
            if conversation not in self.replicas:
                await self._ask(conversation)
        elif kind == "reset":
            # The announcement of a conversation that the user has joined may be among what was missed.
            for joined in self.joined - self.replicas.keys():
                await self._ask(joined)
        elif kind == "sync":
            self._note(conversation, event["data"]["messages"])
        await super()._on_event(event)

    def _on_silent_gap(self, conversation: str, what: str) -> None:
        if conversation in self._announced and conversation not in self.leaving:
            super()._on_silent_gap(conversation, what)

    async def _ask(self, conversation: str) -> None:
        """Ask for the messages after those that the client has."""
        self.replicas.setdefault(conversation, Replica()).catching_up = True
        await self._sync([conversation])

    def _note(self, conversation: str, messages: list[Json]) -> None:
        self.seen.setdefault(conversation, set()).update(message["id"] for message in messages)
