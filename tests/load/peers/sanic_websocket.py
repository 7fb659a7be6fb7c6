"""A bare Sanic `@app.websocket`: each message is sent to everyone in the room, one `ws.send` after the other.

Nothing is stored and no token is checked. Its event streams only say hello. Run by `python sanic_websocket.py <port>`.
"""

import asyncio
import sys
from collections import defaultdict

from sanic import Request, Sanic, Websocket

app = Sanic("bare", configure_logging=False)
# No ping during a run: the clients do not answer pings.
app.config.update(ACCESS_LOG=False, MOTD=False, WEBSOCKET_PING_INTERVAL=3600, RESPONSE_TIMEOUT=3600)
rooms: defaultdict[str, set[Websocket]] = defaultdict(set)


@app.websocket("/<room>")
async def talk(request: Request, socket: Websocket, room: str) -> None:
    rooms[room].add(socket)
    try:
        async for content in socket:
            for other in list(rooms[room]):
                await other.send(content)
    finally:
        rooms[room].discard(socket)


@app.get("/events/quiet")
async def follow(request: Request) -> None:
    response = await request.respond(content_type="text/event-stream")
    await response.send("event: hello\ndata: {}\n\n")
    await asyncio.Event().wait()


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, backlog=1024)
