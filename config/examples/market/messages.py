"""The page of conversations: a React component does the rest."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from .sessions import CurrentSession
from .templates import page

router = APIRouter()


@router.get("/messages")
@router.get("/messages/{conversation_id}")
def messages(request: Request, session: CurrentSession, conversation_id: str = "") -> HTMLResponse:
    return page(request, "messages", session, conversation_id=conversation_id)
