"""People with something to take from them, and for every field of the API a value that is right for them."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from tests.protocol.world import PASSWORD_MARK, Person, World, words
from tests.security.surface import Call, Field, Frame, Surface

Json = Any

LAST = ("/auth/refresh", "/auth/password", "/auth/logout")
"""The calls that change what the others need, in this order."""


class Scene:
    """Anna and Ben talk in a group; Ben has commented on her post, which she was told of; Eve is a stranger to both."""

    def __init__(self, world: World, anna: Person, ben: Person, eve: Person, values: dict[str, Json]) -> None:
        self.world, self.anna, self.ben, self.eve = world, anna, ben, eve
        self.values = values
        """By the name of a field or parameter: what Anna would send."""

    @classmethod
    async def of(cls, world: World) -> "Scene":
        anna, ben, eve = await world.people(3)
        group = await anna.talk(ben, title="A group")
        message = await anna.say(group)
        await ben.say(group)
        post = await anna.publish()
        stream = await anna.stream()
        comment = await ben.comment(post)
        notification = (await stream.notification())["data"]["notification_id"]
        await stream.leave()
        await anna.device()
        (other,) = [item for item in (await anna.get("/auth/sessions"))["items"] if not item["current"]]
        device = await anna.device()
        values = {
            "conversation_id": group,
            "message_id": message["id"],
            "reply_to": message["id"],
            "post_id": post,
            "parent_id": comment["id"],
            "notification_id": notification,
            "session_id": other["id"],
            "user_id": ben.id,
            "user_ids": [ben.id],
            "participant_ids": [ben.id],
            "emoji": "%F0%9F%91%8D",
            "conversations": {group: 0},
            "content": words(),
            "nonce": uuid4().hex,
            "username": f"n{uuid4().hex[:20]}",
            "password": f"{PASSWORD_MARK}-new",
            "current_password": anna.password,
            "new_password": f"{PASSWORD_MARK}-newer",
            "refresh_token": device.refresh_token,
            "token": anna.token,
            "avatar": "https://a.example/a.png",
            "query": anna.username,
            "before": None,
        }
        return cls(world, anna, ben, eve, values)

    def value(self, field: Field) -> Json:
        known = self.values.get(field.name)
        if isinstance(known, list) and not field.allows(known):
            known = ",".join(known)
        return known if known is not None and field.allows(known) else field.example()

    def body(self, call: Call) -> dict[str, Json]:
        """A body that is right; a sign-in is Anna's own."""
        body = {field.name: self.value(field) for field in call.body}
        if call.path == "/auth/login":
            body |= {"username": self.anna.username, "password": self.anna.password}
        return body

    def frame(self, frame: Frame) -> dict[str, Json]:
        return {field.name: self.value(field) for field in frame.fields if field.name not in ("type", "ref")}

    def query(self, call: Call) -> dict[str, str]:
        """The parameters that a call cannot do without."""
        return {field.name: str(self.value(field)) for field in call.in_query if field.required}

    async def make(self, who: Person, call: Call, body: Json = None, **changes: Json) -> httpx.Response:
        """Have `who` do it as Anna would, but for `body` and for `changes` of what is in the path."""
        body = self.body(call) if body is None and call.body else body
        url = call.url({**self.values, **changes})
        return await who.call(call.method, url, body, params=self.query(call))

    async def everything(self, surface: Surface) -> Mapping[str, Json]:
        """All that Anna and Ben can read."""
        found = {}
        for who in (self.anna, self.ben):
            for call in surface.requests:
                if call.reads:
                    answer = await self.make(who, call)
                    found[f"{who.username} {call}"] = answer.status_code, answer.content
        return found


def in_order(calls: list[Call]) -> list[Call]:
    """So that each finds what it needs: readers first, then those that take away, small things first."""
    methods = ("GET", "PUT", "POST", "PATCH", "DELETE")

    def place(call: Call) -> tuple[int, int, int]:
        last = LAST.index(call.path) if call.path in LAST else -1
        return last, methods.index(call.method), -call.path.count("/")

    return sorted(calls, key=place)
