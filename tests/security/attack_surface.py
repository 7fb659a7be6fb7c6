"""Everything that a client can send, read from the server's own documents: new operations are attacked
automatically."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.request import urlopen

from jsonschema import Draft202012Validator

from tests.protocol.contract import _exact
from tests.running import Server

Json = Any
PREFIX = "/api/v1"
ID = "^[0-9a-fA-F]{24}$"


class Field(NamedTuple):
    """One value that a client sends: a field of a body or frame, or a parameter. `schema` is plain JSON Schema."""

    name: str
    schema: Json
    required: bool

    def allows(self, value: Json) -> bool:
        return bool(Draft202012Validator(self.schema).is_valid(value))

    @property
    def is_id(self) -> bool:
        return any(choice.get("pattern") == ID for choice in _alternatives(self.schema))

    @property
    def is_list_of_ids(self) -> bool:
        return any(choice.get("items", {}).get("pattern") == ID for choice in _alternatives(self.schema))

    def of_id(self, id_: str) -> Json:
        """Return the value that names the object with this id."""
        return [id_] if self.is_list_of_ids else id_

    def example(self) -> Json:
        """Return a value that the schema allows, for a field without a value in the scenario."""
        schema = next(_alternatives(self.schema))
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "string" if schema.get("format") == "date-time":
                return "2099-05-24T14:03:11.482Z"
            case "string":
                return "0" * 24 if self.is_id else "x" * max(1, schema.get("minLength", 1))
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case "array":
                item = Field(self.name, schema.get("items", {}), True).example()
                return [item] * max(1, schema.get("minItems", 1))
        return {}


class Operation(NamedTuple):
    """One operation of the OpenAPI document. `path` lacks the common prefix; `streaming`: a WebSocket or event
    stream."""

    method: str
    path: str
    in_path: list[Field]
    in_query: list[Field]
    body: list[Field]
    requires_token: bool
    streaming: bool
    receives_file: bool
    statuses: frozenset[int]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    def url(self, values: Mapping[str, Json]) -> str:
        return self.path.format_map({field.name: values[field.name] for field in self.in_path})


class Frame(NamedTuple):
    """One type of frame that a client may send on a WebSocket."""

    channel: str
    type: str
    fields: list[Field]


class AttackSurface(NamedTuple):
    operations: list[Operation]
    frames: list[Frame]
    names: frozenset[str]
    """The names of all properties in both documents, of requests and responses."""

    @classmethod
    def fetch(cls, server: Server) -> "AttackSurface":
        openapi, asyncapi = (_fetch_document(server, path) for path in ("/docs/openapi.json", "/asyncapi.json"))
        operations = [
            _parse_operation(path.removeprefix(PREFIX), method.upper(), operation, openapi)
            for path, methods in openapi["paths"].items()
            for method, operation in methods.items()
            if path.startswith(PREFIX)
        ]
        frames = [
            Frame(*key.split(".received."), _parse_fields(message["payload"], asyncapi))
            for key, message in asyncapi["components"]["messages"].items()
            if ".received." in key
        ]
        names = frozenset(_property_names(openapi["components"])) | frozenset(
            _property_names(asyncapi["components"]["schemas"])
        )
        return cls(operations, frames, names)

    @property
    def rest_operations(self) -> list[Operation]:
        """All operations except WebSockets and event streams."""
        return [operation for operation in self.operations if not operation.streaming]


def _fetch_document(server: Server, path: str) -> Json:
    with urlopen(server.url + path, timeout=10) as answer:
        return json.load(answer)


def _parse_operation(path: str, method: str, operation: Json, document: Json) -> Operation:
    parameters: dict[str, list[Field]] = {"path": [], "query": []}
    for one in operation.get("parameters", ()):
        field = Field(one["name"], _exact(one["schema"]), one.get("required", False))
        parameters[one["in"]].append(field)
    contents = operation.get("requestBody", {}).get("content", {})
    content = contents.get("application/json")
    responses = operation["responses"]
    streaming = "101" in responses or any(
        "text/event-stream" in answer.get("content", {}) for answer in responses.values()
    )
    return Operation(
        method,
        path,
        parameters["path"],
        parameters["query"],
        _parse_fields(content["schema"], document) if content else [],
        bool(operation.get("security")),
        streaming,
        "*/*" in contents,
        frozenset(int(status) for status in responses),
    )


def _parse_fields(schema: Json, document: Json) -> list[Field]:
    """Parse the fields of an object schema; each field's schema includes the components that it refers to."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    components = {"components": {"schemas": document["components"]["schemas"]}}
    required = schema.get("required", ())
    return [
        Field(name, {**_exact(field), **(components if "$ref" in json.dumps(field) else {})}, name in required)
        for name, field in schema.get("properties", {}).items()
    ]


def _alternatives(schema: Json) -> Iterator[Json]:
    """The alternatives of a schema except null."""
    several = schema.get("anyOf")
    if not several:
        yield schema
    for choice in several or ():
        if choice.get("type") != "null":
            yield from _alternatives(choice)


def _property_names(schema: Json) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _property_names(part)
