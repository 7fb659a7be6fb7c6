"""The AsyncAPI 3.0 document of sockets, event stream and webhooks, built from the models that the code uses."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from sanic import HTTPResponse, Request

from service.common.close_reasons import CLOSE_REASONS, GONE
from service.common.encoding import dumps
from service.http.asset import Asset, LazyAssets
from service.http.blueprint import Blueprint
from service.http.errors import CLOSING_ERRORS
from service.http.examples import example

DESCRIPTION = (
    "What the sockets, the event stream and the webhooks carry. The HTTP operations are in `/docs/openapi.json`."
)
REF = "#/components/schemas/{model}"
BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
SECURITY = {
    "bearer": BEARER | {"description": "The access token in the Authorization header."},
    "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket", "description": "Good once, for 30 seconds."},
    "token": {"type": "httpApiKey", "in": "query", "name": "token", "description": "The access token."},
}


HOST = {"default": "127.0.0.1:8000", "description": "Host and port of the server."}
SERVERS: dict[str, dict[str, Any]] = {
    protocol: {"host": "{host}", "protocol": protocol, "description": description, "variables": {"host": HOST}}
    for protocol, description in {
        "wss": "Sockets behind a proxy that terminates TLS.",
        "ws": "Sockets on the server's own port.",
        "https": "The event stream behind a proxy that terminates TLS.",
        "http": "The event stream on the server's own port.",
    }.items()
}
"""The document does not know under which names a proxy publishes the server."""
RECEIVER = {
    "host": "{host}",
    "protocol": "https",
    "description": "The receiver of webhooks, which the operator has set.",
    "variables": {"host": {"default": "site.example", "description": "The host of `WEBHOOK_URL`."}},
}


class Message(NamedTuple):
    """A message. `model`: the whole frame, the data of the server-sent event, or the body of the request."""

    name: str
    model: type[BaseModel]
    description: str
    headers: type[BaseModel] | None = None


class Channel(NamedTuple):
    """An address with the messages that the server receives and sends there. None: the receiver's address, which only
    the operator knows; messages there are requests of the server."""

    name: str
    address: str | None
    description: str
    protocol: Literal["ws", "http"]
    received: Sequence[Message] = ()
    sent: Sequence[Message] = ()
    query: type[BaseModel] | None = None


def blueprint(build: Callable[[], dict[str, Any]]) -> Blueprint:
    """`build()` returns the document. It is called on the first request, because it takes a while."""
    bp = Blueprint("asyncapi")
    assets = LazyAssets(lambda _: {"document": Asset("application/json", dumps(build()).encode(), {})})

    @bp.get("/asyncapi.json")
    async def serve(request: Request) -> HTTPResponse:
        return await (await assets.get("document", request.app)).respond(request)

    return bp


def document(title: str, version: str, channels: Sequence[Channel]) -> dict[str, Any]:
    schemas = _Schemas(channels)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": SERVERS | {"receiver": RECEIVER},
        "channels": {channel.name: _channel(channel, schemas) for channel in channels},
        "operations": dict(operation for channel in channels for operation in _operations(channel)),
        "components": {
            "messages": {
                _key(channel, message): {
                    "name": message.name,
                    "summary": message.description,
                    **({"headers": schemas.ref(message.headers, direction)} if message.headers else {}),
                    "payload": schemas.ref(message.model, direction),
                    "examples": [schemas.examples(message, direction)],
                }
                for channel in channels
                for message, direction in _messages(channel)
            },
            "schemas": schemas.definitions,
            "securitySchemes": SECURITY,
        },
    }


Mode = Literal["validation", "serialization"]


class _Schemas:
    """The schemas of all models. If two models share a name, pydantic gives each a unique one."""

    def __init__(self, channels: Iterable[Channel]) -> None:
        models: list[tuple[type[BaseModel], Mode]] = [
            (model, mode)
            for channel in channels
            for message, mode in _messages(channel)
            for model in (message.model, message.headers)
            if model
        ]
        # The same model may stand for several messages.
        refs, schema = models_json_schema(list(dict.fromkeys(models)), ref_template=REF)
        self._refs = refs
        self.definitions: dict[str, Any] = schema.get("$defs", {})

    def ref(self, model: type[BaseModel], mode: Mode) -> dict[str, Any]:
        return self._refs[model, mode]

    def examples(self, message: Message, mode: Mode) -> dict[str, Any]:
        parts = {"headers": message.headers, "payload": message.model}
        return {name: example(self.ref(model, mode), self.definitions) for name, model in parts.items() if model}


def _messages(channel: Channel) -> Iterator[tuple[Message, Mode]]:
    for message in channel.received:
        yield message, "validation"
    for message in channel.sent:
        yield message, "serialization"


def _key(channel: Channel, message: Message) -> str:
    """A unique key: `read` exists in both directions, with different models."""
    direction = "received" if message in channel.received else "sent"
    return f"{channel.name}.{direction}.{message.name}"


def _channel(channel: Channel, schemas: _Schemas) -> dict[str, Any]:
    handshake: dict[str, Any] = {"method": "GET"}
    if channel.query:
        handshake["query"] = channel.query.model_json_schema()
    return {
        "address": channel.address,
        "description": channel.description,
        "servers": [{"$ref": f"#/servers/{server}"} for server in _servers(channel)],
        "messages": {
            _key(channel, message): {"$ref": f"#/components/messages/{_key(channel, message)}"}
            for message, _ in _messages(channel)
        },
        # An event stream is the response to an ordinary request, for which there is no channel binding.
        "bindings": {"ws": handshake} if channel.protocol == "ws" else {},
        **({"x-close-reasons": _close_reasons()} if channel.protocol == "ws" else {}),
    }


def _servers(channel: Channel) -> Sequence[str]:
    return ("receiver",) if channel.address is None else (f"{channel.protocol}s", channel.protocol)


def _close_reasons() -> list[dict[str, Any]]:
    """The close frames with which the server ends a socket. AsyncAPI has no field for them."""
    return [
        {"code": close.code, "reason": close.reason, "reconnect": reconnect}
        for close, reconnect in sorted((CLOSE_REASONS | CLOSING_ERRORS).items())
        if close.code != GONE.code
    ]


def _operations(channel: Channel) -> Iterator[tuple[str, dict[str, Any]]]:
    """The operations from the server's point of view, as the specification demands."""
    for action, messages in (("receive", channel.received), ("send", channel.sent)):
        if messages:
            yield (
                f"{channel.name}.{action}",
                {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{channel.name}"},
                    "messages": [
                        {"$ref": f"#/channels/{channel.name}/messages/{_key(channel, message)}"} for message in messages
                    ],
                    **_access(channel),
                },
            )


def _access(channel: Channel) -> dict[str, Any]:
    """How clients authenticate, or how the server reaches the receiver."""
    if channel.address is None:
        return {"bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}}}
    return {"security": [{"$ref": f"#/components/securitySchemes/{scheme}"} for scheme in SECURITY]}
