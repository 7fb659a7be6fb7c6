"""Users with private data, and a valid value for every field of the API."""

import base64
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from tests.conftest import PUSH_HOST
from tests.protocol.clients import PASSWORD_MARK, Clients, User, unique_text
from tests.protocol.moderator import reset_token
from tests.push.browser import Browser
from tests.security.attack_surface import AttackSurface, Field, Frame, Operation

Json = Any

IMAGE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A pixel. As an attachment, it has a thumbnail."""

LAST = ("/users/{user_id}/block", "/auth/refresh", "/auth/password", "/auth/logout")
"""The operations that invalidate what the others need, in this order."""


class Scenario:
    """Anna and Ben share a group; Ben has commented on her post, and she was notified. Eve shares nothing with them. In
    place of these, who are still needed, a fourth user deletes their account, a fifth one is banned, and a sixth one
    has forgotten their password."""

    def __init__(
        self,
        clients: Clients,
        anna: User,
        ben: User,
        eve: User,
        leaver: User,
        outcast: User,
        forgetful: User,
        values: dict[str, Json],
    ) -> None:
        self.clients, self.anna, self.ben, self.eve, self.leaver = clients, anna, ben, eve, leaver
        self.outcast, self.forgetful = outcast, forgetful
        self.reset_token = ""
        """Of a link that has not been used."""
        self.values = values
        """What Anna would send, by the name of the field or parameter."""

    @classmethod
    async def create(cls, clients: Clients) -> "Scenario":
        anna, ben, eve, leaver, outcast, forgetful = await clients.users(6)
        group = await anna.start_conversation(ben, title="A group")
        invitation = await anna.post(f"/conversations/{group}/invitations")
        message = await anna.send_message(group)
        await ben.send_message(group)
        post = await anna.create_post()
        stream = await anna.stream()
        comment = await ben.comment(post)
        subject = {"kind": "user", "id": ben.id}
        report = await anna.post("/reports", {"subject": subject, "reason": "spam"})
        notification = (await stream.notification())["data"]["notification_id"]
        await stream.disconnect()
        await anna.sign_in_again()
        (other,) = [item for item in (await anna.get("/auth/sessions"))["items"] if not item["current"]]
        device = await anna.sign_in_again()
        attachment = await anna.request("POST", "/attachments", content=IMAGE)
        avatar = await anna.request("POST", "/attachments", content=IMAGE)
        profile = await anna.request("PATCH", "/users/me", {"avatar": avatar["url"]})
        values = {
            "conversation_id": group,
            "attachment_id": attachment["id"],
            "description": "A square",
            # It could be used only once.
            "attachments": [],
            "message_id": message["id"],
            "reply_to": message["id"],
            "post_id": post,
            "parent_id": comment["id"],
            "comment_id": (await anna.comment(post))["id"],
            "notification_id": notification,
            "report_id": report["id"],
            "subject": subject,
            "state": "resolved",
            "reason": "spam",
            "session_id": other["id"],
            "user_id": ben.id,
            "user_ids": [ben.id],
            "participant_ids": [ben.id],
            "role": "admin",
            "emoji": "%F0%9F%91%8D",
            "conversations": {group: 0},
            "content": unique_text(),
            "nonce": uuid4().hex,
            "username": f"n{uuid4().hex[:20]}",
            "password": anna.password,
            "current_password": anna.password,
            "new_password": f"{PASSWORD_MARK}-newer",
            "refresh_token": device.refresh_token,
            "token": anna.token,
            "invitation": invitation["token"],
            "avatar": profile["avatar"],
            "avatar_id": avatar["id"],
            "query": anna.username,
            "q": "word",
            "endpoint": f"https://{PUSH_HOST}/annas",
            "keys": Browser().subscription("")["keys"],
            "before": None,
            "kinds": {"NEW_COMMENT": {"in_app": True, "push": False}},
            "push": {"messages": "mentions", "preview": True},
            "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Asia/Ho_Chi_Minh"},
        }
        scenario = cls(clients, anna, ben, eve, leaver, outcast, forgetful, values)
        scenario.reset_token = await reset_token(forgetful)
        return scenario

    def value(self, field: Field) -> Json:
        known = self.values.get(field.name)
        if isinstance(known, list) and not field.allows(known):
            known = ",".join(known)
        return known if known is not None and field.allows(known) else field.example()

    def private_id(self, field: Field) -> str:
        """The id of Anna's object that `field` may name."""
        return str(self.values["attachment_id" if field.name == "attachments" else field.name])

    def body(self, operation: Operation) -> dict[str, Json]:
        """A valid body; a login uses Anna's own credentials."""
        body = {field.name: self.value(field) for field in operation.body}
        if operation.path == "/auth/login":
            body |= {"username": self.anna.username, "password": self.anna.password}
        if operation.path == "/notifications/read":
            # Only some combinations of its fields have a meaning.
            body = {"up_to_seq": body["up_to_seq"]}
        return body

    def frame(self, frame: Frame) -> dict[str, Json]:
        return {field.name: self.value(field) for field in frame.fields if field.name not in ("type", "ref")}

    def query(self, operation: Operation) -> dict[str, str]:
        """The required query parameters."""
        return {field.name: str(self.value(field)) for field in operation.in_query if field.required}

    async def request(self, who: User, operation: Operation, body: Json = None, **changes: Json) -> httpx.Response:
        """Send the operation as `who` with Anna's values. `body` replaces the body, `changes` replace path
        parameters."""
        if body is None and operation.body:
            body = self.body(operation)
            if operation.path.startswith("/auth/sessions"):
                body["password"] = who.password
            if str(operation) == "POST /auth/password/reset":
                body["token"] = self.reset_token
            if str(operation) == "DELETE /users/me":
                who = self.leaver
                body["password"] = who.password
        if operation.path == "/moderation/users/{user_id}/ban":
            changes = {"user_id": self.outcast.id, **changes}
        # The parameter of paths has the name of another field of frames.
        url = operation.url({**self.values, "token": self.values["invitation"], **changes})
        file = {"content": IMAGE} if operation.receives_file else {}
        answer = await who.call(operation.method, url, body, params=self.query(operation), **file)
        if answer.is_success and operation.path == "/auth/password":
            who.take_tokens(answer.json())
        if answer.is_success and operation.path == "/auth/password/reset":
            self.reset_token = await reset_token(self.forgetful)
        return answer

    async def readable_state(self, attack_surface: AttackSurface) -> Mapping[str, Json]:
        """The status and content of everything that Anna and Ben can read."""
        found = {}
        for who in (self.anna, self.ben):
            for operation in attack_surface.rest_operations:
                if operation.is_read:
                    answer = await self.request(who, operation)
                    found[f"{who.username} {operation}"] = answer.status_code, answer.content
        return found


def in_safe_order(operations: list[Operation]) -> list[Operation]:
    """Sort operations so that each finds the objects that it needs: reads first, deletions last, nested objects
    first."""
    methods = ("GET", "PUT", "POST", "PATCH", "DELETE")

    def position(operation: Operation) -> tuple[int, int, int]:
        last = LAST.index(operation.path) if operation.path in LAST else -1
        return last, methods.index(operation.method), -operation.path.count("/")

    return sorted(operations, key=position)
