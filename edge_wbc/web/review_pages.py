"""The page on which a session is reviewed."""

from __future__ import annotations

from pathlib import Path as Files
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse

from edge_wbc.review.decide import MOST_TEXT
from edge_wbc.web.access import Viewer
from edge_wbc.web.pages import shown
from edge_wbc.web.site import site_of

_STATIC = Files(__file__).with_name("static")
PARTS = ("api.js", *sorted(path.name for path in _STATIC.glob("review*.js")))
"""Modules of the page: asked for at once, not each when another has come that needs it."""
router = APIRouter(include_in_schema=False)


@router.get("/sessions/{session_id}")
def review(
    request: Request, user: Viewer, session_id: Annotated[str, Path(max_length=100)], blind: bool = False
) -> HTMLResponse:
    name = site_of(request).folder(session_id).name
    return shown(request, "review.html", user, session_id=name, blind=blind, most_text=MOST_TEXT, parts=PARTS)
