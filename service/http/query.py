"""The query string of a request, checked."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from pydantic import BaseModel, ValidationError
from sanic import HTTPResponse, Request

from service.http.errors import of_pydantic


def reads_query(
    handler: Callable[..., Awaitable[HTTPResponse]], model: type[BaseModel]
) -> Callable[..., Awaitable[HTTPResponse]]:
    """`handler(request, *, query, …)` is called with a `model` of the query string. Raises ValidationFailed.

    sanic-ext's `validate` would do the same, and work out the types of the fields anew for each request: a sixteenth
    of what it takes to connect.
    """

    @wraps(handler)
    async def checked(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse:
        # A name that is there twice is a list, which is no string.
        given = {name: values[0] if len(values) == 1 else values for name, values in request.args.items()}
        try:
            query = model.model_validate(given)
        except ValidationError as error:
            raise of_pydantic(error) from None
        return await handler(request, *args, query=query, **kwargs)

    return checked
