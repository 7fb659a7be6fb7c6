"""`python -m service delete-user`: nothing of the user is left, and the data of others stays consistent."""

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest
from bson import ObjectId

from config.settings import Settings
from service.accounts.block_store import BlockStore
from service.chat.barrier import BARRIER, KIND
from service.chat.conversation_store import ConversationStore
from service.chat.direct_blocks import DirectBlocks
from service.chat.group_change import UNANNOUNCED
from service.chat.message_store import MessageStore
from service.commands.connected import CommandFailed
from service.commands.delete_user import delete_user
from service.datastores.mongo import Mongo
from tests.accounts.accounts_process import AccountsProcess
from tests.accounts.conftest import process
from tests.commands.conftest import Command
from tests.conftest import PUSH_HOST, SECRET, Run
from tests.protocol.clients import CONTENT_MARK, Clients, User, unique_text
from tests.protocol.mongo_proxy import MongoProxy
from tests.protocol.servers import load_contract
from tests.push.browser import Browser
from tests.running import Server

__all__ = ["process"]

MARK = "only the deleted user wrote this"


class UserData(NamedTuple):
    """A user with data of every kind, and another user whom they share it with."""

    user: User
    anna: User
    group: str
    direct: str
    left_group: str
    post: str
    commented_post: str
    annas_post: str


def environment(server: Server) -> dict[str, str]:
    """Return Loa's variables that `server` was started with."""
    entries = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return {name: variables[name] for name in ("MONGODB_URI", "REDIS_URL", "JWT_SECRET")}


async def delete_in_thread(settings: Settings, username: str) -> None:
    """Delete on an event loop of its own: closing the database client blocks until the proxy, on this loop, answers."""
    await asyncio.to_thread(asyncio.run, delete_user(settings, username))


async def create_user_data(clients: Clients) -> UserData:
    """Let a user send, react, post, comment and be answered in every possible way."""
    user, anna, ben, cleo = await clients.users(4)
    await user.patch("/users/me", {"display_name": f"Who {MARK}", "avatar": "https://example.org/of-who-goes.png"})
    await user.put("/notifications/preferences", {"kinds": {"NEW_REPLY": {"in_app": True, "push": False}}})
    group, direct = await user.start_conversation(anna, ben, title="Three of us"), await user.start_conversation(anna)
    left = await anna.start_conversation(user, ben, title="For a while")
    added = await anna.start_conversation(ben, title="Added with another")
    await anna.post(f"/conversations/{added}/participants", {"user_ids": [user.id, cleo.id]})
    for conversation in (group, group, direct, left):
        await user.send_message(conversation, unique_text(MARK), nonce=f"n-{conversation[-4:]}-{unique_text()[-6:]}")
    deleted = await user.send_message(group, unique_text(MARK), nonce="taken back")
    await user.delete(f"/conversations/{group}/messages/{deleted['id']}")
    spoken = await anna.send_message(group)
    for person in (user, ben):
        await person.put(f"/conversations/{group}/messages/{spoken['id']}/reactions/👍")
    await user.put(f"/conversations/{group}/messages/{spoken['id']}/reactions/🎉")
    await user.put(f"/conversations/{group}/read", {"seq": 2})
    await user.delete(f"/conversations/{left}/participants/{user.id}")
    bare, commented, annas = await user.create_post(), await user.create_post(), await anna.create_post()
    await user.post("/push/subscriptions", Browser().subscription(f"https://{PUSH_HOST}/who-goes"))
    await user.put(f"/posts/{annas}/mute")
    stream = await anna.stream()
    for post in (annas, commented):
        await user.put(f"/posts/{post}/reactions/👍")
    await stream.event("NEW_REACTION")
    await user.post("/posts", {"content": unique_text(f"@{anna.username} {MARK}")})
    await user.comment(commented, content=unique_text(f"@{anna.username} {MARK}"))
    for _ in range(2):
        await stream.event("NEW_MENTION")
    answer = await anna.comment(commented)
    await user.comment(annas, content=unique_text(MARK), nonce="c-1")
    await user.comment(commented, content=unique_text(MARK), parent_id=answer["id"])
    for kind in ("NEW_COMMENT", "NEW_REPLY"):
        await stream.event(kind)
    for person in (user, anna):
        assert (await person.get("/notifications/groups"))["items"]
    await user.put(f"/users/{cleo.id}/block")
    for blocked in (user, cleo):
        await ben.put(f"/users/{blocked.id}/block")
    return UserData(user, anna, group, direct, left, bare, commented, annas)


async def stored_documents(uri: str) -> dict[str, list[str]]:
    """Return every stored document as text, by collection."""
    mongo = Mongo(uri)
    try:
        return {
            name: [str(document) async for document in mongo.database[name].find()]
            for name in await mongo.database.list_collection_names()
        }
    finally:
        mongo.close()


async def check_deleted(uri: str, data: UserData) -> None:
    """Check that no document has the user's names or texts, and their id only where the numbering needs it."""
    # A server removes the marks of changes that it has announced a moment later.
    async with asyncio.timeout(20):
        while any(UNANNOUNCED in text for text in (await stored_documents(uri))["conversations"]):
            await asyncio.sleep(0.1)
    stored = await stored_documents(uri)
    for secret in (data.user.username, MARK, "of-who-goes", "python-httpx"):
        found = [name for name, texts in stored.items() for text in texts if secret in text]
        assert [] == [name for name in found if (name, secret) != ("sessions", "python-httpx")], secret
    sessions = [text for text in stored["sessions"] if data.user.id in text]
    assert sessions
    assert not [text for text in sessions if "python-httpx" in text]
    named = {name for name, texts in stored.items() for text in texts if data.user.id in text}
    of_others = {"conversations", "messages", "posts", "comments", "notifications", "notification_groups"}
    assert {"users", "sessions"} | of_others == named
    assert 1 == len(stored["blocks"])
    assert not [text for text in stored["conversations"] if "'direct'" not in text and data.user.id in text]
    assert not [text for text in stored["notifications"] if f"'user_id': ObjectId('{data.user.id}')" in text]
    assert not [text for text in stored["notification_groups"] if f"'user_id': ObjectId('{data.user.id}')" in text]
    assert not [text for text in stored["messages"] if f"['{data.user.id}" in text or f", '{data.user.id}" in text]


async def test_a_user_is_deleted_with_all_of_their_data(run: Run, command: Command) -> None:
    """Their sessions end, their texts are emptied, and connected users are notified by ordinary events."""
    server = run(WEB_CONCURRENCY="2", RATE_LIMITS="off", PUSH_HOSTS=PUSH_HOST)
    async with Clients(server, load_contract(server)) as clients:
        data = await create_user_data(clients)
        user, anna = data.user, data.anna
        before = await anna.get(f"/conversations/{data.group}/messages")
        sockets = [await user.chat_socket() for _ in range(4)] + [await (await user.sign_in_again()).chat_socket()]
        stream = await user.stream()
        watching = await anna.chat_socket()
        variables = environment(server)
        deleted = await asyncio.to_thread(command, "delete-user", user.username.upper(), **variables)
        counts = "2 groups, 4 messages, 3 posts, 3 comments, 1 notifications"
        assert (0, f"Deleted: the account, {counts}.\n") == deleted

        for socket in sockets:
            assert (1008, "token_revoked") == await socket.closed()
        await stream.closed()
        await user.expect_error(401, "token_revoked", "GET", "/users/me")
        credentials = {"username": user.username, "password": user.password}
        refusal = await clients.call("POST", "/auth/login", json=credentials)
        assert "bad_credentials" == refusal.json()["code"]

        revs = []
        for _ in range(3):  # two of theirs, and one that had their reactions
            event = await watching.event("message_updated", lambda event: event["conversation_id"] == data.group)
            revs.append(event["data"]["rev"])
        assert list(range(revs[0], revs[0] + 3)) == revs
        await watching.event("message_updated", lambda event: event["conversation_id"] == data.direct)
        changed = await watching.event("conversation_updated")
        assert user.id not in changed["data"]["participant_ids"]
        found = (await anna.get(f"/conversations/{data.group}/messages"))["items"]
        after = [item for item in found if item["kind"] == "text"]
        # The user was the owner.
        assert ["left", "role"] == [item["kind"] for item in found[len(after) :]]
        assert [item["seq"] for item in before["items"]] == [item["seq"] for item in after]
        assert [item["sender_id"] == user.id for item in after] == [item["deleted"] for item in after]
        (spoken,) = [item for item in after if not item["deleted"]]
        assert 1 == len(spoken["reactions"])
        assert user.id not in spoken["reactions"]["👍"]

        profile = await anna.get(f"/users/{user.id}")
        assert ("Deleted user", None) == (profile["display_name"], profile["avatar"])
        for query in (user.username, "Who only", "deleted"):
            assert [] == (await anna.get("/users", query=query))["items"]
        await anna.expect_error(422, "validation_failed", "POST", "/conversations", {"participant_ids": [user.id]})
        assert {"online": False, "last_seen": None} == (await anna.get("/presence", user_ids=user.id))[user.id]

        await anna.expect_error(404, "not_found", "GET", f"/posts/{data.post}")
        assert "" == (await anna.get(f"/posts/{data.commented_post}"))["content"]
        assert {} == (await anna.get(f"/posts/{data.annas_post}"))["reactions"]
        comments = (await anna.get(f"/posts/{data.commented_post}/comments"))["items"]
        assert [False, True, False] == [CONTENT_MARK in comment["content"] for comment in comments]
        notifications = (await anna.get("/notifications"))["items"]
        assert {"Deleted user"} == {item["data"]["sender"]["display_name"] for item in notifications}
        # What is previewed of a reaction is the recipient's own; of what the user wrote, nothing is left.
        assert {"NEW_REACTION"} == {item["type"] for item in notifications}
        await anna.comment(data.commented_post)  # notifies nobody any more
        await check_deleted(variables["MONGODB_URI"], data)

        assert (1, "loa: there is no user of that name\n") == await asyncio.to_thread(
            command, "delete-user", user.username, **variables
        )
        assert user.id != (await clients.user(user.username)).id


async def test_an_interrupted_deletion_can_be_run_again(run: Run) -> None:
    """The database fails at every step in turn; the user cannot sign in meanwhile."""
    server = run(RATE_LIMITS="off", PUSH_HOSTS=PUSH_HOST)
    async with Clients(server, load_contract(server)) as clients:
        data = await create_user_data(clients)
        variables = environment(server)
        async with MongoProxy(variables["MONGODB_URI"]) as mongo_proxy:
            settings = Settings(mongodb_uri=mongo_proxy.url, redis_url=variables["REDIS_URL"], jwt_secret=SECRET)
            for mongo_proxy.fail_writes_to in (
                "sessions",
                "conversations",
                "messages",
                "posts",
                "comments",
                "notifications",
                "inbox",
            ):
                with pytest.raises(CommandFailed, match="un it again"):
                    await delete_in_thread(settings, data.user.username)
                credentials = {"username": data.user.username, "password": data.user.password}
                assert 401 == (await clients.call("POST", "/auth/login", json=credentials)).status_code
            assert mongo_proxy.failed >= 7
            mongo_proxy.fail_writes_to = ""
            await delete_in_thread(settings, data.user.username)
        await check_deleted(variables["MONGODB_URI"], data)


async def test_nothing_names_a_deleted_user_of_another_site(settings: Settings, process: AccountsProcess) -> None:
    """Who is a new user if they come again."""
    user, _ = await process.external_users.put("auth0|who-goes", {"username": "who.goes"})
    await delete_user(settings, "who.goes")
    assert settings.mongodb_uri
    assert "who-goes" not in str(await stored_documents(settings.mongodb_uri))
    assert {} == await process.external_users.user_ids(["auth0|who-goes"])
    again, created = await process.external_users.put("auth0|who-goes", {"username": "who.goes"})
    assert (created, "who.goes") == (True, again.profile.username)
    assert user.id != again.id


async def test_a_deletion_that_was_killed_leaves_no_barrier(settings: Settings, process: AccountsProcess) -> None:
    """It was killed when it had removed the block, and not yet the barrier in the direct conversation."""
    gone, _ = await process.external_users.put("gone", {"username": "who.goes"})
    stays, _ = await process.external_users.put("stays", {"username": "who.stays"})
    assert settings.mongodb_uri
    mongo = Mongo(settings.mongodb_uri)
    try:
        conversations = ConversationStore(mongo.database)
        blocks = BlockStore(mongo.database)
        direct_blocks = DirectBlocks(conversations, MessageStore(mongo.database), blocks)
        await conversations.create_direct(ObjectId(gone.id), ObjectId(stays.id))
        await blocks.add(stays.id, gone.id)
        blocked = await direct_blocks.reconcile(stays.id, gone.id)
        assert blocked
        await blocks.remove(stays.id, gone.id)
        await delete_user(settings, "who.goes")
        stored = await conversations.find(blocked["_id"])
        assert stored
        assert BARRIER not in stored
        assert None is await mongo.database["messages"].find_one({"conversation_id": blocked["_id"], "kind": KIND})
    finally:
        mongo.close()
