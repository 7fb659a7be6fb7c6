"""From news to deliveries: who may be pushed what."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from bson import ObjectId

from service.chat.conversation_store import ConversationStore
from service.chat.message_store import MessageStore
from service.common import base64url
from service.datastores.mongo import Document
from service.push.delivery_store import TTL, Delivery
from service.push.news_store import Kind, News
from service.push.subscription_store import Subscription, SubscriptionStore

MAX_MESSAGES = 50
"""Messages of one news among which the last one of others is looked for: who wrote so many has seen the rest."""
TOPIC_BYTES = 24
"""RFC 8030, 5.4: a topic has up to 32 characters of Base64url."""


class Presence(Protocol):
    async def online_globally(self, user_ids: list[str]) -> set[str]:
        """Return those of the users who have an open socket or stream on any process. Raises one of REDIS_ERRORS."""
        ...


class _Target(NamedTuple):
    user_id: str
    number: int


class Planner:
    """Chooses recipients who have a subscription and no open connection. What else decides, for each of them, is
    looked up when it is pushed: see Composer."""

    def __init__(
        self,
        subscriptions: SubscriptionStore,
        conversations: ConversationStore,
        messages: MessageStore,
        presence: Presence,
    ) -> None:
        self._subscriptions = subscriptions
        self._conversations = conversations
        self._messages = messages
        self._presence = presence

    async def plan(self, news: News) -> list[Delivery]:
        """Return the deliveries of this news. Raises Unavailable, or one of REDIS_ERRORS."""
        if news.kind is Kind.MESSAGE:
            targets = await self._message_targets(news)
        else:
            number = news.last if news.kind is Kind.NOTIFICATION else int(news.due_at.timestamp() * 1000)
            targets = [_Target(str(news.subject), number)]
        numbers = dict(targets)
        subscriptions = await self._subscriptions.of_users(list(numbers)) if numbers else []
        users = list({each.user_id for each in subscriptions})
        online = await self._presence.online_globally(users) if users else set()
        return [_delivery(news, each, numbers[each.user_id]) for each in subscriptions if each.user_id not in online]

    async def _message_targets(self, news: News) -> list[_Target]:
        """Return each participant with the last message that is not their own, if they see it."""
        heads = await self._conversations.heads([news.subject])
        first = max(news.first, news.last - MAX_MESSAGES + 1)
        found = await self._messages.range(news.subject, first, news.last)
        texts = [each for each in found if "kind" not in each and not each["deleted"]]
        if news.subject not in heads or not texts:
            return []
        head = heads[news.subject]
        latest = _latest_of_others(texts)
        targets = []
        for user_id in head.participants:
            number = latest.get(user_id, texts[-1]["seq"])
            if number and not head.hides(number, ObjectId(user_id)):
                targets.append(_Target(user_id, number))
        return targets


def _latest_of_others(texts: list[Document]) -> Mapping[str, int]:
    """Return for each sender the seq of the last message that is somebody else's, 0 if there is none."""
    senders: Iterable[str] = {str(each["sender_id"]) for each in texts}
    return {
        sender: next((each["seq"] for each in reversed(texts) if str(each["sender_id"]) != sender), 0)
        for sender in senders
    }


def topic_of(delivery: Delivery) -> str:
    """Return the topic of a push: of those that the push service keeps, a later one replaces an earlier one with it."""
    return _topic(delivery.tag)


def _topic(tag: str) -> str:
    # A hash: it does not tell the push service which conversation it is, nor how it is called.
    return base64url.encode(hashlib.sha256(tag.encode()).digest()[:TOPIC_BYTES])


def _delivery(news: News, subscription: Subscription, number: int) -> Delivery:
    delivery = Delivery(
        id="",
        subscription_id=subscription.id,
        user_id=subscription.user_id,
        host=urlsplit(subscription.endpoint).netloc.lower(),
        kind=news.kind,
        subject=news.subject,
        group=news.group,
        number=number,
        first=news.first,
        last=news.last,
        conversations=news.conversations,
        expires_at=news.at + TTL if news.kind is not Kind.SUMMARY else news.due_at + TTL,
        due_at=news.due_at,
    )
    # With the user: the browser may have been another's, for whom something still waits.
    delivery.id = f"{subscription.id}:{subscription.user_id}:{_topic(delivery.tag)}"
    return delivery
