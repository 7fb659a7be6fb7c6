"""Users, conversations and posts that fill whole screens."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from tests.e2e.user import User


class SampleData(NamedTuple):
    """`me` takes part in everything; `direct`, `group` and `post` are ids."""

    me: User
    other: User
    direct: str
    group: str
    post: str


def create_sample_data(create_user: Callable[[str], User]) -> SampleData:
    names = ("Nguyễn Thuỳ Linh", "Trần Minh", "Sofia Rossi", "Lê Anh Tuấn", "Amara Okafor")
    linh, minh, sofia, tuan, amara = [create_user(name) for name in names]

    direct = linh.create_conversation(minh)
    minh.send_message(direct, "Morning! Did the release go through last night?")
    linh.send_message(direct, "It did, at 23:40. No errors since.")
    graphs = linh.send_message(direct, "I left the graphs open overnight: p99 is down to 41 ms 🎉")
    for emoji in ("👍", "❤️"):
        minh.put(f"/conversations/{direct}/messages/{graphs['id']}/reactions/{quote(emoji)}")
    minh.send_message(direct, "Better than I hoped. What did you change in the end?")
    answer = linh.send_message(
        direct,
        "Mostly the writes: whatever waits goes to the database in one batch. "
        "The notes are at https://example.org/notes/group-commit",
    )
    minh.send_message(direct, "Nice, I'll read it before the review.", reply_to=answer["id"])
    minh.send_message(direct, "Lunch at half past twelve?")
    linh.send_message(direct, "👍")

    group = linh.create_conversation(minh, sofia, tuan, title="Đà Nẵng trip")
    sofia.send_message(group, "I found a place two streets from the beach.")
    sofia.send_message(group, "Four beds, and they let us cook.")
    tuan.send_message(group, "Trông đẹp quá! Mình đặt luôn nhé?")
    minh.send_message(group, "Yes please 🙌")
    sofia.send_message(sofia.create_conversation(linh), "Did you see the review?")
    amara.send_message(amara.create_conversation(linh), "Thank you for the photos!")

    linh.post("/posts", content="Anyone up for a run along the river on Saturday? Slow pace, coffee after.")
    post = linh.post(
        "/posts",
        content="We moved the chat to connections of our own this week.\n\n"
        "An open connection now takes 3 KB where it took 30, and when ten thousand clients come back at once, "
        "they are all there again within seconds. What surprised us most: how much of the old cost was "
        "one task for each delivery.\n\nThe write-up: https://example.org/blog/connections",
    )["id"]
    comment = minh.comment(post, "Did you compare it with the faster event loop alone?")
    reply = linh.comment(post, "We did: about a third of the gain.", parent_id=comment["id"])
    minh.comment(post, "Thanks! That matches what we see.", parent_id=reply["id"])
    amara.comment(post, "Lovely write-up. The part about joining deserves one of its own.")
    return SampleData(linh, minh, direct, group, post)
