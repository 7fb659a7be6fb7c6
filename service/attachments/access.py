"""Who may download: a request with a signed URL, or one with a token."""

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import HTTPResponse, Request

from service.attachments.links import AttachmentLinks
from service.attachments.models import SIGNATURE
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.limits import DOWNLOADING, RateLimits, address

Handler = Callable[..., Awaitable[HTTPResponse]]

DIGITS = re.compile("[0-9]{1,15}")


class LinkOrToken:
    """Implements Authenticator: the caller is None if the URL is signed."""

    scheme = "bearer"
    for_browsers = True

    def __init__(self, links: AttachmentLinks, auth: Authentication, limits: RateLimits) -> None:
        self._links = links
        self._auth = auth
        self._limits = limits
        self.errors = auth.errors

    def required(self, handler: Handler) -> Handler:
        by_token = self._auth.required(handler)

        @wraps(handler)
        async def authenticated(request: Request, *, attachment_id: str, **kwargs: Any) -> HTTPResponse:
            signatures, times = (request.args.getlist(name, []) for name in ("signature", "expires"))
            found = len(signatures) == len(times) == 1
            if not found or not DIGITS.fullmatch(times[0]) or not re.fullmatch(SIGNATURE, signatures[0]):
                # A malformed signature is none; if the request has a token, the query is invalid.
                return await by_token(request, attachment_id=attachment_id, **kwargs)
            self._links.verify(path_id(attachment_id), int(times[0]), signatures[0])
            await self._limits.check(DOWNLOADING, address(request))
            return await handler(request, None, attachment_id=attachment_id, **kwargs)

        return authenticated
