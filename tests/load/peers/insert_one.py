"""`MessageService.send_message` of the project's original plan: one `insert_one` for each message, then the
conversation, then its connections.

It uses the same database as Loa with the same write concern. `/ws/chat?user=<id>&conversation=<id>` receives `{"ref",
"content"}` and sends `{"type": "ack", "ref", "data"}` once the message is stored. No token is checked. Run by `python
-m uvicorn insert_one:app` with MONGODB_URI set.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from bson import ObjectId
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi_manager import ConnectionManager
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import WriteConcern

manager = ConnectionManager()
database = AsyncIOMotorClient(os.environ["MONGODB_URI"]).get_default_database(
    write_concern=WriteConcern(w="majority", j=True)
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await database.messages.create_index([("conversation_id", 1), ("created_at", 1)])
    yield


app = FastAPI(lifespan=lifespan)


async def send_message(sender_id: str, conversation_id: str, content: str) -> dict:
    message = {
        "conversation_id": ObjectId(conversation_id),
        "sender_id": ObjectId(sender_id),
        "content": content,
        "created_at": datetime.now(UTC),
    }
    await database.messages.insert_one(message)
    data = {
        "id": str(message["_id"]),
        "conversation_id": conversation_id,
        "sender_id": sender_id,
        "content": content,
        "created_at": message["created_at"].isoformat(),
    }
    conversation = await database.conversations.find_one({"_id": ObjectId(conversation_id)})
    payload = {"type": "new_message", "conversation_id": conversation_id, "data": data}
    if conversation and "participants" in conversation:
        for participant in conversation["participants"]:
            await manager.send_personal_message(payload, str(participant["user_id"]))
    return data


@app.websocket("/ws/chat")
async def websocket_endpoint(websocket: WebSocket, user: str, conversation: str) -> None:
    await database.conversations.update_one(
        {"_id": ObjectId(conversation)}, {"$addToSet": {"participants": {"user_id": ObjectId(user)}}}, upsert=True
    )
    await manager.connect(websocket, user)
    try:
        while True:
            request = await websocket.receive_json()
            data = await send_message(user, conversation, request["content"])
            await websocket.send_json({"type": "ack", "ref": request["ref"], "data": data})
    except WebSocketDisconnect:
        manager.disconnect(websocket, user)
