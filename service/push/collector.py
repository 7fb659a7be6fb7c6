"""From changes of the database to news: new messages and notifications that somebody may want to be pushed."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import structlog

from service.chat.conversation_store import ConversationStore
from service.common.times import now
from service.datastores.change_follower import Change, Wanted
from service.push.delivery_store import TTL
from service.push.news_store import Kind, News, NewsStore, group_of
from service.push.subscription_store import SubscriptionStore

log = structlog.get_logger()

WANTED = (
    Wanted("messages", ("conversation_id", "seq", "kind", "deleted")),
    Wanted("notifications", ("user_id", "seq", "type", "post_id", "group_key")),
)
MAX_NEWS = 20_000
"""News that wait in the database. At this limit no change is followed until some of them have become deliveries;
meanwhile the database's own history holds the changes."""
FULL_PAUSE = 1.0
MAX_LOOKED_UP = 256
"""Participants of a conversation of whom it is looked up whether one has a subscription. Of more, one has."""
MIN_DELAY = timedelta(seconds=1)
"""News are not due before the follower has stored its position: a crash in between would let them be pushed twice."""


class NewsCollector:
    """Messages of one conversation, and notifications of one group, that come in the same batch of changes become one
    news. What nobody concerned has a subscription for is left out."""

    def __init__(
        self,
        news: NewsStore,
        subscriptions: SubscriptionStore,
        conversations: ConversationStore,
        delay: timedelta,
    ) -> None:
        """`delay`: from a change until it is due."""
        self._news = news
        self._subscriptions = subscriptions
        self._conversations = conversations
        self._delay = delay
        self.waiting = 0
        """How many news wait, as of the last count."""

    @property
    def is_full(self) -> bool:
        """Whether `collect` waits until some news have been removed, as of the last count."""
        return self.waiting >= MAX_NEWS

    async def collect(self, changes: Sequence[Change]) -> None:
        """Store the news of these changes. Raises Unavailable."""
        oldest = now() - TTL
        found: dict[str, News] = {}
        for change in changes:
            each = _news(change) if change.created and change.at > oldest else None
            if each is None:
                continue
            key = f"{each.kind}:{each.subject}:{each.group}"
            known = found.get(key)
            found[key] = each._replace(first=min(each.first, known.first)) if known else each
        wanted = await self._with_subscribers(list(found.values())) if found else []
        while wanted and self.is_full:
            self.waiting = await self._news.count()
            log.warning("push_news_full", waiting=self.waiting)
            await asyncio.sleep(FULL_PAUSE)
        earliest = now() + MIN_DELAY
        await self._news.add([each._replace(due_at=self._due(each.at, earliest)) for each in wanted])
        self.waiting += len(wanted)

    def _due(self, at: datetime, earliest: datetime) -> datetime:
        return max(at + self._delay, earliest)

    async def _with_subscribers(self, news: list[News]) -> list[News]:
        ids = {each.subject for each in news if each.kind is Kind.MESSAGE}
        heads = await self._conversations.heads(ids) if ids else {}
        concerned: dict[str, Collection[str]] = {}
        for each in news:
            if each.kind is Kind.NOTIFICATION:
                concerned[each.id] = [str(each.subject)]
            else:
                concerned[each.id] = heads[each.subject].participants if each.subject in heads else []
        asked = {user for users in concerned.values() if len(users) <= MAX_LOOKED_UP for user in users}
        subscribed = {each.user_id for each in await self._subscriptions.of_users(asked)}
        return [
            each
            for each in news
            if len(concerned[each.id]) > MAX_LOOKED_UP or not subscribed.isdisjoint(concerned[each.id])
        ]


def _news(change: Change) -> News | None:
    fields = change.fields
    if change.collection == "notifications":
        group = group_of(fields["type"], fields.get("post_id") or fields.get("group_key"), change.id)
        kind, subject = Kind.NOTIFICATION, fields["user_id"]
    elif "kind" in fields or fields.get("deleted"):
        return None  # a system message
    else:
        kind, subject, group = Kind.MESSAGE, fields["conversation_id"], ""
    return News(str(change.id), kind, subject, group, fields["seq"], fields["seq"], change.at, change.at)
