"""The pages: shells that scripts fill from the API."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.web.access import User, Viewer
from edge_wbc.web.entrance import Entrance

TEMPLATES = Jinja2Templates(directory=Path(__file__).with_name("templates"))
router = APIRouter(include_in_schema=False)


def shown(request: Request, template: str, user: User | None, **more: object) -> HTMLResponse:
    """A page with what all of them need: who looks, the token that changes need, the notice."""
    entrance: Entrance | None = getattr(request.app.state, "entrance", None)
    context = {
        "user": user,
        "csrf": getattr(request.state, "csrf", ""),
        "notice": RESEARCH_USE,
        "version": __version__,
        "path": request.url.path,
        "alone": entrance is not None and entrance.alone,
        **more,
    }
    return TEMPLATES.TemplateResponse(request, template, context)


@router.get("/")
def sessions(request: Request, user: Viewer) -> HTMLResponse:
    return shown(request, "sessions.html", user)
