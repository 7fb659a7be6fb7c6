"""The requests of the workload `rest` on FastAPI; see rest_calls.py. Run by `python -m uvicorn fastapi_rest:app` with
MONGODB_URI set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import rest_calls
from fastapi import FastAPI, Header
from pydantic import BaseModel


class Content(BaseModel):
    content: str


User = Annotated[str, Header(alias="X-User")]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.database = rest_calls.connect()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/api/v1/conversations")
async def list_conversations(user: User, limit: int) -> dict[str, Any]:
    return await rest_calls.conversations(app.state.database, user, limit)


@app.get("/api/v1/conversations/{conversation_id}/messages")
async def list_messages(user: User, conversation_id: str, limit: int) -> dict[str, Any]:
    return await rest_calls.history(app.state.database, user, conversation_id, limit)


@app.post("/api/v1/conversations/{conversation_id}/messages", status_code=201)
async def send_message(user: User, conversation_id: str, body: Content) -> dict[str, Any]:
    return await rest_calls.send(app.state.database, user, conversation_id, body.content)


@app.post("/api/v1/posts/{post_id}/comments", status_code=201)
async def create_comment(user: User, post_id: str, body: Content) -> dict[str, Any]:
    return await rest_calls.comment(app.state.database, user, post_id, body.content)


@app.get("/api/v1/notifications")
async def list_notifications(user: User, limit: int) -> dict[str, Any]:
    return await rest_calls.notifications(app.state.database, user, limit)
