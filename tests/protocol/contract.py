"""Checks every response and every event of a test run against the documents that the server publishes."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
from jsonschema import Draft202012Validator

MAX_NAME_LENGTH = 24
"""The longest `type` or `code` is shorter than this, and every id is longer."""

PROBLEM = "application/problem+json"


class Contract:
    """The OpenAPI and AsyncAPI documents of a server. Undocumented statuses, events and properties fail a test."""

    def __init__(self, openapi: Mapping[str, Any], asyncapi: Mapping[str, Any]) -> None:
        self._openapi = openapi
        self._asyncapi = asyncapi
        self._schemas = {
            name: {"components": {"schemas": _exact(document.get("components", {}).get("schemas", {}))}}
            for name, document in (("openapi", openapi), ("asyncapi", asyncapi))
        }
        """The schemas that others refer to. Each validator has all of them, and they are converted once."""
        self._validators: dict[tuple[str, ...], Draft202012Validator] = {}
        self._valid: set[tuple[Any, ...]] = set()
        self._paths = {tuple(path.split("/")): (path, methods) for path, methods in openapi["paths"].items()}

    def check_response(self, answer: httpx.Response) -> None:
        """Check that a response's status is documented for its route, and that its body has the documented schema."""
        request = answer.request
        found = self._route(request.url.raw_path.decode().partition("?")[0])
        method = request.method.lower()
        if not found or method not in found[1]:
            assert answer.status_code in (404, 405), f"{request.method} {request.url.path} is not documented"
            return
        path, methods = found
        responses = methods[method]["responses"]
        status = str(answer.status_code)
        assert status in responses, f"{request.method} {path} answers {status}, which is not documented"
        content = responses[status].get("content", {})
        kind = answer.headers.get("content-type", "").partition(";")[0]
        # A file has any type, and no schema.
        if (answer.content or content) and "*/*" not in content:
            assert kind in content, f"{request.method} {path} answers {status} as {kind!r}, documented: {list(content)}"
            # Bytes: a text may have more characters that end lines in Python.
            lines = answer.content.splitlines() if kind == "application/x-ndjson" else [answer.content]
            for line in lines:
                self._validate(
                    json.loads(line), "openapi", path, method, status, kind, schema=content[kind].get("schema", {})
                )

    def check_event(self, channel: str, name: str, payload: Any) -> None:
        """Check that an event of a socket or a stream has the schema that is documented for its name."""
        described = self._asyncapi["channels"][channel]["messages"].values()
        names = [message["$ref"].rsplit("/", 1)[1] for message in described]
        key = f"{channel}.sent.{'notification' if name.isupper() else name}"
        assert key in names, f"{channel} sends {name!r}, which is not documented"
        self._validate(payload, "asyncapi", key, schema=self._asyncapi["components"]["messages"][key]["payload"])

    def _route(self, path: str) -> tuple[str, Mapping[str, Any]] | None:
        parts = tuple(path.split("/"))
        if parts in self._paths:
            return self._paths[parts]
        for pattern, found in self._paths.items():
            if len(pattern) == len(parts) and all(
                want == part or want.startswith("{") for want, part in zip(pattern, parts, strict=True)
            ):
                return found
        return None

    def _validate(self, value: Any, *key: str, schema: Mapping[str, Any]) -> None:
        if (key, _shape(value)) in self._valid:
            return
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(_exact(schema) | self._schemas[key[0]])
        problems = [
            f"{'.'.join(str(part) for part in problem.absolute_path) or 'body'}: {problem.message}"
            for problem in self._validators[key].iter_errors(value)
        ]
        assert not problems, f"{' '.join(key)}: {problems[:5]}"
        self._valid.add((key, _shape(value)))


def _shape(value: Any) -> Any:
    """Return everything about a value that a schema can depend on, so that each shape is validated only once."""
    if isinstance(value, dict):
        return tuple([(key, _shape(item)) for key, item in value.items()])
    if isinstance(value, list):
        return frozenset([_shape(item) for item in value])
    # A short string may be one of an enumeration; the content of longer ones does not matter.
    return value if isinstance(value, str) and len(value) < MAX_NAME_LENGTH else type(value)


def _exact(schema: Any, part: bool = False) -> Any:
    """Convert OpenAPI 3.0's `nullable` to JSON Schema, and forbid properties that are not documented."""
    if isinstance(schema, list):
        return [_exact(item, part) for item in schema]
    if not isinstance(schema, dict):
        return schema
    exact = {key: _exact(value, key == "allOf") for key, value in schema.items() if key != "nullable"}
    # Each part of an `allOf` describes only some of the properties.
    if not part and isinstance(exact.get("properties"), dict) and isinstance(exact.get("type"), str):
        exact.setdefault("additionalProperties", False)
    return {"anyOf": [{"type": "null"}, exact]} if schema.get("nullable") is True else exact
