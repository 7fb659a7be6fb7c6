"""The OpenAPI and AsyncAPI documents of the whole service: nothing is missing from them, and nothing is unbounded."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema
import pytest
from openapi_spec_validator import validate

from config.settings import Settings
from service.app import create_app
from service.asyncapi import channels
from service.chat import events
from service.common.encoding import loads
from service.http import asyncapi
from tests.conftest import SECRET, Datastores
from tests.rest import RestClient, serving

Document = dict[str, Any]

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
ID = "0123456789abcdef01234567"


class Documents(NamedTuple):
    openapi: Document
    asyncapi: Document
    routes: set[str]


@pytest.fixture(scope="module")
def documents(datastores: Datastores) -> Documents:
    """What the whole service says of itself, asked once: no test changes it."""
    uri = datastores.database("documents")
    app = create_app(settings=Settings(mongodb_uri=uri, redis_url=datastores.redis_url, jwt_secret=SECRET))

    async def ask() -> Documents:
        async with serving(app) as client:
            openapi, asyncapi = [(await client.get(path)).json() for path in ("/docs/openapi.json", "/asyncapi.json")]
            return Documents(openapi, asyncapi, set(routes(client)))

    return asyncio.run(ask())


@pytest.fixture
def openapi(documents: Documents) -> Document:
    return documents.openapi


@pytest.fixture
def async_document(documents: Documents) -> Document:
    return documents.asyncapi


def routes(client: RestClient) -> Iterator[str]:
    """The routes of the API, as OpenAPI writes them."""
    for route in client.app.router.routes:
        uri = "/" + "/".join(readable(part) for part in route.parts)
        if uri.startswith("/api/"):
            yield from (f"{method} {uri}" for method in route.methods & METHODS)


def readable(part: str) -> str:
    """`<user_id:str>` as OpenAPI writes it, `{user_id}`."""
    return "{" + part[1:-1].partition(":")[0] + "}" if part.startswith("<") else part


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def unbounded(schema: Document, document: Document, place: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Where in `schema` a client may send as much as it likes."""
    if reference := schema.get("$ref"):
        if reference not in above:
            component = document["components"]["schemas"][reference.rpartition("/")[2]]
            yield from unbounded(component, document, place, above | {reference})
        return
    for several in ("allOf", "anyOf", "oneOf"):
        for choice in schema.get(several, ()):
            yield from unbounded(choice, document, place, above)
    bounds = {
        "integer": {"minimum", "maximum"},
        "number": {"minimum", "maximum"},
        "string": {"maxLength"},
        "array": {"maxItems"},
    }.get(schema.get("type", ""), set())
    if not bounds <= schema.keys() and not {"enum", "pattern"} & schema.keys():
        yield place
    for name, field in schema.get("properties", {}).items():
        yield from unbounded(field, document, f"{place}.{name}", above)
    if "items" in schema:
        yield from unbounded(schema["items"], document, f"{place}[]", above)


class TestOpenApi:
    def test_is_valid(self, openapi: Document) -> None:
        """By the specification's own schema, with every reference resolved."""
        validate(openapi)

    def test_describes_every_route(self, documents: Documents) -> None:
        """A route of the API that somebody adds without describing it fails here."""
        described = {
            name for name, operation in operations(documents.openapi) if operation.get("tags") and operation["summary"]
        }
        assert len(documents.routes) > 30
        assert set() == documents.routes - described

    def test_names_every_operation_once(self, openapi: Document) -> None:
        """Generators of clients make a function of each."""
        names = [operation["operationId"] for _, operation in operations(openapi)]
        assert len(names) == len(set(names))
        assert all(name.replace("_", "").isalnum() for name in names)

    def test_says_of_every_operation_how_it_fails(self, openapi: Document) -> None:
        """As problem documents, with the codes that there are."""
        for name, operation in operations(openapi):
            refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            assert refusals, name
            for answer in refusals.values():
                schema = answer["content"]["application/problem+json"]["schema"]
                assert {"$ref": "#/components/schemas/Problem"} == schema["allOf"][0], name
                assert schema["allOf"][1]["properties"]["code"]["enum"], name

    def test_says_of_every_operation_what_it_answers(self, openapi: Document) -> None:
        """With a schema, wherever there is a body."""
        for name, operation in operations(openapi):
            answers = {status: answer for status, answer in operation["responses"].items() if status < "400"}
            assert answers, name
            for status, answer in answers.items():
                schemas = [content["schema"] for content in answer.get("content", {}).values()]
                assert schemas or status in ("101", "204"), name

    def test_asks_for_a_token_wherever_one_is_needed(self, openapi: Document) -> None:
        """Only registering, signing in, refreshing and the probes go without."""
        assert {
            "POST /api/v1/auth/register",
            "POST /api/v1/auth/login",
            "POST /api/v1/auth/refresh",
            "GET /healthz",
            "GET /readyz",
        } == {name for name, operation in operations(openapi) if not operation.get("security")}

    def test_bounds_everything_in_a_body(self, openapi: Document) -> None:
        """No text, list or number of a request is as large as the client likes."""
        found = [
            place
            for name, operation in operations(openapi)
            for content in operation.get("requestBody", {}).get("content", {}).values()
            for place in unbounded(content["schema"], openapi, name)
        ]
        assert [] == found

    def test_bounds_every_number_in_a_query(self, openapi: Document) -> None:
        """The text of a query is bounded by the length of a URL; a number is not, and the database has 64 bits."""
        found = [
            place
            for name, operation in operations(openapi)
            for parameter in operation.get("parameters", ())
            if parameter["schema"].get("type") == "integer"
            for place in unbounded(parameter["schema"], openapi, f"{name} {parameter['name']}")
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
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "defaultContentType": {"const": "application/json"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"title": {"type": "string", "minLength": 1}, "version": {"type": "string", "minLength": 1}},
        },
        "channels": {
            "type": "object",
            "propertyNames": {"pattern": r"^[\w.-]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages"],
                "additionalProperties": False,
                "properties": {
                    "address": {"type": "string", "pattern": "^/api/v1/"},
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
                        "required": ["name", "payload"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "summary": {"type": "string", "minLength": 1},
                            "payload": REFERENCE,
                        },
                    },
                },
                "schemas": {"type": "object", "propertyNames": {"pattern": r"^[\w.-]+$"}},
                "securitySchemes": {"type": "object"},
            },
        },
    },
}

# PROTOCOL.md, type by type.
RECEIVED = {"send_message", "read", "typing", "sync", "watch_presence", "authenticate", "ping"}
SENT = {
    *("hello", "ack", "error", "pong", "new_message", "message_updated", "read", "typing", "presence", "sync", "reset"),
    *("conversation_updated", "conversation_removed", "token_expiring", "draining", "announcement"),
}
STREAMED = {"notification", "hello", "unread_count", "reset", "token_expiring", "draining", "heartbeat"}


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
    for part in reference[2:].split("/"):
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

    def test_has_no_loose_end(self, async_document: Document) -> None:
        """Every reference leads somewhere."""
        found = set(references(async_document))
        assert len(found) > 50
        for reference in found:
            assert resolve(async_document, reference) is not None

    def test_has_schemas_that_are_schemas(self, async_document: Document) -> None:
        """Each of them can be used to check a message."""
        for schema in async_document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_has_every_message_of_the_protocol(self, async_document: Document) -> None:
        """Each type of frame and event, in its direction, on its channel."""
        assert {"/api/v1/ws/chat", "/api/v1/ws/notifications", "/api/v1/notifications/stream"} == {
            channel["address"] for channel in async_document["channels"].values()
        }
        assert RECEIVED == names(async_document, "chat", "receive")
        assert SENT == names(async_document, "chat", "send")
        assert STREAMED == names(async_document, "notification_stream", "send")
        assert names(async_document, "notification_socket", "send") >= STREAMED - {"heartbeat"}

    def test_describes_what_the_chat_says(self, async_document: Document) -> None:
        """The events that the code makes are those of the document."""
        message = {
            "id": ID,
            "conversation_id": ID,
            "seq": 1,
            "rev": 2,
            "sender_id": ID,
            "content": "hello",
            "nonce": None,
            "reply_to": None,
            "created_at": "2026-01-01T00:00:00.000Z",
            "edited_at": None,
            "deleted": False,
            "reactions": {"👍": [ID]},
        }
        for event in (
            events.message("new_message", message),
            events.message("message_updated", message),
            events.read(ID, ID, 3),
            events.typing(ID, ID, 5),
            events.presence(ID, {"online": True, "last_seen": None}),
            events.conversation_removed(ID, 1),
            events.announcement("Hello, all"),
        ):
            found = async_document["components"]["messages"][f"chat.sent.{event.type}"]
            schema = found["payload"] | {"components": async_document["components"]}
            jsonschema.validate(loads(event.json), schema)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({"type": event.type}, schema)

    def test_is_made_anew_without_a_server(self) -> None:
        """The document is a function of the models: no app, no datastore."""
        one, two = (asyncapi.document("Loa", "1", "", channels()) for _ in range(2))
        assert one == two
