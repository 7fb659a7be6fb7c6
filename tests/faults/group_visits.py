"""Visits to groups: users join, write, and leave or are removed; and the account of all of it."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.faults.environment import FaultEnvironment
from tests.faults.ledger import Json
from tests.faults.users import User
from tests.faults.visiting_client import VisitingClient

NOTICE_TIMEOUT = 60.0
"""Seconds until a visitor has what was announced to them, even if the announcement is lost, and nothing follows it: a
process compares what it has received every 40, and spreads the resets over 5."""


@dataclass
class Group:
    """`residents`: those who never leave; the first one is the owner. `last_seq`: that of the last message that one of
    them is known to have received."""

    id: str
    residents: list[User]
    last_seq: int = 0


@dataclass
class Visit:
    """`begun_after`: the seq of a message from before the visit. `received`: the messages that the client had when it
    had received the visitor's own, whose seq is `written`. `end`: `left` or `removed`; empty if they have stayed."""

    begun_after: int
    received: set[str] = field(default_factory=set)
    written: int = 0
    end: str = ""


class Visitor:
    """A user who visits groups, one after the other. Some of the last visits do not end.

    No message is changed there, so that the `rev` of each is its `seq`.
    """

    def __init__(self, env: FaultEnvironment, client: VisitingClient, groups: Sequence[Group]) -> None:
        self.client = client
        self.visits: dict[str, list[Visit]] = {group.id: [] for group in groups}
        self._env = env
        self._groups = list(groups)

    async def run(self, stop: asyncio.Event) -> None:
        chance = self._env.random
        while not stop.is_set():
            for group in chance.sample(self._groups, len(self._groups)):
                visit = await self._join(group)
                if not stop.is_set() or chance.random() < 0.5:
                    await self._end(group, visit, chance.choice(("left", "left", "removed")))

    async def _join(self, group: Group) -> Visit:
        visit = Visit(group.last_seq)
        self.visits[group.id].append(visit)
        api, owner = self._env.api, group.residents[0]
        # A new one each time: the one from before a removal is no longer good for the removed user.
        invitation = await api.call("POST", f"/conversations/{group.id}/invitations", owner)
        await api.call("POST", f"/invitations/{invitation['token']}", self.client.user)
        self.client.joined.add(group.id)
        visit.written = (await self.client.send(group.id, f"{self.client.user.username} is here"))["rev"]
        await self.client.changes.wait_until(
            lambda: self.client.rev(group.id) >= visit.written, "the visitor has their own message", NOTICE_TIMEOUT
        )
        visit.received = set(self.client.replicas[group.id].messages)
        return visit

    async def _end(self, group: Group, visit: Visit, how: str) -> None:
        visit.end = how
        self.client.joined.discard(group.id)
        self.client.leaving.add(group.id)
        user = self.client.user
        by = group.residents[0] if how == "removed" else user
        answer = await self._env.api.request("DELETE", f"/conversations/{group.id}/participants/{user.id}", by)
        # The response to a first request may have been lost. Whether it was done once, the system messages show.
        assert answer.status_code in (204, 404), answer.text
        await self.client.changes.wait_until(
            lambda: group.id not in self.client.replicas, "the visitor learns of the end", NOTICE_TIMEOUT
        )

    def problems(self, group: Group, stored: Sequence[Json]) -> Iterator[str]:
        """Yield what differs from the group's stored messages, in the order of `seq`."""
        user, visits = self.client.user, self.visits[group.id]
        changes = [message for message in stored if message["kind"] != "text" and _concerns(message["event"], user.id)]
        expected = [kind for visit in visits for kind in ("joined", visit.end) if kind]
        if expected != (kinds := [message["kind"] for message in changes]):
            yield f"{user.username}'s visits: {expected}, system messages: {kinds}"
            return
        seqs = iter(message["seq"] for message in changes)
        seen = self.client.seen.get(group.id, set())
        out_since = 0
        for visit in visits:
            joined = next(seqs)
            # Between the two, they may see it or not: they joined there.
            yield from self._too_much(stored, seen, out_since, visit.begun_after)
            out_since = next(seqs) if visit.end else len(stored)
            received, until = visit.received, visit.written
            if not visit.end:
                received, until = set(self.client.replicas[group.id].messages), len(stored)
            missing = [each["seq"] for each in stored[joined:until] if each["id"] not in received]
            if missing:
                yield f"{user.username} was in {group.id} from {joined} to {until}, and has not received {missing}"
        yield from self._too_much(stored, seen, out_since, len(stored))

    def _too_much(self, stored: Sequence[Json], seen: set[str], after: int, until: int) -> Iterator[str]:
        found = [message["seq"] for message in stored[after:until] if message["id"] in seen]
        if found:
            yield f"{self.client.user.username} was not in the group from {after} to {until}, and has received {found}"


def _concerns(event: Json, user_id: str) -> bool:
    return bool(user_id in event.get("user_ids", ()) or (event["by"] == user_id and "user_ids" not in event))
