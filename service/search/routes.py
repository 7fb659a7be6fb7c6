"""The HTTP route of the search for messages."""

from sanic import HTTPResponse, Request

from service.common.errors import NotFound
from service.common.identity import Identity
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import LOOKUP
from service.search.models import MessageSearch, MessagesFound
from service.search.search_service import SearchService


def blueprint(service: SearchService, auth: Authentication) -> Blueprint:
    bp = Blueprint("search", url_prefix="/api/v1")

    @bp.get("/search/messages")
    @endpoint(
        "Search messages",
        tag="chat",
        auth=auth,
        limit=LOOKUP,
        query=MessageSearch,
        responses={200: MessagesFound},
        errors=(NotFound,),
    )
    async def search(request: Request, caller: Identity, *, query: MessageSearch) -> HTTPResponse:
        """Finds the messages that the caller sees, in all their conversations or in one, the newest first. Every word
        of `q` must be the beginning of some word of the message; words in quotation marks, of consecutive ones. Case
        and accents are ignored, and `đ` is `d`. A message is found at most five seconds after it was sent or
        changed."""
        items, next_cursor = await service.search(caller.user_id, query)
        return json_response({"items": items, "next": next_cursor})

    return bp
