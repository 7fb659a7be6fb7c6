"""HTTP routes of Web Push."""

from sanic import HTTPResponse, Request

from service.common.identity import Identity
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import WRITING
from service.push.models import EndedSubscription, NewSubscription, PushKey, Subscribed
from service.push.subscriptions import SubscriptionService
from service.push.texts import preferred_language

TAG = "push"
MAX_ORIGIN = 255
"""Characters of an Origin that is kept: longer than any host name with its port."""


def blueprint(service: SubscriptionService, auth: Authentication) -> Blueprint:
    bp = Blueprint("push", url_prefix="/api/v1")

    @bp.get("/push/key")
    @endpoint("Get the key that browsers subscribe with", tag=TAG, auth=auth, responses={200: PushKey})
    async def key(request: Request, caller: Identity) -> HTTPResponse:
        """The `applicationServerKey` of `PushManager.subscribe()`. It never changes."""
        return json_response(await service.key())

    @bp.post("/push/subscriptions")
    @endpoint(
        "Subscribe this browser to pushes",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=NewSubscription,
        responses={201: Subscribed},
    )
    async def subscribe(request: Request, caller: Identity, *, body: NewSubscription) -> HTTPResponse:
        """The body is what `PushSubscription.toJSON()` returns; its endpoint has to be on a known push service. The
        subscription ends with the caller's session. One with the same endpoint is replaced; of more than ten of one
        user, the oldest ends. Pushes are in the language that `Accept-Language` prefers."""
        language = preferred_language(str(request.headers.getone("accept-language", "")))
        await service.subscribe(caller, body, language, _web_origin(request))
        return json_response(Subscribed(endpoint=body.endpoint), 201)

    @bp.delete("/push/subscriptions")
    @endpoint(
        "End a subscription",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=EndedSubscription,
        responses={204: None},
    )
    async def unsubscribe(request: Request, caller: Identity, *, body: EndedSubscription) -> HTTPResponse:
        """Idempotent."""
        await service.unsubscribe(caller, body.endpoint)
        return json_response()

    return bp


def _web_origin(request: Request) -> str:
    """Return the origin of the page that makes the request, if it is one of the web: a contact for push services."""
    origin = str(request.headers.getone("origin", ""))
    return origin if origin.startswith("https://") and len(origin) <= MAX_ORIGIN else ""
