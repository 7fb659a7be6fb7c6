"""Messages by settings, mutes, archiving, quiet hours, blocks, reads and deletions, compared with an oracle: what is
pushed, counted and announced."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple, cast

import pytest
from bson import ObjectId

from service.common.ids import new_id
from service.common.times import now
from service.datastores.mongo import Mongo
from service.notifications.preference_service import PreferenceService
from service.notifications.preference_store import PreferenceStore
from service.notifications.preferences import PreferencesChange, PushPreference
from service.push.composer import Composer
from service.push.news_store import NO_SEQ, Kind, News
from service.push.planner import Planner
from service.push.subscription_store import Subscription, SubscriptionStore
from tests.chat.chat_process import ChatProcess, FakeProfiles, received
from tests.push.test_composer import delivery, quiet

CASES = 40
TITLE = "A group"


class Sent(NamedTuple):
    """A message as the oracle knows it."""

    seq: int
    id: str
    sender: str
    content: str
    mentions: bool


class Offline:
    """The presence of users who are all away."""

    async def online_globally(self, user_ids: list[str]) -> set[str]:
        return set()


async def test_pushes_of_messages_agree_with_an_oracle(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest wanted message is pushed, or held back; counts and events have all that was not read or deleted."""
    monkeypatch.setattr(FakeProfiles, "ids_by_username", ids_by_username)
    process = ChatProcess(mongo.database)
    await process.create_indexes()
    preferences = PreferenceService(PreferenceStore(mongo.database), process.bus, process.dispatcher)
    subscriptions = SubscriptionStore(mongo.database)
    planner = Planner(subscriptions, process.conversation_store, process.message_store, Offline())
    absent = cast(Any, None)  # there are no notifications
    composer = Composer(
        process.conversations, process.message_store, absent, absent, preferences, FakeProfiles(), process.blocks
    )

    async def check(chance: random.Random) -> None:
        """Let others, and sometimes the user, write in a conversation, and compare what the user gets of it."""
        user, *senders = [new_id() for _ in range(chance.choice([2, 4]))]
        is_group = len(senders) > 1
        await subscriptions.put(Subscription(user, user, new_id(), f"https://push.example/{user}", "", "", "en", ""))
        group = await (process.group if is_group else process.conversation)(senders[0], user, *senders[1:])
        stream, title, sent = process.listen(user), TITLE, list[Sent]()
        for number in range(chance.randrange(1, 9)):
            if is_group and chance.random() < 0.5:
                title = f"Group {number}"
                await process.groups.change(senders[0], group, {"title": title})
            sent.append(await say(process, chance, group, user, senders))
        deleted = {one.seq for one in sent if chance.random() < 0.2}
        for one in sent:
            if one.seq in deleted:
                await process.messages.delete(one.sender, group, one.id)
        last = sent[-1].seq
        read = chance.choice([0, 0, chance.randrange(last + 1)])
        if read:
            await process.conversations.mark_read(user, group, read)
        muted_until = chance.choice([None, None, now() - timedelta(minutes=1), now() + timedelta(hours=1)])
        if muted_until:
            await process.settings.mute(user, group, muted_until)
        if chance.random() < 0.2:
            await process.settings.archive(user, group)
        blocked = {sender for sender in senders if chance.random() < 0.4}
        for sender in blocked:
            await process.blocks.add(user, sender)
        wants, preview = chance.choice(["all", "all", "mentions", "none"]), chance.random() < 0.5
        hours = chance.choice([None, quiet(inside=True), quiet(inside=False)])
        change = PreferencesChange(push=PushPreference(messages=cast(Any, wants), preview=preview), quiet_hours=hours)
        await preferences.change(user, change)

        # What is announced: every message, whatever the settings are.
        events = received(stream, "new_message")
        assert [one.id for one in sent] == [each["data"]["id"] for each in events if each["data"]["kind"] == "text"]
        # What is counted: others' messages that were neither read nor deleted; blocked users mention nobody.
        last_read = max([read, *(one.seq for one in sent if one.sender == user)])
        unread = [one for one in sent if one.seq > last_read and one.seq not in deleted]
        shown = await process.conversations.get(user, group)
        mentions = [one for one in unread if one.mentions and one.sender not in blocked]
        assert (len(unread), len(mentions)) == (shown["unread_count"], shown["mention_count"])
        # What is pushed, of the messages from `first` on.
        is_muted = muted_until is not None and muted_until > now()
        wanted = [
            one
            for one in unread
            if wants != "none" and not is_muted and one.sender not in blocked and (one.mentions or wants == "all")
        ]
        is_quiet = hours == quiet(inside=True)
        first = chance.randrange(1, last + 1)
        pushed = [one for one in wanted if one.seq >= first]
        planned = await planner.plan(News("", Kind.MESSAGE, ObjectId(group), "", first, last, now(), now()))
        assert bool(planned) >= bool(pushed)
        for each in [await composer.compose(each, "en") for each in planned]:
            assert (bool(pushed) and is_quiet) == (each.quiet_until is not None)
            assert (bool(pushed) and not is_quiet) == (each.payload is not None)
            if each.payload:
                heading = f"{pushed[-1].sender[:4]} · {title}" if is_group else pushed[-1].sender[:4]
                body = pushed[-1].content if preview else "New message"
                assert (heading, body, len(unread)) == (
                    each.payload.title,
                    each.payload.body,
                    each.payload.unread_count,
                )
        # What the summary at the end of quiet hours counts: the unread messages if one of them is wanted, or only those
        # that mention the user.
        summary = replace(delivery(user, Kind.SUMMARY, "", NO_SEQ, 0), conversations={group: last})
        ended = await composer.compose(summary, "en")
        counted = len(mentions if wants == "mentions" else unread)
        count = f"{counted} unread message{'s' * (counted > 1)}" if wanted and not is_quiet else ""
        assert count == (ended.payload.body if ended.payload else "")

    await asyncio.gather(*(check(random.Random(seed)) for seed in range(CASES)))
    await process.close()


async def ids_by_username(_: FakeProfiles, usernames: Iterable[str]) -> dict[str, str]:
    """The users of this test are called like their ids."""
    return {name: name for name in usernames}


async def say(process: ChatProcess, chance: random.Random, group: str, user: str, senders: Sequence[str]) -> Sent:
    sender = chance.choice([user, *senders])
    mentions = chance.random() < 0.3
    content = f"{f'@{user} ' * mentions}Text {chance.randrange(1000)}"
    message, _ = await process.messages.send(sender, group, content)
    return Sent(message["seq"], message["id"], sender, content, mentions and sender != user)
