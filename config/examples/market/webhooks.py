"""Receives the webhooks of Loa (Standard Webhooks)."""

import json
import sqlite3
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from standardwebhooks import Webhook, WebhookVerificationError

from .database import Database
from .settings import WEBHOOK_SECRET

router = APIRouter()
webhook = Webhook(WEBHOOK_SECRET)


@router.post("/webhooks/loa", status_code=204)
async def receive(request: Request, db: Database) -> None:
    """Verify and store an event. Loa delivers each at least once, with the same `webhook-id` every time."""
    try:
        event: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        # ValueError: headers or a body that are not even well-formed.
        raise HTTPException(401) from None
    await run_in_threadpool(_store, db, request.headers["webhook-id"], event)


def _store(db: sqlite3.Connection, webhook_id: str, event: dict[str, Any]) -> None:
    with db:
        db.execute(
            "INSERT OR IGNORE INTO webhooks (id, type, data) VALUES (?, ?, ?)",
            (webhook_id, event["type"], json.dumps(event["data"])),
        )
