"""The pages, rendered by Jinja2, which escapes what users wrote."""

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from .sessions import Session
from .settings import LOA_URL

HERE = Path(__file__).parent
templates = Jinja2Templates(HERE / "pages")


def page(request: Request, name: str, session: Session | None, status: int = 200, **context: Any) -> HTMLResponse:
    context |= {"session": session, "loa_url": LOA_URL}
    return templates.TemplateResponse(request, f"{name}.html", context, status_code=status)
