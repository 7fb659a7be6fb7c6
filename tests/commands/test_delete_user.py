"""`python -m service delete-user`: nothing of a person is left, and the others' world stays whole."""

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from config.settings import Settings
from service.commands.delete_user import CannotDelete, delete_user
from service.datastores.mongo import Mongo
from tests.conftest import SECRET, Run
from tests.protocol.servers import contract_of
from tests.protocol.wire import Wire
from tests.protocol.world import CONTENT_MARK, Person, World, words
from tests.running import ROOT, Server

MARK = "was only ever said by the one who goes"


class Life(NamedTuple):
    """What somebody has done here, and whom with."""

    gone: Person
    anna: Person
    group: str
    direct: str
    left: str
    bare_post: str
    commented_post: str
    annas_post: str


def environment(server: Server) -> dict[str, str]:
    """The variables that `server` was started with."""
    entries = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


async def delete(server: Server, username: str, **more: str) -> tuple[int, str]:
    """The command as an operator runs it: its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "delete-user", username),
        cwd=ROOT,
        env={**os.environ, **environment(server), **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def delete_beside(settings: Settings, username: str) -> None:
    """On another loop: at its end it says good-bye to the database and waits, and the wire there is on this one."""
    await asyncio.to_thread(asyncio.run, delete_user(settings, username))


async def live(world: World) -> Life:
    """A person talks, reacts, posts, comments and is answered, in every way there is."""
    gone, anna, ben = await world.people(3)
    await gone.patch("/users/me", {"display_name": f"Who {MARK}", "avatar": "https://example.org/of-who-goes.png"})
    group, direct = await gone.talk(anna, ben, title="Three of us"), await gone.talk(anna)
    left = await anna.talk(gone, ben, title="For a while")
    for conversation in (group, group, direct, left):
        await gone.say(conversation, words(MARK), nonce=f"n-{conversation[-4:]}-{words()[-6:]}")
    deleted = await gone.say(group, words(MARK), nonce="taken back")
    await gone.delete(f"/conversations/{group}/messages/{deleted['id']}")
    spoken = await anna.say(group)
    for person in (gone, ben):
        await person.put(f"/conversations/{group}/messages/{spoken['id']}/reactions/👍")
    await gone.put(f"/conversations/{group}/messages/{spoken['id']}/reactions/🎉")
    await gone.put(f"/conversations/{group}/read", {"seq": 2})
    await gone.delete(f"/conversations/{left}/participants/{gone.id}")
    bare, commented, annas = await gone.publish(), await gone.publish(), await anna.publish()
    stream = await anna.stream()
    answer = await anna.comment(commented)
    await gone.comment(annas, content=words(MARK), nonce="c-1")
    await gone.comment(commented, content=words(MARK), parent_id=answer["id"])
    for kind in ("NEW_COMMENT", "NEW_REPLY"):
        await stream.event(kind)
    return Life(gone, anna, group, direct, left, bare, commented, annas)


async def rows(uri: str) -> dict[str, list[str]]:
    """Everything that is stored, by collection, as text."""
    mongo = Mongo(uri)
    try:
        return {
            name: [str(document) async for document in mongo.database[name].find()]
            for name in await mongo.database.list_collection_names()
        }
    finally:
        mongo.close()


async def check_gone(uri: str, life: Life) -> None:
    """No row holds anything that they said or were called; their id stands only where others' numbers need it."""
    stored = await rows(uri)
    for secret in (life.gone.username, MARK, "of-who-goes", "python-httpx"):
        found = [name for name, texts in stored.items() for text in texts if secret in text]
        assert [] == [name for name in found if (name, secret) != ("sessions", "python-httpx")], secret
    mine = [text for text in stored["sessions"] if life.gone.id in text]
    assert mine
    assert not [text for text in mine if "python-httpx" in text]
    named = {name for name, texts in stored.items() for text in texts if life.gone.id in text}
    assert {"users", "sessions", "conversations", "messages", "posts", "comments", "notifications"} == named
    assert not [text for text in stored["conversations"] if "'direct'" not in text and life.gone.id in text]
    assert not [text for text in stored["notifications"] if f"'user_id': ObjectId('{life.gone.id}')" in text]
    assert not [text for text in stored["messages"] if f"['{life.gone.id}" in text or f", '{life.gone.id}" in text]


async def test_a_user_goes_with_everything_that_is_theirs(run: Run) -> None:
    """Signed out everywhere, emptied, and told to those who are there, by the ordinary events."""
    server = run(WEB_CONCURRENCY="2", RATE_LIMITS="off")
    async with World(server, contract_of(server)) as world:
        life = await live(world)
        gone, anna = life.gone, life.anna
        before = await anna.get(f"/conversations/{life.group}/messages")
        sockets = [await gone.chat() for _ in range(4)] + [await (await gone.device()).chat()]
        stream = await gone.stream()
        watching = await anna.chat()
        code, output = await delete(server, gone.username.upper())
        assert (0, "Deleted: the account, 1 groups, 4 messages, 2 posts, 2 comments, 1 notifications.\n") == (
            code,
            output,
        )

        for socket in sockets:
            assert (1008, "token_revoked") == await socket.closed()
        await stream.closed()
        await gone.refused(401, "token_revoked", "GET", "/users/me")
        credentials = {"username": gone.username, "password": gone.password}
        refusal = await world.call("POST", "/auth/login", json=credentials)
        assert "bad_credentials" == refusal.json()["code"]

        revs = []
        for _ in range(3):  # two of theirs, and one that had their reactions
            event = await watching.event("message_updated", lambda event: event["conversation_id"] == life.group)
            revs.append(event["data"]["rev"])
        assert list(range(revs[0], revs[0] + 3)) == revs
        await watching.event("message_updated", lambda event: event["conversation_id"] == life.direct)
        changed = await watching.event("conversation_updated")
        assert gone.id not in changed["data"]["participant_ids"]
        after = await anna.get(f"/conversations/{life.group}/messages")
        assert [item["seq"] for item in before["items"]] == [item["seq"] for item in after["items"]]
        assert [item["sender_id"] == gone.id for item in after["items"]] == [item["deleted"] for item in after["items"]]
        (spoken,) = [item for item in after["items"] if not item["deleted"]]
        assert 1 == len(spoken["reactions"])
        assert gone.id not in spoken["reactions"]["👍"]

        profile = await anna.get(f"/users/{gone.id}")
        assert ("Deleted user", None) == (profile["display_name"], profile["avatar"])
        for query in (gone.username, "Who was only", "deleted"):
            assert [] == (await anna.get("/users", query=query))["items"]
        await anna.refused(422, "validation_failed", "POST", "/conversations", {"participant_ids": [gone.id]})
        assert {"online": False, "last_seen": None} == (await anna.get("/presence", user_ids=gone.id))[gone.id]

        await anna.refused(404, "not_found", "GET", f"/posts/{life.bare_post}")
        assert "" == (await anna.get(f"/posts/{life.commented_post}"))["content"]
        comments = (await anna.get(f"/posts/{life.commented_post}/comments"))["items"]
        assert [True, False] == [CONTENT_MARK in comment["content"] for comment in comments]
        notifications = (await anna.get("/notifications"))["items"]
        assert [("", "Deleted user")] * 2 == [
            (item["data"]["preview"], item["data"]["sender"]["display_name"]) for item in notifications
        ]
        await anna.comment(life.commented_post)  # of which nobody is told any more
        await check_gone(environment(server)["MONGODB_URI"], life)

        assert (1, "loa: there is no user of that name\n") == await delete(server, gone.username)
        assert gone.id != (await world.person(gone.username)).id


async def test_what_ends_half_way_is_made_up_for_by_running_it_again(run: Run) -> None:
    """Wherever the database goes away; nobody signs in meanwhile."""
    server = run(RATE_LIMITS="off")
    async with World(server, contract_of(server)) as world:
        life = await live(world)
        variables = environment(server)
        async with Wire(variables["MONGODB_URI"]) as wire:
            settings = Settings(mongodb_uri=wire.url, redis_url=variables["REDIS_URL"], jwt_secret=SECRET)
            for wire.fails in ("sessions", "conversations", "messages", "posts", "comments", "notifications", "inbox"):
                with pytest.raises(CannotDelete, match="un it again"):
                    await delete_beside(settings, life.gone.username)
                credentials = {"username": life.gone.username, "password": life.gone.password}
                assert 401 == (await world.call("POST", "/auth/login", json=credentials)).status_code
            assert wire.refused >= 7
            wire.fails = ""
            await delete_beside(settings, life.gone.username)
        await check_gone(variables["MONGODB_URI"], life)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "loa: DATA_DIR: no Loa is running in "),
        (
            {"REDIS_URL": "redis://127.0.0.1:1", "MONGODB_URI": "mongodb://127.0.0.1:1"},
            "loa: Redis cannot be reached (",
        ),
    ],
)
async def test_nothing_to_delete_from_is_told(variables: dict[str, str], message: str) -> None:
    """In one line, and with an exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "delete-user", "anna"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "JWT_SECRET": SECRET, "DATA_DIR": "/nonexistent", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert 1 == process.returncode
    assert output.decode().startswith(message)
    assert 1 == output.count(b"\n")
