"""A small app with one route of each kind, behind everything that service/http adds to a handler."""

from collections.abc import AsyncIterator, Callable, Sequence
from inspect import isawaitable
from itertools import count
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from sanic import HTTPResponse, Request, Sanic
from sanic.response import empty

from service.common.errors import NotFound, TokenExpired, TokenInvalid, TokenMissing
from service.common.identity import Identity
from service.common.models import ConnectionQuery, Input, Query
from service.http import compressed_json, error_handler, headers, openapi, sanic_ext_setup, shielded_tasks
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.body import MAX_BODY_BYTES
from service.http.endpoint import connection, endpoint, json_response
from service.http.limits import RateLimit, RateLimits
from service.http.origin import OriginCheck
from tests.rest import RestClient, serving

CALLER = Identity("a" * 24, "b" * 24, "token-id", 2_000_000_000.0)
SIGNED_IN = {"Authorization": "Bearer good"}
ORIGIN = "https://front.example"

PARCELS = RateLimit("parcels", "2/minute")

numbers = count()


class OneVerifier:
    """Accepts the token `good` and the ticket `once`; the token `old` has expired."""

    async def verify_scoped_token(self, token: str | None, scope: str, user_agent: str = "") -> Identity:
        if token is None:
            raise TokenMissing
        if token == "old":
            raise TokenExpired
        if token != "good":
            raise TokenInvalid
        return CALLER

    async def check(self, bearer: Identity) -> None:
        """No session is revoked."""

    async def redeem_ticket(self, ticket: str) -> Identity:
        if ticket != "once":
            raise TokenInvalid
        return CALLER


class Parcel(Input):
    label: Annotated[str, Field(min_length=1, max_length=20)]
    weight: Annotated[int, Field(gt=0, le=100)] = 1
    stops: dict[str, int] = Field(default_factory=dict)
    inside: "Parcel | None" = None


class Note(Input):
    text: str = "nothing"


class Search(Query):
    query: str = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    unread: bool = False


class Resume(ConnectionQuery):
    last_seq: int | None = None


class Receipt(BaseModel):
    """The response to a new parcel."""

    user_id: str
    label: str
    note: str | None = None
    others: list["Receipt"] = Field(default_factory=list)


class Claim(Receipt):
    """The response to a claim of a parcel. Who has the code gets the parcel."""

    code: str = Field(repr=False)


def nothing() -> None: ...


def build(
    *, allowed_origins: Sequence[str] = (ORIGIN,), act: Callable[[], object] = nothing, rate_limits: bool = False
) -> Sanic[Any, Any]:
    """Build the app. `GET /api/v1/act` calls `act`, and awaits the result if it is awaitable."""
    app: Sanic[Any, Any] = Sanic(f"http-test-{next(numbers)}", configure_logging=False)
    app.config.REQUEST_MAX_SIZE = MAX_BODY_BYTES
    compressed_json.install(app)
    shielded_tasks.install(app)
    limits = app.ctx.rate_limits = RateLimits(None, rate_limits)
    auth = Authentication(OneVerifier(), limits)
    sanic_ext_setup.install(app, allowed_origins)
    OriginCheck(allowed_origins).install(app)
    error_handler.install(app)
    headers.install(app)
    bp = Blueprint("parcels", url_prefix="/api/v1/parcels")

    @bp.post("")
    @endpoint(
        "Send a parcel",
        tag="parcels",
        auth=auth,
        limit=PARCELS,
        body=Parcel,
        responses={201: Receipt},
        errors=(NotFound,),
    )
    async def create(request: Request, caller: Identity, *, body: Parcel) -> HTTPResponse:
        """A longer description."""
        return json_response(Receipt(user_id=caller.user_id, label=body.label), 201)

    @bp.get("")
    @endpoint("Find parcels", tag="parcels", query=Search, responses={200: Receipt})
    async def find(request: Request, *, query: Search) -> HTTPResponse:
        return json_response(query.model_dump())

    @bp.get("/claim")
    @endpoint("Claim a parcel", tag="parcels", query=Search, responses={200: Claim})
    async def claim(request: Request, *, query: Search) -> HTTPResponse:
        return json_response(Claim(user_id=CALLER.user_id, label=query.query, code="1234"))

    @bp.post("/anonymous")
    @endpoint("Send a parcel anonymously", tag="parcels", limit=PARCELS, responses={204: None})
    async def create_anonymously(request: Request) -> HTTPResponse:
        return json_response()

    @bp.delete("/<parcel_id:str>")
    @endpoint("Delete a parcel", tag="parcels", auth=auth, limit=None, responses={204: None})
    async def delete(request: Request, caller: Identity, parcel_id: str) -> HTTPResponse:
        return json_response()

    @bp.post("/notes")
    @endpoint(
        "Leave a note",
        tag="parcels",
        limit=PARCELS,
        body=Note,
        body_required=False,
        responses={200: None},
    )
    async def leave_note(request: Request, *, body: Note) -> HTTPResponse:
        return json_response(body)

    @bp.get("/stream")
    @connection("Watch parcels", tag="parcels", kind="event-stream", query=Resume)
    async def stream(request: Request, *, query: Resume) -> HTTPResponse:
        caller = await auth.authenticate_connection(request)
        return json_response({"user_id": caller.user_id, "last_seq": query.last_seq})

    @app.get("/api/v1/act", name="act")
    async def do(request: Request) -> HTTPResponse:
        done = act()
        if isawaitable(done):
            await done
        return empty()

    @app.get("/api/v1/cached", name="cached")
    async def cached(request: Request) -> HTTPResponse:
        return empty(headers={"Cache-Control": "max-age=5"})

    app.blueprint(bp)
    app.blueprint(openapi.blueprint())
    sanic_ext_setup.add_head_and_options(app)
    return app


@pytest.fixture
async def client() -> AsyncIterator[RestClient]:
    async with serving(build()) as client:
        yield client
