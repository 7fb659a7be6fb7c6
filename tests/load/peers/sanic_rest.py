"""The requests of the workload `rest` on a bare Sanic; see rest_calls.py. Run by `python sanic_rest.py <port>` with
MONGODB_URI set."""

import sys
from typing import Any

import rest_calls
import ujson
from sanic import HTTPResponse, Request, Sanic, json

app = Sanic("rest", configure_logging=False, dumps=ujson.dumps, loads=ujson.loads)
app.config.update(ACCESS_LOG=False, MOTD=False)


@app.before_server_start
async def connect(app: Sanic[Any, Any]) -> None:
    app.ctx.database = rest_calls.connect()


@app.get("/api/v1/conversations")
async def list_conversations(request: Request) -> HTTPResponse:
    limit = int(request.args.get("limit"))
    return json(await rest_calls.conversations(app.ctx.database, request.headers["x-user"], limit))


@app.get("/api/v1/conversations/<conversation_id:str>/messages")
async def list_messages(request: Request, conversation_id: str) -> HTTPResponse:
    limit = int(request.args.get("limit"))
    return json(await rest_calls.history(app.ctx.database, request.headers["x-user"], conversation_id, limit))


@app.post("/api/v1/conversations/<conversation_id:str>/messages")
async def send_message(request: Request, conversation_id: str) -> HTTPResponse:
    content = request.json["content"]
    message = await rest_calls.send(app.ctx.database, request.headers["x-user"], conversation_id, content)
    return json(message, 201)


@app.post("/api/v1/posts/<post_id:str>/comments")
async def create_comment(request: Request, post_id: str) -> HTTPResponse:
    content = request.json["content"]
    return json(await rest_calls.comment(app.ctx.database, request.headers["x-user"], post_id, content), 201)


@app.get("/api/v1/notifications")
async def list_notifications(request: Request) -> HTTPResponse:
    limit = int(request.args.get("limit"))
    return json(await rest_calls.notifications(app.ctx.database, request.headers["x-user"], limit))


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, backlog=1024)
