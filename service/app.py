"""`create_app`: the one place that knows every part and ties them together."""

import asyncio
import random
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog
from sanic import Sanic

from config.settings import Settings
from service.accounts.denylist import Denylist
from service.accounts.passwords import Passwords
from service.accounts.profiles import ProfileService
from service.accounts.revocation import Revocation
from service.accounts.routes import blueprint as accounts_routes
from service.accounts.service import AccountService
from service.accounts.tickets import Tickets
from service.accounts.tokens import Tokens
from service.accounts.verifier import CredentialVerifier
from service.asyncapi import channels
from service.chat import events
from service.chat.conversation_service import ConversationService
from service.chat.message_service import MessageService
from service.chat.routes import blueprint as chat_routes
from service.common.encoding import dumps, loads
from service.common.times import now
from service.datastores.mongo import Mongo
from service.datastores.mongo_tracing import MongoCommandSpans
from service.datastores.redis import connect, ping
from service.edge.connection_opener import ConnectionOpener
from service.http import (
    asyncapi,
    error_handler,
    headers,
    health,
    metrics,
    openapi,
    request_log,
    sanic_ext_setup,
    shielded_tasks,
)
from service.http.authentication import Authentication
from service.http.body import MAX_BODY_BYTES
from service.http.limits import ConnectionLimit, RateLimits
from service.http.origin import OriginCheck
from service.http.proxy_headers import ProxiedRequest
from service.notifications.routes import blueprint as notification_routes
from service.notifications.service import NotificationService
from service.posts.comment_context import CommentContextLoader
from service.posts.notification_outbox import NotificationOutbox
from service.posts.routes import blueprint as post_routes
from service.posts.service import PostService
from service.realtime.dispatcher import Dispatcher
from service.realtime.event import Event
from service.realtime.presence_service import PresenceService
from service.realtime.presence_store import PresenceStore
from service.realtime.queue_stats import queue_stats
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel
from service.retention import Retention, Sweep
from service.stores import Stores
from service.telemetry.gauges import GaugeSources
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import CURRENT_SPAN, Tracing
from service.web.routes import blueprint as web_routes
from service.web.status.routes import blueprint as status_routes

log = structlog.get_logger()

DRAIN_SECONDS = 10.0
"""What connections have to close in when the server stops; the platform's patience is 30."""
RECONNECT_MS = 500
RECONNECT_MS_EACH = 5
"""Clients come back over a while that grows with their number: at most 200 of them a second for each process."""


class Lifecycle(Protocol):
    """What has a life of its own between the server's start and its stop."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


def create_app(args: Any = None, *, settings: Settings) -> Sanic[Any, Any]:
    """The whole service, not yet connected to anything. `settings` names both datastores."""
    assert settings.mongodb_uri
    assert settings.redis_url
    app: Sanic[Any, Any] = Sanic("loa", request_class=ProxiedRequest, configure_logging=False, dumps=dumps, loads=loads)
    configure(app, settings)

    tracing = Tracing() if settings.otel_exporter_otlp_endpoint else None
    mongo = Mongo(settings.mongodb_uri, [MongoCommandSpans()] if tracing else ())
    redis = connect(settings.redis_url, traced=tracing is not None)
    instruments = Metrics()
    stores = Stores.build(mongo.database, instruments.batch_committed)

    timers = TimerWheel()
    registry = Registry(timers)
    bus = RedisBus(redis)
    dispatcher = Dispatcher(bus, registry)

    tokens = Tokens(
        settings.jwt_secret,
        access_ttl=settings.access_token_ttl,
        refresh_ttl=settings.refresh_token_ttl,
        other_secrets=settings.jwt_secret_previous,
    )
    passwords = Passwords()
    tickets = Tickets(redis)
    revocation = Revocation(stores.sessions, Denylist(redis), bus, registry, access_ttl=settings.access_token_ttl)
    verifier = CredentialVerifier(tokens, revocation, tickets)
    profiles = ProfileService(stores.users)
    accounts = AccountService(stores.users, stores.sessions, passwords, tokens, revocation)

    chat = MessageService(
        stores.conversations,
        stores.messages,
        stores.writers,
        dispatcher,
        partial(instruments.batch_committed, "messages"),
    )
    membership = ConversationService(stores.conversations, stores.messages, profiles, dispatcher, chat.flush_counters)
    presence_store = PresenceStore(registry, bus, redis, stores.last_seen)
    presence = PresenceService(presence_store, bus, stores.last_seen, events.presence)

    notifications = NotificationService(stores.notifications, stores.inboxes, profiles, dispatcher)
    contexts = CommentContextLoader(stores.posts, stores.comments, profiles)
    outbox = NotificationOutbox(stores.comments, stores.posts, contexts, notifications)
    posts = PostService(stores.posts, stores.comments, profiles, contexts, outbox)

    sweeps: dict[str, Sweep] = {"sessions": stores.sessions.delete_expired}
    if days := settings.notification_retention_days:
        sweeps["notifications"] = lambda: notifications.expire(now() - timedelta(days=days))
    retention = Retention(sweeps)

    enabled = settings.rate_limits == "on"
    limits = RateLimits(settings.redis_url, enabled)
    auth = Authentication(verifier, limits)
    upgrade = ConnectionOpener(
        registry, auth, OriginCheck(settings.allowed_origins), limits, ConnectionLimit(registry.connections, enabled)
    )

    registry.on_connection_closed(
        lambda connection, reason: instruments.connection_closed(connection.channel, reason, connection.queue.dropped)
    )
    registry.on_queue_overflow(lambda connection, bound: instruments.queue_overflowed(connection.channel, bound))
    dispatcher.on_published(lambda event: instruments.event_published(event.type))
    if tracing:
        dispatcher.on_published(trace_publication)
    bus.on_gap(instruments.bus_gaps.inc)
    instruments.set_gauge_sources(
        GaugeSources(
            {channel: lambda channel=channel: registry.count(channel) for channel in ("chat", "notifications")},  # type: ignore[misc]
            lambda: bus.connected,
            lambda: bus.lag,
            lambda: bus.outbox_size,
            lambda: queue_stats(registry),
        )
    )

    shielded = shielded_tasks.install(app)
    app.ctx.rate_limits = limits
    headers.install(app)
    request_log.install(app, instruments, tracing)
    error_handler.install(app)
    sanic_ext_setup.install(app, settings.allowed_origins)
    app.blueprint(accounts_routes(accounts, profiles, tickets, auth, limits))
    app.blueprint(chat_routes(chat, membership, presence, auth, verifier, limits, upgrade, instruments, tracing))
    app.blueprint(post_routes(posts, auth))
    app.blueprint(notification_routes(notifications, auth, verifier, limits, upgrade, instruments, tracing))
    app.blueprint(web_routes())
    if settings.status_token:
        app.blueprint(status_routes(instruments, limits, settings.status_token))
    app.blueprint(health.blueprint(mongo.ping, partial(ping, redis), lambda: registry.draining))
    app.blueprint(metrics.blueprint(instruments))
    app.blueprint(openapi.blueprint())
    app.blueprint(asyncapi.blueprint(lambda: asyncapi.document(openapi.TITLE, openapi.VERSION, "", channels())))
    sanic_ext_setup.add_head_and_options(app)

    # In the order of starting; what is above closes after what stands on it.
    parts: list[Lifecycle] = [
        instruments,
        limits,
        bus,
        revocation,
        presence_store,
        presence,
        chat,
        membership,
        outbox,
        retention,
    ]
    if tracing:
        parts.insert(0, tracing)

    @app.before_server_start
    async def start(_: Sanic[Any, Any]) -> None:
        timers.start()
        for part in parts:
            await part.start()

    @app.before_server_stop
    async def say_goodbye(_: Sanic[Any, Any]) -> None:
        await drain(registry)

    # Not before: requests that are under way stand on all of this.
    @app.after_server_stop
    async def stop(_: Sanic[Any, Any]) -> None:
        await shielded.close()
        for part in reversed(parts):
            await part.close()
        await dispatcher.close()
        await contexts.close()
        await stores.comments.close()
        await stores.notifications.close()
        await passwords.close()
        timers.close()
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
    app.config.PROXIES_COUNT = settings.trusted_proxies


def trace_publication(event: Event) -> None:
    """That `event` has gone to the bus, as a step of what it comes of."""
    if span := CURRENT_SPAN.get():
        span.start_child(f"publish {event.type}", {"loa.topic": event.topic, "loa.number": event.sequence}).end()


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
    left = await registry.wait_until_empty(DRAIN_SECONDS)
    log.info("drained", left=left)
