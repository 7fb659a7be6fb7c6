"""sse-starlette with a queue for each stream, on uvicorn: each body posted to `/publish` is sent to every `/stream`.

Run by `python -m uvicorn sse_starlette_queues:app`.
"""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

queues: set[asyncio.Queue[str]] = set()


async def events(request: Request) -> EventSourceResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)

    async def follow() -> AsyncIterator[dict[str, str]]:
        try:
            while True:
                yield {"data": await queue.get()}
        finally:
            queues.discard(queue)

    return EventSourceResponse(follow())


async def publish(request: Request) -> Response:
    content = (await request.body()).decode()
    for queue in queues:
        queue.put_nowait(content)
    return Response(status_code=204)


app = Starlette(routes=[Route("/stream", events), Route("/publish", publish, methods=["POST"])])
