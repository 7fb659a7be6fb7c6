"""The OpenAPI and AsyncAPI documents of the whole service are complete, and all input is bounded."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import jsonschema
import pytest
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate
from pydantic import BaseModel, TypeAdapter

from config.settings import WEBHOOK_EVENTS, ApiKey, Settings
from service.app import create_app
from service.asyncapi import channels
from service.chat import events
from service.chat.frames import FRAMES
from service.common.blocks import Block
from service.common.encoding import loads
from service.http import asyncapi
from service.http.examples import UNKNOWN
from service.notifications.frames import FRAMES as NOTIFICATION_FRAMES
from tests.conftest import API_KEY, SECRET, Datastores
from tests.rest import RestClient, serving

Document = dict[str, Any]

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
ID = "0123456789abcdef01234567"


class Documents(NamedTuple):
    """`bodies`, `responses`: the models of the bodies of requests and of responses."""

    openapi: Document
    asyncapi: Document
    routes: set[str]
    bodies: set[type[BaseModel]]
    responses: set[type[BaseModel]]


@pytest.fixture(scope="module")
def documents(datastores: Datastores) -> Documents:
    """The documents of the whole service, fetched once: no test changes them."""
    uri = datastores.database("documents")
    settings = Settings(
        mongodb_uri=uri, redis_url=datastores.redis_url, jwt_secret=SECRET, api_keys=(ApiKey("test", API_KEY),)
    )
    app = create_app(settings=settings)

    async def ask() -> Documents:
        async with serving(app) as client:
            openapi, asyncapi = [(await client.get(path)).json() for path in ("/docs/openapi.json", "/asyncapi.json")]
            described = [getattr(route.handler, "operation", None) for route in app.router.routes]
            bodies = {operation.body for operation in described if operation and operation.body}
            responses = {model for operation in described if operation for model in operation.responses.values()}
            return Documents(openapi, asyncapi, set(routes(client)), bodies, responses - {None})

    return asyncio.run(ask())


@pytest.fixture
def openapi(documents: Documents) -> Document:
    return documents.openapi


@pytest.fixture
def async_document(documents: Documents) -> Document:
    return documents.asyncapi


def routes(client: RestClient) -> Iterator[str]:
    """The routes of the API in the notation of OpenAPI."""
    for route in client.app.router.routes:
        uri = "/" + "/".join(openapi_part(part) for part in route.parts)
        if uri.startswith("/api/"):
            yield from (f"{method} {uri}" for method in route.methods & METHODS)


def openapi_part(part: str) -> str:
    """Translate `<user_id:str>` to `{user_id}`."""
    return "{" + part[1:-1].partition(":")[0] + "}" if part.startswith("<") else part


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def unbounded(schema: Document, document: Document, path: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the paths in `schema` where a client may send input of any size."""
    if reference := schema.get("$ref"):
        if reference not in above:
            component = document["components"]["schemas"][reference.rpartition("/")[2]]
            yield from unbounded(component, document, path, above | {reference})
        return
    for keyword in ("allOf", "anyOf", "oneOf"):
        for choice in schema.get(keyword, ()):
            yield from unbounded(choice, document, path, above)
    bounds = {
        "integer": {"minimum", "maximum"},
        "number": {"minimum", "maximum"},
        "string": {"maxLength"},
        "array": {"maxItems"},
    }.get(schema.get("type", ""), set())
    if not bounds <= schema.keys() and not {"enum", "pattern"} & schema.keys():
        yield path
    for name, field in schema.get("properties", {}).items():
        yield from unbounded(field, document, f"{path}.{name}", above)
    if "items" in schema:
        yield from unbounded(schema["items"], document, f"{path}[]", above)


def objects(document: Any, path: str = "") -> Iterator[tuple[str, Document]]:
    """Yield every JSON object in `document`, with its path."""
    if isinstance(document, dict):
        yield path, document
        for name, value in document.items():
            yield from objects(value, f"{path}/{name}")
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from objects(value, f"{path}/{index}")


class TestOpenApi:
    def test_is_valid(self, openapi: Document) -> None:
        """According to the schema of the specification, with all references resolved."""
        validate(openapi)

    def test_describes_every_route(self, documents: Documents) -> None:
        """A new route without a description fails here."""
        described = {
            name for name, operation in operations(documents.openapi) if operation.get("tags") and operation["summary"]
        }
        assert len(documents.routes) > 30
        assert set() == documents.routes - described

    def test_nullable_has_a_type_beside_it_and_null_among_the_values(self, openapi: Document) -> None:
        """Otherwise it has no effect (OpenAPI 3.0.3)."""
        nullable = {path: schema for path, schema in objects(openapi) if schema.get("nullable") is True}
        assert nullable
        assert not [path for path, schema in nullable.items() if "type" not in schema]
        assert not [path for path, schema in nullable.items() if None not in schema.get("enum", [None])]

    def test_names_a_server(self, openapi: Document) -> None:
        """The one that has sent the document, under any name."""
        assert [{"url": "/"}] == openapi["servers"]

    def test_descriptions_are_our_own(self, documents: Documents) -> None:
        """Pydantic's base classes have docstrings, too."""
        for document in (documents.openapi, documents.asyncapi):
            found = [text for _, each in objects(document) if isinstance(text := each.get("description"), str)]
            assert found
            assert not [text for text in found if "pydantic" in text.lower() or "!!!" in text or not text.strip()]

    def test_every_body_has_an_example_that_its_schema_allows(self, openapi: Document) -> None:
        """Of requests, responses and errors: in the body's component, or beside its schema."""
        for name, operation in operations(openapi):
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                for kind, content in part.get("content", {}).items():
                    if kind.endswith("json"):
                        schema = content["schema"]
                        example = content.get("example", resolve(openapi, schema.get("$ref", "#/")).get("example"))
                        assert example is not None, f"{name} {kind}"
                        OAS30Validator(schema | {"components": openapi["components"]}).validate(example)

    def test_the_server_accepts_the_examples_of_requests(self, documents: Documents) -> None:
        """A model checks more than its schema says."""
        assert len(documents.bodies) > 10
        for model in documents.bodies:
            example = documents.openapi["components"]["schemas"][model.__name__]["example"]
            assert model.model_validate_json(json.dumps(example))

    def test_every_field_has_an_example(self, documents: Documents) -> None:
        """A new name belongs in `service/http/examples.py`, or has `Field(examples=[…])` in its model."""
        for document in (documents.openapi, documents.asyncapi):
            found = {
                f"{path}/{name}"
                for path, each in objects(document)
                if "/example" in path
                for name, value in each.items()
                if UNKNOWN in (name, value) or value == [UNKNOWN]
            }
            assert set() == found

    def test_operation_ids_are_unique(self, openapi: Document) -> None:
        """Client generators make a function of each."""
        names = [operation["operationId"] for _, operation in operations(openapi)]
        assert len(names) == len(set(names))
        assert all(name.replace("_", "").isalnum() for name in names)

    def test_every_operation_lists_its_errors(self, openapi: Document) -> None:
        """As problem documents with their codes."""
        for name, operation in operations(openapi):
            refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert refusals, name
            for answer in refusals.values():
                schema = answer["content"]["application/problem+json"]["schema"]
                assert {"$ref": "#/components/schemas/Problem"} == schema["allOf"][0], name
                assert schema["allOf"][1]["properties"]["code"]["enum"], name

    def test_every_operation_describes_its_response(self, openapi: Document) -> None:
        """With a schema, if there is a body."""
        for name, operation in operations(openapi):
            answers = {status: answer for status, answer in operation["responses"].items() if status < "400"}
            assert answers, name
            for status, answer in answers.items():
                schemas = [content["schema"] for content in answer.get("content", {}).values()]
                assert schemas or status in ("101", "204", "304"), name

    def test_lists_the_operations_without_authentication(self, openapi: Document) -> None:
        """Only registration, sign-in, refresh, links for a new password, avatars, and the health checks."""
        assert {
            "GET /api/v1/attachments/{avatar_id}/avatar",
            "POST /api/v1/auth/register",
            "POST /api/v1/auth/password/reset",
            "POST /api/v1/auth/login",
            "POST /api/v1/auth/refresh",
            "GET /healthz",
            "GET /readyz",
        } == {name for name, operation in operations(openapi) if not operation.get("security")}

    def test_all_values_in_bodies_are_bounded(self, openapi: Document) -> None:
        """Strings, lists and numbers."""
        found = [
            path
            for name, operation in operations(openapi)
            for content in operation.get("requestBody", {}).get("content", {}).values()
            for path in unbounded(content["schema"], openapi, name)
        ]
        assert [] == found

    def test_all_numbers_in_queries_are_bounded(self, openapi: Document) -> None:
        """Strings are bounded by the length of a URL; numbers are not, and the database has 64 bits."""
        found = [
            path
            for name, operation in operations(openapi)
            for parameter in operation.get("parameters", ())
            if parameter["schema"].get("type") == "integer"
            for path in unbounded(parameter["schema"], openapi, f"{name} {parameter['name']}")
        ]
        assert [] == found


CLOSE_REASON = {
    "type": "object",
    "required": ["code", "reason", "reconnect"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "integer", "minimum": 1002, "maximum": 1013},
        "reason": {"type": "string"},
        "reconnect": {"enum": ["back_off", "refresh", "sign_in", "never"]},
    },
}

# The structure of AsyncAPI 3.0.0 as far as we use it: https://www.asyncapi.com/docs/reference/specification/v3.0.0
REFERENCE = {
    "type": "object",
    "required": ["$ref"],
    "additionalProperties": False,
    "properties": {"$ref": {"type": "string"}},
}
STRUCTURE: Document = {
    "type": "object",
    "required": ["asyncapi", "info", "servers", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "defaultContentType": {"const": "application/json"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"title": {"type": "string", "minLength": 1}, "version": {"type": "string", "minLength": 1}},
        },
        "servers": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["host", "protocol"],
                "additionalProperties": False,
                "properties": {
                    "host": {"type": "string", "minLength": 1},
                    "protocol": {"enum": ["ws", "wss", "http", "https"]},
                    "description": {"type": "string"},
                    "variables": {"type": "object", "additionalProperties": {"type": "object"}},
                },
            },
        },
        "channels": {
            "type": "object",
            "propertyNames": {"pattern": r"^[\w.-]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["address", "servers", "messages"],
                "additionalProperties": False,
                "properties": {
                    # Null: only the operator knows the address.
                    "address": {"type": ["string", "null"], "pattern": "^/api/v1/"},
                    "servers": {"type": "array", "minItems": 1, "items": REFERENCE},
                    "description": {"type": "string"},
                    "messages": {"type": "object", "additionalProperties": REFERENCE},
                    # Specification extensions begin with x-.
                    "x-close-reasons": {"type": "array", "minItems": 10, "items": CLOSE_REASON},
                    "bindings": {"type": "object", "propertyNames": {"enum": ["ws"]}},
                },
            },
        },
        "operations": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel", "messages"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "messages": {"type": "array", "minItems": 1, "items": REFERENCE},
                    "security": {"type": "array", "minItems": 1, "items": REFERENCE},
                    "bindings": {"type": "object", "propertyNames": {"enum": ["http"]}},
                },
            },
        },
        "components": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "messages": {
                    "type": "object",
                    "propertyNames": {"pattern": r"^[\w.-]+$"},
                    "additionalProperties": {
                        "type": "object",
                        "required": ["name", "payload", "examples"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "summary": {"type": "string", "minLength": 1},
                            "headers": REFERENCE,
                            "payload": REFERENCE,
                            "examples": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "object",
                                    "required": ["payload"],
                                    "additionalProperties": False,
                                    "properties": {"headers": {"type": "object"}, "payload": {"type": "object"}},
                                },
                            },
                        },
                    },
                },
                "schemas": {"type": "object", "propertyNames": {"pattern": r"^[\w.-]+$"}},
                "securitySchemes": {"type": "object"},
            },
        },
    },
}

# All types of the protocol.
RECEIVED = {"send_message", "read", "typing", "sync", "watch_presence", "watch_posts", "authenticate", "ping"}
SENT = {
    *(
        "hello",
        "ack",
        "error",
        "pong",
        "new_message",
        "message_updated",
        "rev_skipped",
        "read",
        "typing",
        "presence",
        "sync",
        "reset",
    ),
    *("conversation_updated", "conversation_removed", "token_expiring", "draining", "announcement"),
    *("profile_updated", "block_updated", "history_cleared"),
    *("post_created", "post_updated", "comment_created", "comment_updated", "post_mute_updated"),
}
STREAMED = {
    "notification",
    "hello",
    "unread_count",
    "notifications_deleted",
    "preferences_updated",
    "reset",
    "token_expiring",
    "draining",
    "heartbeat",
}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def resolve(document: Document, reference: str) -> Any:
    assert reference.startswith("#/")
    found: Any = document
    for part in filter(None, reference[2:].split("/")):
        found = found[part]
    return found


def names(document: Document, channel: str, action: str) -> set[str]:
    """The messages of an operation, by their names."""
    operation = document["operations"][f"{channel}.{action}"]
    messages = [resolve(document, resolve(document, message["$ref"])["$ref"]) for message in operation["messages"]]
    return {message["name"] for message in messages}


class TestAsyncApi:
    def test_has_the_structure_of_the_specification(self, async_document: Document) -> None:
        """AsyncAPI 3.0."""
        jsonschema.validate(async_document, STRUCTURE)

    def test_all_references_can_be_resolved(self, async_document: Document) -> None:
        found = set(references(async_document))
        assert len(found) > 50
        for reference in found:
            assert resolve(async_document, reference) is not None

    def test_schemas_are_valid(self, async_document: Document) -> None:
        """Each can validate a message."""
        for schema in async_document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_examples_match_their_schemas(self, async_document: Document) -> None:
        for message in async_document["components"]["messages"].values():
            for part in message.keys() & {"headers", "payload"}:
                schema = message[part] | {"components": async_document["components"]}
                for example in message["examples"]:
                    jsonschema.validate(example[part], schema)

    @pytest.mark.parametrize(("channel", "frames"), [("chat", FRAMES), ("notification_socket", NOTIFICATION_FRAMES)])
    def test_the_server_accepts_the_examples_of_frames(
        self, async_document: Document, channel: str, frames: TypeAdapter[Any]
    ) -> None:
        for name in names(async_document, channel, "receive"):
            message = async_document["components"]["messages"][f"{channel}.received.{name}"]
            assert name == frames.validate_json(json.dumps(message["examples"][0]["payload"])).type

    def test_has_every_message_of_the_protocol(self, async_document: Document) -> None:
        """Each type of frame and event, with its direction and channel."""
        assert {"/api/v1/ws/chat", "/api/v1/ws/notifications", "/api/v1/notifications/stream", None} == {
            channel["address"] for channel in async_document["channels"].values()
        }
        assert RECEIVED == names(async_document, "chat", "receive")
        assert SENT == names(async_document, "chat", "send")
        assert STREAMED == names(async_document, "notification_stream", "send")
        assert names(async_document, "notification_socket", "send") >= STREAMED - {"heartbeat"}
        assert {*WEBHOOK_EVENTS} == names(async_document, "webhooks", "send")

    def test_every_webhook_has_the_three_headers(self, async_document: Document) -> None:
        """Beside a body that says its type."""
        for name in WEBHOOK_EVENTS:
            message = async_document["components"]["messages"][f"webhooks.sent.{name}"]
            headers = resolve(async_document, message["headers"]["$ref"])
            assert ["webhook-id", "webhook-timestamp", "webhook-signature"] == headers["required"]
            assert headers["required"] == list(message["examples"][0]["headers"])
            assert name == message["examples"][0]["payload"]["type"]

    def test_chat_events_match_their_schemas(self, async_document: Document) -> None:
        """The events that the code creates are those of the document."""
        message = {
            "id": ID,
            "kind": "joined",
            "event": {"by": ID, "user_ids": [ID], "user_count": 1},
            "conversation_id": ID,
            "seq": 1,
            "rev": 2,
            "sender_id": ID,
            "content": "hello",
            "nonce": None,
            "reply_to": None,
            "attachments": [],
            "created_at": "2026-01-01T00:00:00.000Z",
            "edited_at": None,
            "deleted": False,
            "reactions": {"👍": [ID]},
            "reaction_counts": {"👍": 1},
            "mentions": [],
        }
        for event in (
            events.message("new_message", message),
            events.message("message_updated", message),
            events.read(ID, ID, 3),
            events.typing(ID, ID, 5),
            events.presence(ID, {"online": True, "last_seen": None}),
            events.conversation_removed(ID, 1),
            events.history_cleared(ID, ID, 3),
            events.block_updated(Block(ID, ID), True),
            events.post_mute_updated(ID, True),
            events.announcement("Hello, all"),
        ):
            found = async_document["components"]["messages"][f"chat.sent.{event.type}"]
            schema = found["payload"] | {"components": async_document["components"]}
            jsonschema.validate(loads(event.json), schema)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({"type": event.type}, schema)

    def test_is_built_without_app_or_datastores(self) -> None:
        """The document depends only on the models."""
        one, two = (asyncapi.document("Loa", "1", channels()) for _ in range(2))
        assert one == two


def test_no_response_hides_a_secret_within_another_object(documents: Documents) -> None:
    """Responses with a secret are not compressed: `Operation.has_secret` looks at the fields of the response itself."""

    def inner(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for field in model.model_fields.values():
            for part in parts_of(field.annotation):
                yield part
                yield from inner(part)

    def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        for argument in get_args(annotation):
            yield from parts_of(argument)

    models = {part for model in documents.responses for part in inner(model)}
    assert len(models) > 10
    assert not [model for model in models if any(not field.repr for field in model.model_fields.values())]
    outer = {model.__name__ for model in documents.responses if any(not f.repr for f in model.model_fields.values())}
    assert outer >= {"SignedIn", "Ticket"}
