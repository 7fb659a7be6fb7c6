"""Watching posts: the events that connections get of what they look at, on one worker and on several."""

from tests.protocol.clients import Clients, User
from tests.protocol.socket import Socket
from tests.protocol.worker_lookup import one_per_worker


async def comment_on(post: str, author: User) -> str:
    return str((await author.comment(post))["id"])


async def created(socket: Socket) -> str:
    """Return the id of the next new comment."""
    return str((await socket.event("comment_created"))["data"]["id"])


async def test_those_who_look_at_a_post_get_its_comments_and_counts(anna: User, ben: User) -> None:
    """Also each change of a comment. What only concerns the reader is not in the events."""
    post = await anna.create_post()
    socket = await ben.chat_socket()
    await socket.request("watch_posts", post_ids=[post])
    comment = await comment_on(post, anna)
    event = await socket.event("comment_created")
    assert (post, comment) == (event["post_id"], event["data"]["id"])
    assert {"my_reactions", "muted"}.isdisjoint(event["data"])
    assert 1 == (await socket.event("post_updated"))["data"]["comment_count"]
    path = f"/posts/{post}/comments/{comment}"
    await ben.put(f"{path}/reactions/👍")
    assert {"👍": 1} == (await socket.event("comment_updated"))["data"]["reactions"]
    await anna.patch(path, {"content": "Changed"})
    edited = (await socket.event("comment_updated", lambda event: event["data"]["edited_at"]))["data"]
    assert ("Changed", False) == (edited["content"], edited["deleted"])
    await anna.delete(path)
    gone = (await socket.event("comment_updated", lambda event: event["data"]["deleted"]))["data"]
    assert ("", {}) == (gone["content"], gone["reactions"])
    assert await socket.event("post_updated", lambda event: event["data"]["comment_count"] == 0)
    await ben.put(f"/posts/{post}/reactions/🎉")
    assert await socket.event("post_updated", lambda event: event["data"]["reactions"] == {"🎉": 1})
    await anna.patch(f"/posts/{post}", {"content": "Another text"})
    assert await socket.event("post_updated", lambda event: event["data"]["content"] == "Another text")
    await anna.delete(f"/posts/{post}")
    deleted = (await socket.event("post_updated", lambda event: event["data"]["deleted"]))["data"]
    assert (post, "") == (deleted["id"], deleted["content"])


async def test_a_newer_set_replaces_the_older(anna: User, ben: User) -> None:
    """The feed is one of the things to watch; an empty set watches nothing."""
    posts = [await anna.create_post() for _ in range(2)]
    socket = await ben.chat_socket()
    await socket.request("watch_posts", post_ids=[posts[0]])
    await socket.request("watch_posts", post_ids=[posts[1], "feed"])
    await comment_on(posts[0], anna)
    new = await anna.create_post()
    assert await socket.event("post_created", lambda event: event["data"]["id"] == new)
    comment = await comment_on(posts[1], anna)
    assert comment == await created(socket)
    await socket.request("watch_posts", post_ids=[])
    await comment_on(posts[1], anna)
    control = await anna.chat_socket()
    await control.request("watch_posts", post_ids=[posts[1]])
    last = await comment_on(posts[1], anna)
    assert last == await created(control)
    await socket.flush()
    assert [] == socket.remaining("comment_created")


async def test_what_a_blocked_user_writes_is_not_told(anna: User, ben: User, clients: Clients) -> None:
    """Whether the block is older than the subscription or newer; and nothing of a post of theirs."""
    cleo = await clients.user()
    post, hers = await anna.create_post(), await cleo.create_post()
    socket = await ben.chat_socket()
    await socket.request("watch_posts", post_ids=[post, hers, "feed"])
    assert await comment_on(post, cleo) == await created(socket)
    await ben.put(f"/users/{cleo.id}/block")
    await socket.event("block_updated")
    for watched in (post, hers):
        await comment_on(watched, cleo)
    await cleo.create_post()
    await comment_on(hers, anna)
    other = await ben.chat_socket()
    await other.request("watch_posts", post_ids=[post, hers, "feed"])
    await comment_on(post, cleo)
    mark = await comment_on(post, anna)
    for each in (socket, other):
        assert mark == await created(each), "the next comment is the one of somebody else"
        await each.flush()
        assert [] == each.remaining("comment_created")
        assert hers not in [event["data"]["id"] for event in each.remaining("post_updated")]


async def test_watchers_on_every_worker_get_the_events_of_every_worker(multi_worker_clients: Clients) -> None:
    anna, ben = await multi_worker_clients.users(2)
    post = await anna.create_post()
    sockets = await one_per_worker(multi_worker_clients.server, ben.chat_socket, 4)
    for socket in sockets.values():
        await socket.request("watch_posts", post_ids=[post, "feed"])
    for _ in range(3):
        comment, new = await comment_on(post, anna), await anna.create_post()
        for socket in sockets.values():
            assert await socket.event("comment_created", lambda event, comment=comment: event["data"]["id"] == comment)
            assert await socket.event("post_created", lambda event, new=new: event["data"]["id"] == new)


async def test_as_many_posts_are_watched_as_the_contract_says(anna: User) -> None:
    """Those that do not exist have no events."""
    socket = await anna.chat_socket()
    post = await anna.create_post()
    await socket.request("watch_posts", post_ids=[post, *(f"{number:024x}" for number in range(1, 50))])
    assert await comment_on(post, anna) == await created(socket)
