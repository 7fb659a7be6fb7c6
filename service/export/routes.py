"""The HTTP route of the export, which is streamed."""

import asyncio
from contextlib import aclosing
from typing import Any

import structlog
from sanic import HTTPResponse, Request

from service.attachments.transfer_slots import TransferSlots
from service.common.errors import LoaError, NotFound
from service.common.identity import Identity
from service.export.models import ExportLine
from service.export.user_export import UserExport
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint
from service.http.limits import EXPORTING
from service.http.request_deadlines import self_timed

log = structlog.get_logger()

CONTENT_TYPE = "application/x-ndjson"
HEADERS = {"Content-Disposition": 'attachment; filename="loa-export.ndjson"', "Cache-Control": "no-store"}
MAX_EXPORTS = 4
"""Of one process at the same time. Each reads the database all the time, and has some megabytes in memory."""
PATIENCE = 30.0
"""Seconds without progress after which an export ends."""


def blueprint(service: UserExport, auth: Authentication) -> Blueprint:
    bp = Blueprint("export", url_prefix="/api/v1")
    slots = TransferSlots(MAX_EXPORTS, 1, "exports")

    @bp.get("/users/me/export")
    @endpoint(
        "Export the caller's data",
        tag="users",
        auth=auth,
        limit=EXPORTING,
        file="sent",
        content_type=CONTENT_TYPE,
        responses={200: ExportLine},
        errors=(NotFound,),
    )
    async def export(request: Request, caller: Identity) -> HTTPResponse | None:
        """Newline-delimited JSON: each line is an ExportLine, in the order of their kinds. What others have written or
        reacted with is left out, but for the previews of notifications: messages have no `reactions`, conversations
        neither `last_message` nor `read_marks`. A conversation that becomes active meanwhile may be missing; no message
        is. Messages in conversations that the caller has left are there; what they have deleted is not, nor are files:
        the URLs of attachments work for an hour.

        The body is complete if it ends as chunked transfer coding ends (RFC 9112, 7.1). If the database stops
        answering, or the session ends, the connection is closed without the last chunk. One export at a time for each
        user.
        """
        if request.method == "HEAD":
            return HTTPResponse(headers=HEADERS, content_type=CONTENT_TYPE)
        with slots.take(caller.user_id), self_timed(request):
            async with aclosing(service.read(caller)) as batches:
                # Before the headers: the database may be unavailable.
                first = await anext(batches)
                response = await request.respond(headers=HEADERS, content_type=CONTENT_TYPE)
                try:
                    await asyncio.wait_for(response.send(first), PATIENCE)
                    async for batch in batches:
                        await asyncio.wait_for(response.send(batch), PATIENCE)
                except BaseException as error:
                    # Sanic would send the last chunk, as if the export were complete.
                    transport: Any = request.transport
                    transport.abort()
                    if not isinstance(error, LoaError | TimeoutError):
                        raise
                    log.warning("export_broken_off", error=type(error).__name__)
        return None

    return bp
