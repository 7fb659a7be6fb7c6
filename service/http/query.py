"""Validation of query strings."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from pydantic import BaseModel, ValidationError
from sanic import HTTPResponse, Request

from service.common.models import ConnectionQuery
from service.http.errors import of_pydantic


def reads_query(
    handler: Callable[..., Awaitable[HTTPResponse]], model: type[BaseModel]
) -> Callable[..., Awaitable[HTTPResponse]]:
    """Wrap `handler(request, *, query, …)` so that `query` is a validated `model`. Raises ValidationFailed.

    sanic-ext's `validate` does the same but inspects the types of the fields for each request, which takes a sixteenth
    of the time to open a connection.

    An empty parameter (`?before=`) is a value, which hardly any field accepts, and does not count as absent; except in
    the URL of a connection, because client libraries add empty ones.
    """
    keep_blank_values = not issubclass(model, ConnectionQuery)

    @wraps(handler)
    async def checked(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse:
        # A repeated parameter becomes a list, which no field accepts.
        given = request.get_args(keep_blank_values=keep_blank_values)
        parameters = {name: values[0] if len(values) == 1 else values for name, values in given.items()}
        try:
            query = model.model_validate(parameters)
        except ValidationError as error:
            raise of_pydantic(error) from None
        return await handler(request, *args, query=query, **kwargs)

    return checked
