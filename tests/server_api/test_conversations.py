"""Conversations under the site's own ids, and messages that its servers send."""

import asyncio
from contextlib import closing
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from service.accounts.users import UserStore
from service.datastores.mongo import Mongo
from tests.notifications.api_user import ApiUser
from tests.server_api.site import Site, user_path

pytestmark = pytest.mark.asyncio(loop_scope="module")


def new_id() -> str:
    return f"order/{uuid4().hex}"


def path(external_id: str) -> str:
    return f"/conversations/{quote(external_id, safe='')}"


def named(conversation: dict[str, Any]) -> list[str]:
    assert conversation["participant_count"] == len(conversation["participants"])
    return [participant["external_id"] for participant in conversation["participants"]]


async def texts(user: ApiUser, conversation: dict[str, Any]) -> list[str]:
    page = await user.call("get", f"/conversations/{conversation['id']}/messages", 200)
    return [message["content"] for message in page["items"] if message["kind"] == "text"]


async def test_a_conversation_has_one_external_id(site: Site) -> None:
    """A repeated request finds it as it is, with any content."""
    people, external_id = await site.users(3), new_id()
    created = await site.call(
        "post", "/conversations", 201, external_id=external_id, participants=people, title="Order"
    )
    assert (external_id, "group", "Order") == (created["external_id"], created["kind"], created["title"])
    assert people == named(created)
    again = await site.call("post", "/conversations", 200, external_id=external_id, participants=people[:1])
    assert created == again == await site.call("get", path(external_id), 200)
    owner, member = await site.sign_in(people[0]), await site.sign_in(people[1])
    shown = [await user.call("get", f"/conversations/{created['id']}", 200) for user in (owner, member)]
    assert ["owner", "member"] == [conversation["role"] for conversation in shown]
    assert [created["id"]] == [item["id"] for item in (await member.call("get", "/conversations", 200))["items"]]


async def test_concurrent_requests_create_one_conversation(site: Site) -> None:
    people, external_id = await site.users(2), new_id()
    body = {"external_id": external_id, "participants": people}
    answers = await asyncio.gather(*[site.send("post", "/conversations", **body) for _ in range(10)])
    assert [200] * 9 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.json()["id"] for answer in answers})


async def test_two_people_without_an_id_have_their_direct_conversation(site: Site) -> None:
    """The one that they would begin themselves."""
    people = await site.users(2)
    direct = await site.call("post", "/conversations", 201, participants=people)
    assert ("direct", None, people) == (direct["kind"], direct["external_id"], named(direct))
    assert direct == await site.call("post", "/conversations", 200, participants=people[::-1])
    group = await site.call("post", "/conversations", 201, participants=people, title="Both")
    assert "group" == group["kind"]
    await site.refusal(422, "validation_failed", "post", "/conversations", participants=people[:1])


async def test_people_who_do_not_exist_are_refused(site: Site) -> None:
    """And nothing is changed."""
    (person,), external_id = await site.users(1), new_id()
    body = {"external_id": external_id, "participants": [person, "nobody"]}
    refused = await site.refusal(422, "validation_failed", "post", "/conversations", **body)
    assert ["participants"] == [problem["field"] for problem in refused["errors"]]
    for method in ("get", "patch"):
        await site.refusal(404, "not_found", method, path(external_id))
    created = await site.call("post", "/conversations", 201, external_id=external_id, participants=[person])
    for field in ("add", "remove"):
        change = {"title": "Changed", field: ["nobody"]}
        refused = await site.refusal(422, "validation_failed", "patch", path(external_id), **change)
        assert [field] == [problem["field"] for problem in refused["errors"]]
    assert created == await site.call("get", path(external_id), 200)


async def test_a_group_is_changed_by_the_site(site: Site) -> None:
    """Its title and its participants; the requests can be repeated. A title of null is none of it."""
    people, external_id = await site.users(4), new_id()
    await site.call("post", "/conversations", 201, external_id=external_id, participants=people[:2], title="Order")
    for _ in range(2):
        changed = await site.call("patch", path(external_id), 200, title="Shipped", add=people[1:3])
        assert ("Shipped", people[:3]) == (changed["title"], named(changed))
    for _ in range(2):
        changed = await site.call("patch", path(external_id), 200, add=people[3:], remove=people[1:3])
        assert [people[0], people[3]] == named(changed)
    assert changed == await site.call("patch", path(external_id), 200)
    await site.refusal(422, "validation_failed", "patch", path(external_id), title=None)
    removed = await site.sign_in(people[1])
    await removed.call("get", f"/conversations/{changed['id']}", 404)


async def test_who_has_left_can_be_added_again(site: Site) -> None:
    """The site decides, other than an owner, whether they left or were removed."""
    people, external_id = await site.users(3), new_id()
    created = await site.call("post", "/conversations", 201, external_id=external_id, participants=people)
    leaving = await site.sign_in(people[1])
    await leaving.call("delete", f"/conversations/{created['id']}/participants/{leaving.id}", 204)
    await site.call("patch", path(external_id), 200, remove=people[2:])
    changed = await site.call("patch", path(external_id), 200, add=people)
    assert set(people) == set(named(changed))


async def test_the_owner_can_be_removed(site: Site) -> None:
    """Together with others; the longest-standing member then owns the group."""
    people, external_id = await site.users(4), new_id()
    await site.call("post", "/conversations", 201, external_id=external_id, participants=people)
    changed = await site.call("patch", path(external_id), 200, remove=[people[0], people[1]])
    assert people[2:] == named(changed)
    owner = await site.sign_in(people[2])
    assert "owner" == (await owner.call("get", f"/conversations/{changed['id']}", 200))["role"]
    changed = await site.call("patch", path(external_id), 200, add=[people[0]], title="Again")
    assert ([*people[2:], people[0]], "Again") == (named(changed), changed["title"])


async def test_a_group_that_everybody_has_left_stays_empty(site: Site) -> None:
    people, external_id = await site.users(2), new_id()
    await site.call("post", "/conversations", 201, external_id=external_id, participants=people)
    assert [] == named(await site.call("patch", path(external_id), 200, remove=people))
    await site.refusal(422, "validation_failed", "patch", path(external_id), add=people)


async def test_a_message_is_sent_for_a_participant(site: Site) -> None:
    """The same sender, conversation and nonce is the same message, also for what the person sends themselves."""
    people, external_id = await site.users(2), new_id()
    created = await site.call("post", "/conversations", 201, external_id=external_id, participants=people)
    sender, reader = [await site.sign_in(person) for person in people]
    body = {"sender": people[0], "content": "It is on its way!", "nonce": "shipped"}
    messages = f"{path(external_id)}/messages"
    message = await site.call("post", messages, 201, **body)
    assert (sender.id, created["id"]) == (message["sender_id"], message["conversation_id"])
    assert message == await site.call("post", messages, 200, **body)
    await site.refusal(409, "nonce_reused", "post", messages, **{**body, "content": "Something else"})
    for _ in range(2):
        await site.call("post", messages, 201, sender=people[1], content="Thanks")
    assert ["It is on its way!", "Thanks", "Thanks"] == await texts(reader, created)


async def test_a_message_needs_a_participant(site: Site) -> None:
    people, external_id = await site.users(3), new_id()
    created = await site.call("post", "/conversations", 201, external_id=external_id, participants=people[:2])
    await site.call("patch", path(external_id), 200, remove=[people[1]])
    for sender in (people[1], people[2], "nobody"):
        refused = await site.refusal(
            422, "validation_failed", "post", f"{path(external_id)}/messages", sender=sender, content="Hello"
        )
        assert ["sender"] == [problem["field"] for problem in refused["errors"]]
    await site.refusal(404, "not_found", "post", f"{path(new_id())}/messages", sender=people[0], content="Hello")
    await site.refusal(422, "validation_failed", "post", f"{path(external_id)}/messages", sender=people[0], content=" ")
    assert [] == await texts(await site.sign_in(people[0]), created)


async def test_no_other_conversation_is_found_by_its_id(site: Site) -> None:
    """Neither by Loa's own id of it, nor that of one that the site has not created."""
    people = await site.users(2)
    user = await site.sign_in(people[0])
    own = await user.call(
        "post", "/conversations", 201, json={"participant_ids": [user.id, (await site.sign_in(people[1])).id]}
    )
    created = await site.call("post", "/conversations", 201, external_id=new_id(), participants=people)
    for each in (own["id"], created["id"]):
        await site.refusal(404, "not_found", "get", path(each))


async def test_the_site_does_not_speak_for_a_banned_user(site: Site, database_uri: str) -> None:
    """Nor does it get a token for them, until the ban ends."""
    people, external_id = await site.users(2), new_id()
    conversation = await site.call("post", "/conversations", 201, external_id=external_id, participants=people)
    messages, tokens = f"{path(external_id)}/messages", f"{user_path(people[0])}/tokens"
    banned, other = [await site.sign_in(person) for person in people]
    with closing(Mongo(database_uri)) as mongo:
        users = UserStore(mongo.database)
        await users.set_ban(banned.id, None)
        for refused, body in ((messages, {"sender": people[0], "content": "Buy this"}), (tokens, {})):
            await site.refusal(403, "banned", "post", refused, **body)
        await users.lift_ban(banned.id)
    for person in people:
        await site.call("post", messages, 201, sender=person, content="Hello")
    await site.sign_in(people[0])
    assert ["Hello", "Hello"] == await texts(other, conversation)
