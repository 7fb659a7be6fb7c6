"""A bare Sanic `@app.websocket`: each message is sent to everyone in the room, one `ws.send` after the other.

Nothing is stored and no token is checked. Run by `python sanic_websocket.py <port>`.
"""

import sys
from collections import defaultdict

from sanic import Request, Sanic, Websocket

app = Sanic("bare", configure_logging=False)
# No ping during a run: the clients do not answer pings.
app.config.update(ACCESS_LOG=False, MOTD=False, WEBSOCKET_PING_INTERVAL=3600)
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


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, backlog=1024)
