"""A chat WebSocket on FastAPI with the ConnectionManager of the project's original plan, without its log lines.

Nothing is stored and no token is checked. `/ws/chat?user=<id>&conversation=<id>`: whoever connects is a participant,
and every participant receives each message. Run by `python -m uvicorn fastapi_manager:app`.
"""

import logging

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

logger = logging.getLogger(__name__)


class ConnectionManager:
    def __init__(self) -> None:
        # Maps a user_id to the user's connections of all tabs and devices.
        self.active_connections: dict[str, list[WebSocket]] = {}

    async def connect(self, websocket: WebSocket, user_id: str) -> None:
        await websocket.accept()
        if user_id not in self.active_connections:
            self.active_connections[user_id] = []
        self.active_connections[user_id].append(websocket)

    def disconnect(self, websocket: WebSocket, user_id: str) -> None:
        if user_id in self.active_connections:
            if websocket in self.active_connections[user_id]:
                self.active_connections[user_id].remove(websocket)
            if not self.active_connections[user_id]:
                del self.active_connections[user_id]

    async def send_personal_message(self, message: dict, user_id: str) -> None:
        if user_id in self.active_connections:
            for connection in self.active_connections[user_id]:
                try:
                    await connection.send_json(message)
                except Exception as error:
                    logger.error("Error sending to %s: %s", user_id, error)


app = FastAPI()
manager = ConnectionManager()
participants: dict[str, set[str]] = {}


@app.websocket("/ws/chat")
async def websocket_endpoint(websocket: WebSocket, user: str, conversation: str) -> None:
    members = participants.setdefault(conversation, set())
    members.add(user)
    await manager.connect(websocket, user)
    try:
        while True:
            content = await websocket.receive_text()
            payload = {"type": "new_message", "conversation_id": conversation, "data": {"content": content}}
            for user_id in list(members):
                await manager.send_personal_message(payload, user_id)
    except WebSocketDisconnect:
        members.discard(user)
        manager.disconnect(websocket, user)
