"""`create_app`: the one place that knows every part and ties them together."""

import asyncio
import os
import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol

import structlog
from sanic import Sanic

from config.settings import Settings
from service.accounts.blacklist import Blacklist
from service.accounts.passwords import Passwords
from service.accounts.people import People
from service.accounts.revocation import Revocation
from service.accounts.routes import blueprint as accounts_routes
from service.accounts.service import AccountService
from service.accounts.sessions import SessionStore
from service.accounts.tickets import Tickets
from service.accounts.tokens import Tokens
from service.accounts.users import UserStore
from service.accounts.verifier import CredentialVerifier
from service.channels import channels
from service.chat import events
from service.chat.conversations import ConversationStore
from service.chat.last_seen import LastSeenStore
from service.chat.membership import MembershipService
from service.chat.messages import MessageStore
from service.chat.routes import blueprint as chat_routes
from service.chat.service import ChatService
from service.chat.writers import WriterStore
from service.datastores.commands import CommandSpans
from service.datastores.mongo import Database, Mongo
from service.datastores.redis import connect, ping
from service.encoding import dumps, loads
from service.http import asyncapi, completion, errors, extensions, headers, health, metrics, requests
from service.http.authentication import Authentication
from service.http.body import MAX_BODY_BYTES
from service.http.limits import ConnectionBound, RateLimits
from service.http.origin import OriginCheck
from service.http.upgrade import Upgrade
from service.notifications.inbox import InboxStore
from service.notifications.routes import blueprint as notification_routes
from service.notifications.service import NotificationService
from service.notifications.store import NotificationStore
from service.posts.comments import CommentStore
from service.posts.debts import Debts
from service.posts.footing import Footings
from service.posts.routes import blueprint as post_routes
from service.posts.service import PostService
from service.posts.store import PostStore
from service.realtime.delivery import Delivery
from service.realtime.event import Event
from service.realtime.load import load_of
from service.realtime.online import OnlineUsers
from service.realtime.presence import Presence
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.ticker import Ticker
from service.retention import Retention, Sweep
from service.telemetry.gauges import State
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import CURRENT, Tracing
from service.times import now
from service.web.routes import blueprint as web_routes
from service.web.status.routes import blueprint as status_routes

log = structlog.get_logger()

DRAIN_SECONDS = 10.0
"""What connections have to close in when the server stops; the platform's patience is 30."""
RECONNECT_MS = 500
RECONNECT_MS_EACH = 5
"""Clients come back over a while that grows with their number: at most 200 of them a second for each process."""


class Stores(NamedTuple):
    """Everything that MongoDB holds."""

    users: UserStore
    sessions: SessionStore
    conversations: ConversationStore
    messages: MessageStore
    writers: WriterStore
    last_seen: LastSeenStore
    posts: PostStore
    comments: CommentStore
    inboxes: InboxStore
    notifications: NotificationStore

    @classmethod
    def of(cls, database: Database, on_batch: Callable[[str, int], None] | None = None) -> "Stores":
        """`on_batch(collection, size)` is told of each write of several documents."""
        told = on_batch or (lambda _, __: None)
        posts = PostStore(database)
        inboxes = InboxStore(database)
        return cls(
            UserStore(database),
            SessionStore(database),
            ConversationStore(database),
            MessageStore(database),
            WriterStore(database),
            LastSeenStore(database),
            posts,
            CommentStore(database, posts, partial(told, "comments")),
            inboxes,
            NotificationStore(database, inboxes, partial(told, "notifications")),
        )

    async def create_indexes(self) -> None:
        for store in self:
            await store.create_indexes()


class Part(Protocol):
    """What has a life of its own between the server's start and its stop."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


async def create_indexes(settings: Settings) -> None:
    """Make the database ready; again does no harm. Raises Unavailable."""
    assert settings.mongodb_uri
    mongo = Mongo(settings.mongodb_uri)
    try:
        await Stores.of(mongo.database).create_indexes()
    finally:
        mongo.close()


def create_app(args: Any = None, *, settings: Settings) -> Sanic[Any, Any]:
    """The whole service, not yet connected to anything. `settings` names both datastores."""
    assert settings.mongodb_uri
    assert settings.redis_url
    app: Sanic[Any, Any] = Sanic("loa", configure_logging=False, dumps=dumps, loads=loads)
    configure(app, settings)

    tracing = Tracing() if settings.otel_exporter_otlp_endpoint else None
    mongo = Mongo(settings.mongodb_uri, [CommandSpans()] if tracing else ())
    redis = connect(settings.redis_url, traced=tracing is not None)
    instruments = Metrics()
    stores = Stores.of(mongo.database, instruments.committed)

    ticker = Ticker()
    registry = Registry(ticker)
    bus = RedisBus(redis)
    delivery = Delivery(bus, registry)

    tokens = Tokens(
        settings.jwt_secret,
        access_ttl=settings.access_token_ttl,
        refresh_ttl=settings.refresh_token_ttl,
        also=settings.jwt_secret_previous,
    )
    passwords = Passwords()
    tickets = Tickets(redis)
    revocation = Revocation(stores.sessions, Blacklist(redis), bus, registry, access_ttl=settings.access_token_ttl)
    verifier = CredentialVerifier(tokens, revocation, tickets)
    people = People(stores.users)
    accounts = AccountService(stores.users, stores.sessions, passwords, tokens, revocation)

    chat = ChatService(
        stores.conversations,
        stores.messages,
        stores.writers,
        delivery,
        partial(instruments.committed, "messages"),
    )
    membership = MembershipService(stores.conversations, stores.messages, people, delivery, chat.counted)
    online = OnlineUsers(registry, bus, redis, stores.last_seen)
    presence = Presence(online, bus, stores.last_seen, events.presence)

    notifications = NotificationService(stores.notifications, stores.inboxes, people, delivery)
    footings = Footings(stores.posts, stores.comments, people)
    debts = Debts(stores.comments, stores.posts, footings, notifications)
    posts = PostService(stores.posts, stores.comments, people, footings, debts)

    sweeps: dict[str, Sweep] = {"sessions": stores.sessions.sweep}
    if days := settings.notification_retention_days:
        sweeps["notifications"] = lambda: notifications.retire(now() - timedelta(days=days))
    retention = Retention(sweeps)

    enabled = settings.rate_limits == "on"
    limits = RateLimits(settings.redis_url, enabled)
    auth = Authentication(verifier, limits)
    upgrade = Upgrade(
        registry, auth, OriginCheck(settings.allowed_origins), limits, ConnectionBound(registry.connections, enabled)
    )

    registry.on_closed(
        lambda connection, reason: instruments.connection_closed(connection.feed, reason, connection.queue.dropped)
    )
    registry.on_overflow(lambda connection, bound: instruments.overflowed(connection.feed, bound))
    delivery.on_published(lambda event: instruments.event_published(event.type))
    if tracing:
        delivery.on_published(trace_publication)
    bus.on_gap(instruments.bus_gaps.inc)
    instruments.watch(
        State(
            {feed: lambda feed=feed: registry.count(feed) for feed in ("chat", "notifications")},  # type: ignore[misc]
            lambda: bus.connected,
            lambda: bus.lag,
            lambda: bus.waiting,
            lambda: load_of(registry),
        )
    )

    under_way = completion.install(app)
    headers.install(app)
    requests.install(app, instruments, tracing)
    errors.install(app)
    extensions.install(app, settings.allowed_origins)
    app.blueprint(accounts_routes(accounts, people, tickets, auth, limits))
    app.blueprint(chat_routes(chat, membership, presence, auth, verifier, limits, upgrade, instruments, tracing))
    app.blueprint(post_routes(posts, auth, limits))
    app.blueprint(notification_routes(notifications, auth, verifier, limits, upgrade, instruments, tracing))
    app.blueprint(web_routes())
    if settings.status_token:
        app.blueprint(status_routes(instruments, limits, settings.status_token))
    app.blueprint(health.blueprint(mongo.ping, partial(ping, redis), lambda: registry.draining))
    app.blueprint(metrics.blueprint(instruments))
    app.blueprint(asyncapi.blueprint(asyncapi.document("Loa", extensions.VERSION, "", channels())))
    extensions.add_head_and_options(app)

    # In the order of starting; what is above closes after what stands on it.
    parts: list[Part] = [instruments, limits, bus, revocation, online, presence, chat, membership, debts, retention]
    if tracing:
        parts.insert(0, tracing)

    @app.before_server_start
    async def start(_: Sanic[Any, Any]) -> None:
        ticker.start()
        for part in parts:
            await part.start()

    @app.before_server_stop
    async def say_goodbye(_: Sanic[Any, Any]) -> None:
        await drain(registry)

    # Not before: requests that are under way stand on all of this.
    @app.after_server_stop
    async def stop(_: Sanic[Any, Any]) -> None:
        await under_way.close()
        for part in reversed(parts):
            await part.close()
        await delivery.close()
        await footings.close()
        await stores.comments.close()
        await stores.notifications.close()
        await passwords.close()
        ticker.close()
        await redis.aclose()
        mongo.close()

    return app


def configure(app: Sanic[Any, Any], settings: Settings) -> None:
    """What Sanic is told; the reasons are in its documentation but for these."""
    app.config.update(
        # Its lines hold whole URLs, tokens included; `requests` writes ours.
        ACCESS_LOG=False,
        MOTD=False,
        FALLBACK_ERROR_FORMAT="json",
        REQUEST_MAX_SIZE=MAX_BODY_BYTES,
        REQUEST_TIMEOUT=20,
        # Above the 90 s for which Heroku's router keeps a connection for the next request.
        KEEP_ALIVE_TIMEOUT=95,
        GRACEFUL_SHUTDOWN_TIMEOUT=5,
    )
    if "DYNO" in os.environ:
        # Heroku's router is the one proxy in front; elsewhere nobody's X-Forwarded-For is believed.
        app.config.PROXIES_COUNT = 1


def trace_publication(event: Event) -> None:
    """That `event` has gone to the bus, as a step of what it comes of."""
    if span := CURRENT.get():
        span.child(f"publish {event.type}", {"loa.topic": event.topic, "loa.number": event.number}).end()


async def drain(registry: Registry) -> None:
    """Tell every connection to come back later, each at another time, and wait until they have gone."""
    registry.draining = True
    connections = list(registry)
    log.info("draining", connections=len(connections))
    for place, connection in enumerate(random.sample(connections, len(connections))):
        connection.drain(RECONNECT_MS + place * RECONNECT_MS_EACH + random.randrange(RECONNECT_MS))  # noqa: S311
        if place % 100 == 99:
            # Others want the loop, too.
            await asyncio.sleep(0)
    left = await registry.emptied(DRAIN_SECONDS)
    log.info("drained", left=left)
