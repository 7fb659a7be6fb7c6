"""`create_app`: the Sanic app of a worker process, with its services, routes, metrics, start and shutdown."""

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
from sanic import Sanic

from config.settings import Settings
from service.accounts.routes import blueprint as accounts_routes
from service.asyncapi import channels
from service.attachments.access import LinkOrToken
from service.attachments.routes import UPLOAD_PATH
from service.attachments.routes import blueprint as attachment_routes
from service.chat.routes import blueprint as chat_routes
from service.common.encoding import dumps, loads
from service.datastores.redis import ping
from service.edge.connection_opener import ConnectionOpener
from service.export.routes import blueprint as export_routes
from service.http import (
    asyncapi,
    compressed_json,
    error_handler,
    headers,
    health,
    openapi,
    request_log,
    sanic_ext_setup,
    shielded_tasks,
)
from service.http.authentication import Authentication
from service.http.body import MAX_BODY_BYTES
from service.http.key_authentication import KeyAuthentication
from service.http.limits import ConnectionLimit, RateLimits
from service.http.metrics import blueprint as metrics_routes
from service.http.origin import OriginCheck
from service.http.proxy_headers import ProxiedRequest
from service.moderation.routes import blueprint as moderation_routes
from service.notifications.routes import blueprint as notification_routes
from service.posts.routes import blueprint as post_routes
from service.push.routes import blueprint as push_routes
from service.push.service import PushService
from service.realtime.event import Event
from service.realtime.queue_stats import queue_stats
from service.realtime.registry import Registry
from service.search.indexer import SearchIndexer
from service.search.routes import blueprint as search_routes
from service.server_api.keys import ApiKeys
from service.server_api.routes import BODY_LIMITS
from service.server_api.routes import blueprint as server_routes
from service.services import Lifecycle, Services
from service.telemetry.gauges import GaugeSources
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import CURRENT_SPAN, Tracing
from service.web import not_found
from service.web.routes import blueprint as web_routes
from service.web.status.routes import blueprint as status_routes
from service.webhooks.service import WebhookService

log = structlog.get_logger()

DRAIN_TIMEOUT = 10.0
"""Seconds that connections have to close when the server stops. The platform kills the process after 30."""
RECONNECT_DELAY_MS = 500
RECONNECT_DELAY_MS_PER_CONNECTION = 5
"""The reconnects spread over a time that grows with the number of clients: at most 200 per second and process."""


def create_app(args: Any = None, *, settings: Settings) -> Sanic[Any, Any]:
    """Build the app without connecting to anything. `settings` has to name both datastores."""
    app: Sanic[Any, Any] = Sanic("loa", request_class=ProxiedRequest, configure_logging=False, dumps=dumps, loads=loads)
    configure(app, settings)

    tracing = Tracing() if settings.otel_exporter_otlp_endpoint else None
    metrics = Metrics()
    services = Services(settings, metrics, traced=tracing is not None)
    limits = RateLimits(settings.redis_url, settings.rate_limits == "on", settings.redis_limits_tag)
    app.ctx.rate_limits = limits
    shielded = shielded_tasks.install(app)

    record_events(services, metrics, tracing)
    # Responses pass through what is installed first last.
    compressed_json.install(app)
    headers.install(app)
    request_log.install(app, metrics, tracing)
    error_handler.install(app)
    not_found.install(app)
    sanic_ext_setup.install(app, settings.allowed_origins)
    add_routes(app, settings, services, limits, metrics, tracing)

    started = AsyncExitStack()
    components: list[Lifecycle] = [metrics, limits, services]
    if tracing:
        components.insert(0, tracing)

    @app.before_server_start
    async def on_start(_: Sanic[Any, Any]) -> None:
        for component in components:
            await component.start()
            started.push_async_callback(component.close)
        # Closed first: shielded requests may still be running, and need all of the above.
        started.push_async_callback(shielded.close)

    @app.before_server_stop
    async def on_stop(_: Sanic[Any, Any]) -> None:
        await drain(services.registry)

    @app.after_server_stop
    async def on_stopped(_: Sanic[Any, Any]) -> None:
        # Not earlier: requests are answered until here.
        await started.aclose()

    return app


def configure(app: Sanic[Any, Any], settings: Settings) -> None:
    app.config.update(
        # Sanic's access log contains whole URLs, with tokens; service/http/request_log.py replaces it.
        ACCESS_LOG=False,
        MOTD=False,
        FALLBACK_ERROR_FORMAT="json",
        REQUEST_MAX_SIZE=MAX_BODY_BYTES,
        REQUEST_TIMEOUT=20,
        # Longer than the 90 s for which Heroku's router keeps an idle connection.
        KEEP_ALIVE_TIMEOUT=95,
        GRACEFUL_SHUTDOWN_TIMEOUT=5,
        PROXIES_COUNT=settings.trusted_proxies,
    )


def add_routes(
    app: Sanic[Any, Any],
    settings: Settings,
    services: Services,
    limits: RateLimits,
    metrics: Metrics,
    tracing: Tracing | None,
) -> None:
    registry, verifier = services.registry, services.verifier
    origins = OriginCheck(settings.allowed_origins)
    origins.install(app)
    auth = Authentication(verifier, limits)
    opener = ConnectionOpener(
        registry,
        services.dispatcher.subscriptions,
        auth,
        origins,
        limits,
        ConnectionLimit(registry.connections, limits.enabled),
    )
    local_accounts = settings.local_accounts == "on"
    app.blueprint(
        accounts_routes(
            services.accounts,
            services.account_deletion,
            services.profiles,
            services.blocks,
            services.tickets,
            auth,
            limits,
            local_accounts=local_accounts,
        )
    )
    app.blueprint(
        chat_routes(
            services.messages,
            services.conversations,
            services.conversation_settings,
            services.groups,
            services.invitations,
            services.presence,
            services.last_announcement,
            services.live_posts,
            services.moderators,
            auth,
            verifier,
            limits,
            opener,
            metrics,
            tracing,
        )
    )
    app.blueprint(
        post_routes(
            services.posts,
            services.post_edits,
            services.post_deletions,
            services.reactions,
            services.moderators,
            auth,
        )
    )
    app.blueprint(moderation_routes(services.reports, services.bans, services.moderators, auth))
    app.blueprint(
        notification_routes(
            services.notifications,
            services.notification_groups,
            services.preferences,
            auth,
            verifier,
            limits,
            opener,
            metrics,
            tracing,
        )
    )
    app.blueprint(
        attachment_routes(
            services.attachments,
            auth,
            LinkOrToken(services.links, auth, limits),
            max_bytes=settings.attachment_max_bytes,
            limited=limits.enabled,
            count_upload=metrics.attachment_uploaded,
        )
    )
    app.blueprint(push_routes(services.push_subscriptions, auth))
    if services.search_indexer:
        app.blueprint(search_routes(services.search, auth))
    app.blueprint(export_routes(services.export, auth))
    app.blueprint(web_routes(local_accounts=local_accounts))
    app.ctx.body_limits = {UPLOAD_PATH: settings.attachment_max_bytes}
    if settings.api_keys:
        app.ctx.body_limits |= BODY_LIMITS
        by_key = KeyAuthentication(ApiKeys(settings.api_keys).name_of, limits)
        app.blueprint(
            server_routes(
                services.server_users,
                services.server_notifications,
                services.server_conversations,
                services.announce,
                by_key,
            )
        )
    if settings.status_token:
        app.blueprint(status_routes(metrics, limits, settings.status_token))
    app.blueprint(
        health.blueprint(
            services.mongo.ping,
            partial(ping, services.redis, settings.redis_tag),
            lambda: services.bus.receives_own_messages,
            lambda: registry.draining,
        )
    )
    app.blueprint(metrics_routes(metrics))
    app.blueprint(openapi.blueprint())
    app.blueprint(asyncapi.blueprint(lambda: asyncapi.document(openapi.TITLE, openapi.VERSION, channels())))
    sanic_ext_setup.add_head_and_options(app)


def record_events(services: Services, metrics: Metrics, tracing: Tracing | None) -> None:
    """Connect the services to the metrics and, if there is tracing, publications to their traces."""
    registry, bus, dispatcher = services.registry, services.bus, services.dispatcher
    registry.on_connection_closed(
        lambda connection, reason: metrics.connection_closed(connection.channel, reason, connection.queue.dropped)
    )
    registry.on_queue_overflow(lambda connection, limit: metrics.queue_overflowed(connection.channel, limit))
    dispatcher.on_published(lambda event: metrics.event_published(event.type))
    if tracing:
        dispatcher.on_published(trace_publication)
    bus.on_gap(metrics.bus_gaps.inc)
    metrics.set_gauge_sources(
        GaugeSources(
            connections={channel: partial(registry.count, channel) for channel in ("chat", "notifications")},
            bus_connected=lambda: bus.connected,
            bus_lag=lambda: bus.lag,
            bus_waiting=lambda: bus.outbox_size,
            queues=lambda: queue_stats(registry),
            **background_gauges(services.push, services.webhooks, services.search_indexer),
        )
    )


def background_gauges(
    push: PushService, webhooks: WebhookService | None, search: SearchIndexer | None
) -> dict[str, Any]:
    """Return what GaugeSources says of pushes, and of webhooks and the search if there are any."""
    lags = {push.follower.name: lambda: push.follower.lag}
    found: dict[str, Any] = {"follower_lags": lags, "pushes_waiting": lambda: push.waiting}
    if search:
        lags[search.follower.name] = lambda: search.lag
    if webhooks:
        lags[webhooks.follower.name] = lambda: webhooks.follower.lag
        found["webhooks_waiting"] = lambda: webhooks.deliveries.waiting
        found["webhooks_parked"] = lambda: webhooks.deliveries.parked
    return found


def trace_publication(event: Event) -> None:
    """Record that `event` was handed to the bus as a span of the current trace."""
    if span := CURRENT_SPAN.get():
        span.start_child(f"publish {event.type}", {"loa.topic": event.topic, "loa.number": event.sequence}).end()


async def drain(registry: Registry) -> None:
    """Ask every connection to reconnect later, each at another time, and wait until they have closed."""
    registry.draining = True
    connections = list(registry)
    log.info("draining", connections=len(connections))
    for index, connection in enumerate(random.sample(connections, len(connections))):
        jitter = random.randrange(RECONNECT_DELAY_MS)  # noqa: S311
        connection.drain(RECONNECT_DELAY_MS + index * RECONNECT_DELAY_MS_PER_CONNECTION + jitter)
        if index % 100 == 99:
            # Let other tasks run in between.
            await asyncio.sleep(0)
    remaining = await registry.wait_until_empty(DRAIN_TIMEOUT)
    log.info("drained", remaining=remaining)
