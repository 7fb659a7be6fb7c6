"""Pushes of notifications by preferences, quiet hours, blocks, reads and deletions, compared with an oracle."""

import random
from datetime import timedelta
from typing import Any, NamedTuple, cast

from bson import ObjectId

from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from service.notifications.models import CustomRequest, DeletedSubject, PostRequest
from service.notifications.preference_store import PreferenceStore
from service.notifications.preferences import KindPreference, PreferencesChange, PushPreference, QuietHours
from service.push.composer import Composer
from service.push.delivery_store import Delivery
from service.push.news_store import Kind
from tests.notifications.service_process import ServiceProcess

VERBS = {"NEW_COMMENT": "commented on your post", "NEW_REPLY": "replied to your comment"}
CUSTOM = "ORDER_SHIPPED"
ROUNDS = 25


class Sent(NamedTuple):
    """A notification as the oracle knows it."""

    seq: int
    type: str
    about: str
    sender: int
    text: str
    request: PostRequest | CustomRequest


def delivery(user: str, kind: Kind, group: str, first: int, last: int) -> Delivery:
    moment = now()
    fields: dict[str, Any] = {"conversations": {}, "expires_at": moment + timedelta(days=1), "due_at": moment}
    of_all = {"id": "", "subscription_id": "", "user_id": user, "host": "", "kind": kind, "subject": ObjectId(user)}
    return Delivery(**of_all, group=group, number=last, first=first, last=last, **fields)


def quiet(*, inside: bool) -> QuietHours:
    moment = now()
    around = (-60, 60) if inside else (60, 120)
    start, end = [(moment + timedelta(minutes=each)).strftime("%H:%M") for each in around]
    return QuietHours(start=start, end=end, timezone="UTC")


async def test_pushes_agree_with_an_oracle(mongo: Mongo) -> None:
    """Groups name the newest wanted one, and how many others' there are; a summary counts exactly what is wanted."""
    chance = random.Random(23)
    process = ServiceProcess(mongo.database)
    await process.create_indexes()
    await PreferenceStore(mongo.database).create_indexes()
    absent = cast(Any, None)  # there are no messages
    composer = Composer(
        absent, absent, process.notifications, process.read_states, process.preferences, process.users, process.blocks
    )
    senders = [(await process.users.add(f"sender{n}", f"Sender {n}", "")).profile for n in range(4)]
    for _ in range(ROUNDS):
        user, posts = new_id(), [new_id(), new_id()]
        sent: list[Sent] = []
        for seq in range(1, chance.randrange(2, 14)):
            type, sender, text = chance.choice([*VERBS, CUSTOM]), chance.randrange(4), f"Text {seq}"
            about = chance.choice(posts)
            if type == CUSTOM:
                request: PostRequest | CustomRequest = CustomRequest(type, user, senders[sender], text, group_key=about)
            else:
                request = PostRequest(cast(Any, type), user, senders[sender], about, new_id(), text)
            assert [None] == await process.notifications.notify([request])
            sent.append(Sent(seq, type, about, sender, text, request))
        off = {type for type in (*VERBS, CUSTOM) if chance.random() < 0.25}
        blocked = {sender for sender in range(4) if chance.random() < 0.2}
        read = {one.seq for one in sent if chance.random() < 0.3}
        deleted = {one.seq for one in sent if one.type != CUSTOM and chance.random() < 0.2}
        preview, hours = chance.random() < 0.5, chance.choice([None, quiet(inside=True), quiet(inside=False)])
        is_quiet = hours is not None and hours == quiet(inside=True)
        kinds = {type: KindPreference(in_app=True, push=False) for type in off}
        change = PreferencesChange(kinds=kinds, push=PushPreference(messages="all", preview=preview), quiet_hours=hours)
        await process.preferences.change(user, change)
        for sender in blocked:
            await process.blocks.add(user, senders[sender].id)
        for one in sent:
            if one.seq in read:
                (item,) = (await process.notifications.page(user, limit=1, before=one.seq + 1, unread=False)).items
                await process.notifications.mark_read(user, item.data.notification_id)
        gone = [one.request for one in sent if one.seq in deleted and isinstance(one.request, PostRequest)]
        await process.deletion.delete(
            [DeletedSubject(ObjectId(each.post_id), ObjectId(each.comment_id), None, [ObjectId(user)]) for each in gone]
        )

        first = chance.randrange(1, len(sent) + 1)
        wanted = [
            one
            for one in sent
            if one.seq >= first and one.seq not in read | deleted and one.type not in off and one.sender not in blocked
        ]
        for type, about in {(one.type, one.about) for one in sent}:
            of_group = [one for one in wanted if (one.type, one.about) == (type, about)]
            last = max(one.seq for one in sent if (one.type, one.about) == (type, about))
            composed = await composer.compose(delivery(user, Kind.NOTIFICATION, f"{type}:{about}", first, last), "en")
            assert (bool(of_group) and is_quiet) == (composed.quiet_until is not None)
            assert (bool(of_group) and not is_quiet) == (composed.payload is not None)
            if composed.payload:
                newest, others = of_group[-1], {one.sender for one in of_group} - {of_group[-1].sender}
                names = f"Sender {newest.sender}"
                names += f" and {len(others)} other{'s' * (len(others) > 1)}" if others and type != CUSTOM else ""
                title = names if type == CUSTOM else f"{names} {VERBS[type]}"
                body = newest.text if preview else "New notification" if type == CUSTOM else ""
                assert (title, body) == (composed.payload.title, composed.payload.body)
        composed = await composer.compose(delivery(user, Kind.SUMMARY, "", first, len(sent)), "en")
        assert (bool(wanted) and is_quiet) == (composed.quiet_until is not None)
        shown = composed.payload.body if composed.payload else ""
        unread = f"{len(wanted)} unread notification{'s' * (len(wanted) > 1)}" if wanted and not is_quiet else ""
        assert unread == shown
    await process.close()
