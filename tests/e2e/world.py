"""People who have something to say to each other, for the tests that look at whole screens."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from tests.e2e.app import Person


class World(NamedTuple):
    """`me` is in all of it; `direct`, `group` and `post` are ids."""

    me: Person
    other: Person
    direct: str
    group: str
    post: str


def populate(register: Callable[[str], Person]) -> World:
    names = ("Nguyễn Thuỳ Linh", "Trần Minh", "Sofia Rossi", "Lê Anh Tuấn", "Amara Okafor")
    linh, minh, sofia, tuan, amara = [register(name) for name in names]

    direct = linh.converse(minh)
    minh.say(direct, "Morning! Did the release go through last night?")
    linh.say(direct, "It did, at 23:40. No errors since.")
    graphs = linh.say(direct, "I left the graphs open overnight: p99 is down to 41 ms 🎉")
    for emoji in ("👍", "❤️"):
        minh.put(f"/conversations/{direct}/messages/{graphs['id']}/reactions/{quote(emoji)}")
    minh.say(direct, "Better than I hoped. What did you change in the end?")
    answer = linh.say(
        direct,
        "Mostly the writes: whatever waits goes to the database in one batch. "
        "The notes are at https://example.org/notes/group-commit",
    )
    minh.say(direct, "Nice, I'll read it before the review.", reply_to=answer["id"])
    minh.say(direct, "Lunch at half past twelve?")
    linh.say(direct, "👍")

    group = linh.converse(minh, sofia, tuan, title="Đà Nẵng trip")
    sofia.say(group, "I found a place two streets from the beach.")
    sofia.say(group, "Four beds, and they let us cook.")
    tuan.say(group, "Trông đẹp quá! Mình đặt luôn nhé?")
    minh.say(group, "Yes please 🙌")
    sofia.say(sofia.converse(linh), "Did you see the review?")
    amara.say(amara.converse(linh), "Thank you for the photos!")

    linh.post("/posts", content="Anyone up for a run along the river on Saturday? Slow pace, coffee after.")
    post = linh.post(
        "/posts",
        content="We moved the chat to connections of our own this week.\n\n"
        "An open connection now takes 3 KB where it took 30, and when ten thousand clients come back at once, "
        "they are all there again within seconds. What surprised us most: how much of the old cost was "
        "one task for each delivery.\n\nThe write-up: https://example.org/blog/connections",
    )["id"]
    comment = minh.post(f"/posts/{post}/comments", content="Did you compare it with the faster event loop alone?")
    reply = linh.post(f"/posts/{post}/comments", content="We did: about a third of the gain.", parent_id=comment["id"])
    minh.post(f"/posts/{post}/comments", content="Thanks! That matches what we see.", parent_id=reply["id"])
    amara.post(f"/posts/{post}/comments", content="Lovely write-up. The part about joining deserves one of its own.")
    return World(linh, minh, direct, group, post)
