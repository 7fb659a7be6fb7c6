"""python-socketio on uvicorn: every message is sent to every client. Run by `python -m uvicorn socketio_python:app`."""

import socketio

# No ping during a run: the clients do not answer pings.
server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], ping_interval=3600, ping_timeout=3600)
app = socketio.ASGIApp(server)


@server.on("message")
async def on_message(sid: str, content: str) -> None:
    await server.emit("message", content)
