"""The OpenAPI 3.0 document, and `/docs`, which shows it.

`@endpoint` and `@connection` attach an Operation to each handler. The document is built from them on the first request,
because building it takes about as long as everything else that a starting worker does.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from sanic import HTTPResponse, Request, Sanic

from config.settings import MAX_ATTACHMENT_BYTES
from service.common import ids
from service.common.encoding import dumps
from service.common.errors import LoaError, OriginNotAllowed, ValidationFailed
from service.http.asset import Asset, LazyAssets
from service.http.blueprint import Blueprint
from service.http.docs import render
from service.http.errors import ERRORS, Problem, problem
from service.http.examples import EXAMPLES
from service.http.safe_methods import SAFE_METHODS
from service.http.schemas import Components, properties

TITLE = "Loa"
VERSION = "1.0.0"
DESCRIPTION = """Realtime chat and notifications.

Send an access token as `Authorization: Bearer …`: the one from `POST /api/v1/auth/login`, or if the operator has set
`AUTH_ISSUER`, a token of that issuer. Every error is an RFC 9457 problem document with a stable `code`. What the
sockets and the event stream carry is in `/asyncapi.json`."""

SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of Loa's own, or a token of the issuer that `AUTH_ISSUER` names.",
    },
    "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `API_KEYS`, for the servers of a site. Users' tokens are no keys.",
    },
}
TAGS = {
    "auth": "Accounts, sessions and tokens.",
    "users": "Profiles.",
    "chat": "Conversations, their messages, and presence.",
    "attachments": "Files of messages, posts and comments.",
    "posts": "Posts and their comments.",
    "moderation": "Reports, and what moderators do about them.",
    "notifications": "Notifications: the list, the event stream and the socket.",
    "push": "Web Push: what a user has not read is pushed to their browsers.",
    "server": "For the servers of a site beside Loa, authenticated by an API key.",
    "operation": "Health checks.",
}
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PATH_PARAMETER = re.compile(r"<(\w+):[^>]*>")
FILE_SCHEMA = {"type": "string", "format": "binary"}
UNDOCUMENTED_METHODS = frozenset({"HEAD", "OPTIONS"})
NOT_PATH_PARAMETERS = frozenset({"request", "caller", "body", "query"})
EXTERNAL_ID = {"minLength": 1, "maxLength": 255}


class Operation(NamedTuple):
    """The description of a handler. `responses`: the model of each successful status, None without a body. Of a file
    that is sent: the model of its lines, None if it has none."""

    summary: str
    tag: str
    responses: Mapping[int, type[BaseModel] | None]
    errors: frozenset[type[LoaError]]
    security: Sequence[str] = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    kind: Literal["json", "websocket", "event-stream"] = "json"
    body_required: bool = True
    for_browsers: bool = True
    file: Literal["received", "sent"] | None = None
    """What is a file: the body of the request, or of its 2xx responses."""
    content_type: str = "*/*"
    """The type of the file."""

    @property
    def has_secret(self) -> bool:
        """Whether a response contains a token: models keep the fields of secrets out of their `repr`."""
        models = [model for model in self.responses.values() if model]
        return any(not field.repr for model in models for field in model.model_fields.values())


def is_for_browsers(handler: Any) -> bool:
    """Return whether pages may send requests to `handler`, as to all that say nothing else."""
    operation: Operation | None = getattr(handler, "operation", None)
    return operation is None or operation.for_browsers


def is_connection(handler: Any) -> bool:
    """Return whether `handler` opens a socket or an event stream."""
    operation: Operation | None = getattr(handler, "operation", None)
    return operation is not None and operation.kind != "json"


def blueprint() -> Blueprint:
    bp = Blueprint("openapi", url_prefix="/docs")

    def build(app: Sanic[Any, Any]) -> dict[str, Asset]:
        built = document(app)
        page = render(built).encode()
        return {
            "document": Asset("application/json", dumps(built).encode(), {}),
            "page": Asset("text/html; charset=utf-8", page, {"Content-Security-Policy": PAGE_POLICY}),
        }

    assets = LazyAssets(build)

    @bp.get("/openapi.json")
    async def openapi_json(request: Request) -> HTTPResponse:
        return await (await assets.get("document", request.app)).respond(request)

    @bp.get("")
    async def page(request: Request) -> HTTPResponse:
        return await (await assets.get("page", request.app)).respond(request)

    return bp


def document(app: Sanic[Any, Any]) -> dict[str, Any]:
    """Describe all routes of `app` that have an Operation. Raises TypeError if two models have the same name."""
    components = Components()
    components.ref(Problem, "serialization")
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, None] = {}
    schemes: set[str] = set()
    for route in app.router.routes:
        operation: Operation | None = getattr(route.handler, "operation", None)
        if operation is None:
            continue
        tags[operation.tag] = None
        schemes |= set(operation.security)
        path = PATH_PARAMETER.sub(r"{\1}", f"/{route.path}")
        for method in sorted(route.methods - UNDOCUMENTED_METHODS):
            paths.setdefault(path, {})[method.lower()] = _operation(operation, method, route.handler, components)
    return {
        "openapi": "3.0.3",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": TAGS.get(tag, tag)} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "securitySchemes": {name: scheme for name, scheme in SECURITY_SCHEMES.items() if name in schemes},
        },
    }


def _operation(operation: Operation, method: str, handler: Any, components: Components) -> dict[str, Any]:
    described: dict[str, Any] = {
        # Several blueprints have a `create`; operation ids have to be unique.
        "operationId": f"{operation.tag}_{handler.__name__}".lower().replace(" ", "_"),
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {**_success(operation, components), **_errors(operation, method)},
    }
    if handler.__doc__:
        described["description"] = inspect.cleandoc(handler.__doc__)
    if parameters := [*_path_parameters(handler), *_query_parameters(operation.query)]:
        described["parameters"] = parameters
    if operation.body:
        content = {"application/json": {"schema": components.ref(operation.body, "validation")}}
        described["requestBody"] = {"content": content, "required": operation.body_required}
    if operation.file == "received":
        limited = {operation.content_type: {"schema": {**FILE_SCHEMA, "maxLength": MAX_ATTACHMENT_BYTES}}}
        described["requestBody"] = {"content": limited, "required": True}
    # An empty list means that the operation needs no token.
    described["security"] = [{scheme: []} for scheme in operation.security]
    return described


def _path_parameters(handler: Any) -> Iterator[dict[str, Any]]:
    """The parameters of the handler that are neither the request nor checked by a decorator."""
    for name in inspect.signature(handler).parameters:
        if name not in NOT_PATH_PARAMETERS:
            schema: dict[str, Any] = {"minLength": 1, "maxLength": 64}
            if name.endswith("_id"):
                schema = EXTERNAL_ID if name == "external_id" else {"pattern": ids.PATTERN}
            yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


def _query_parameters(query: type[BaseModel] | None) -> Iterator[dict[str, Any]]:
    if query:
        for name, (schema, required) in properties(query).items():
            yield {"name": name, "in": "query", "required": required, "schema": schema}


def _success(operation: Operation, components: Components) -> dict[str, dict[str, Any]]:
    if operation.kind == "websocket":
        return {"101": {"description": "Switching Protocols"}}
    if operation.kind == "event-stream":
        return {"200": {"description": "OK", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}
    responses: dict[str, dict[str, Any]] = {}
    for status, model in operation.responses.items():
        if operation.file == "sent" and status < 300:
            schema = components.ref(model, "serialization") if model else FILE_SCHEMA
            content = {operation.content_type: {"schema": schema}}
            responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
        elif model is None:
            responses[str(status)] = {"description": "No content."}
        else:
            responses[str(status)] = {
                "description": inspect.cleandoc(model.__doc__) if model.__doc__ else HTTPStatus(status).phrase,
                "content": {"application/json": {"schema": components.ref(model, "serialization")}},
            }
    return responses


def _errors(operation: Operation, method: str) -> dict[str, dict[str, Any]]:
    """One response per status, with the codes it can have."""
    # By status: the codes, each with a sentence about it.
    details: dict[int, dict[str, str]] = {}
    if operation.kind == "websocket":
        # The handshake itself is refused with Sanic's own codes.
        details = {
            400: {"bad_request": "The handshake is malformed."},
            426: {"upgrade_required": "This is a WebSocket."},
        }
    errors = set(operation.errors)
    if method not in SAFE_METHODS and operation.for_browsers:
        # Raised before the handler is called (`OriginCheck.install`).
        errors.add(OriginNotAllowed)
    for error in sorted(errors, key=lambda error: ERRORS[error]):
        details.setdefault(ERRORS[error].status, {})[ERRORS[error].code] = error.detail
    return {str(status): _problem(status, details[status]) for status in sorted(details)}


def _problem(status: int, details: dict[str, str]) -> dict[str, Any]:
    codes = list(details)
    schema = {"allOf": [Components.reference(Problem), {"type": "object", "properties": {"code": {"enum": codes}}}]}
    example = problem(status, codes[0], details[codes[0]])
    if codes[0] == ERRORS[ValidationFailed].code:
        example["errors"] = [EXAMPLES["FieldProblem"]]
    content = {"application/problem+json": {"schema": schema, "example": example}}
    return {"description": ", ".join(f"`{code}`" for code in codes), "content": content}
