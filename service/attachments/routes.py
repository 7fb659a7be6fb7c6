"""HTTP routes of attachments: upload and download, both streamed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sanic import HTTPResponse, Request
from sanic.exceptions import RequestTimeout, SanicException

from service.attachments.access import LinkOrToken
from service.attachments.file_type import is_inline
from service.attachments.links import THUMBNAIL
from service.attachments.models import Attachment, AttachmentChange, DownloadQuery, UploadQuery
from service.attachments.service import AttachmentService, StoredFile
from service.attachments.spool import spool
from service.attachments.transfer_slots import TransferSlots
from service.common.errors import LoaError, NotFound, TooLarge, Unavailable, ValidationFailed
from service.common.identity import Identity
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.byte_range import byte_range
from service.http.content_disposition import content_disposition
from service.http.endpoint import endpoint, json_response
from service.http.errors import RangeNotSatisfiable
from service.http.limits import DOWNLOADING, UPLOADING, WRITING, address
from service.http.request_deadlines import self_timed

TAG = "attachments"
UPLOAD_PATH = b"/api/v1/attachments"
MAX_TRANSFERS = 256
"""Uploads, and likewise downloads, of one process at the same time. Each takes a quarter of a megabyte."""
MAX_UPLOADS_PER_USER = 8
MAX_DOWNLOADS_PER_CLIENT = 64
"""Of one user, or of one address by signed URLs: a slow reader may take half an hour, and others need slots, too."""
PATIENCE = 30.0
"""Seconds without progress after which a transfer ends."""
PRIVATE = "private, max-age=3600, immutable"
"""Cache-Control: the bytes never change. The URL does, after a while."""
PUBLIC = "public, max-age=86400, immutable"
"""Of an avatar: a day after it was removed, nobody sees it any more."""
MIN_RATE = 2048
"""Bytes per second of an upload, on average and after PATIENCE: what a phone with poor reception has."""


def blueprint(
    service: AttachmentService,
    auth: Authentication,
    by_link: LinkOrToken,
    *,
    max_bytes: int,
    limited: bool,
    count_upload: Callable[[str], None],
) -> Blueprint:
    """`max_bytes`: of one file. `limited`: whether one client's transfers are limited. `count_upload(outcome)`: see
    `Metrics.attachment_uploaded`."""
    bp = Blueprint("attachments", url_prefix="/api/v1")
    uploads = TransferSlots(MAX_TRANSFERS, MAX_UPLOADS_PER_USER if limited else None)
    downloads = TransferSlots(MAX_TRANSFERS, MAX_DOWNLOADS_PER_CLIENT if limited else None)

    @bp.post("/attachments", stream=True)
    @endpoint(
        "Upload a file",
        tag=TAG,
        auth=auth,
        limit=UPLOADING,
        query=UploadQuery,
        file="received",
        responses={201: Attachment},
        errors=(ValidationFailed,),
    )
    async def upload(request: Request, caller: Identity, *, query: UploadQuery) -> HTTPResponse:
        """The body is the file itself. Its type is found in its bytes, whatever `Content-Type` says. An image loses its
        metadata, is turned upright and gets a thumbnail; one that cannot be decoded is refused (422). The caller alone
        can use it, once, within 24 hours."""
        check_length(request, max_bytes)
        with counted(count_upload), uploads.take(caller.user_id), self_timed(request):
            received = await spool(pieces_of(request), max_bytes)
            # Only now it is worth completing, whether or not the client waits for the response.
            attachment = await request.app.ctx.shielded_tasks.run(service.add(caller.user_id, query.name, received))
        return json_response(attachment, 201)

    @bp.patch("/attachments/<attachment_id:str>")
    @endpoint(
        "Describe an image",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=AttachmentChange,
        responses={200: Attachment},
        errors=(NotFound,),
    )
    async def describe(
        request: Request, caller: Identity, attachment_id: str, *, body: AttachmentChange
    ) -> HTTPResponse:
        """For those who do not see it. By its uploader, before it is used; only an image has a description."""
        return json_response(await service.describe(caller.user_id, path_id(attachment_id), body.description))

    async def respond(
        request: Request, caller: Identity | None, file: StoredFile, caching: str = PRIVATE
    ) -> HTTPResponse | None:
        headers = headers_of(file, caching)
        if known_by_client(request.headers.get("if-none-match", ""), headers["ETag"]):
            return HTTPResponse(status=304, headers=headers)
        found = None
        # The range is of the file that the client knows, compared strongly (RFC 9110, 13.1.5).
        if request.method == "GET" and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
            found = byte_range(request.headers.get("range", ""), file.size)
        start, end = found or (0, file.size)
        headers["Content-Length"] = str(end - start)
        if found:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        status = 206 if found else 200
        if request.method == "HEAD":
            return HTTPResponse(status=status, headers=headers, content_type=file.content_type)
        with downloads.take(caller.user_id if caller else address(request)), self_timed(request):
            pieces = service.read(file, start, end)
            # Before the headers: it may have been deleted.
            first = await anext(pieces)
            response = await request.respond(status=status, headers=headers, content_type=file.content_type)
            await asyncio.wait_for(response.send(first), PATIENCE)
            async for piece in pieces:
                await asyncio.wait_for(response.send(piece), PATIENCE)
        return None

    @bp.get("/attachments/<attachment_id:str>")
    @endpoint(
        "Download a file",
        tag=TAG,
        auth=by_link,
        query=DownloadQuery,
        file="sent",
        responses={200: None, 206: None, 304: None},
        errors=(NotFound, RangeNotSatisfiable),
    )
    async def download(
        request: Request, caller: Identity | None, *, query: DownloadQuery, attachment_id: str
    ) -> HTTPResponse | None:
        """With a token, or by the `url` of an Attachment. The caller has to see the message, post or comment that it
        belongs to. Supports `Range` and `If-None-Match`."""
        file = await service.file(caller.user_id if caller else None, path_id(attachment_id))
        return await respond(request, caller, file)

    @bp.get(f"/attachments/<attachment_id:str>/{THUMBNAIL}")
    @endpoint(
        "Download the thumbnail of an image",
        tag=TAG,
        auth=by_link,
        query=DownloadQuery,
        file="sent",
        responses={200: None, 206: None, 304: None},
        errors=(NotFound, RangeNotSatisfiable),
    )
    async def thumbnail(
        request: Request, caller: Identity | None, *, query: DownloadQuery, attachment_id: str
    ) -> HTTPResponse | None:
        """Like the file; a WebP image of at most 480 × 480 pixels."""
        file = await service.file(caller.user_id if caller else None, path_id(attachment_id), THUMBNAIL)
        return await respond(request, caller, file)

    @bp.get("/attachments/<avatar_id:str>/avatar")
    @endpoint(
        "Download a user's avatar",
        tag=TAG,
        limit=DOWNLOADING,
        file="sent",
        responses={200: None, 206: None, 304: None},
        errors=(NotFound, RangeNotSatisfiable),
    )
    async def avatar(request: Request, *, avatar_id: str) -> HTTPResponse | None:
        """The `avatar` of a profile whose user has uploaded it: a WebP image of at most 480 × 480 pixels. For everyone
        who knows the URL, as long as it is somebody's avatar."""
        return await respond(request, None, await service.avatar(path_id(avatar_id)), PUBLIC)

    return bp


@contextmanager
def counted(count: Callable[[str], None]) -> Iterator[None]:
    """Count an upload by how the block ends."""
    try:
        yield
    except asyncio.CancelledError:
        count("broken_off")
        raise
    except (LoaError, SanicException) as error:
        count("failed" if isinstance(error, Unavailable) else "refused")
        raise
    except Exception:
        count("failed")
        raise
    count("stored")


def check_length(request: Request, max_bytes: int) -> None:
    """Raises TooLarge before anything is read if the body is known to be too large."""
    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise TooLarge(f"A file may have at most {max_bytes} bytes.")


async def pieces_of(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it arrives: while it is not asked for the next piece, the client has to wait. Raises
    RequestTimeout if it sends too slowly."""
    started, received = time.monotonic(), 0
    stream: Any = request.stream
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                piece = await stream.read()
        except TimeoutError:
            raise RequestTimeout from None
        if piece is None:
            return
        received += len(piece)
        if time.monotonic() - started > PATIENCE + received / MIN_RATE:
            raise RequestTimeout
        yield piece


def headers_of(file: StoredFile, caching: str) -> dict[str, str]:
    """Return the headers with which no browser runs the file."""
    disposition = "inline" if is_inline(file.content_type) else "attachment"
    return {
        "ETag": f'"{file.digest[:32]}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": caching,
        "Content-Security-Policy": "sandbox",
        "Content-Disposition": content_disposition(disposition, file.name),
    }


def known_by_client(if_none_match: str, etag: str) -> bool:
    """Return whether the header has the entity tag, compared weakly, or a `*` (RFC 9110, 13.1.2)."""
    return bool({"*", etag} & {each.strip().removeprefix("W/") for each in if_none_match.split(",")})
