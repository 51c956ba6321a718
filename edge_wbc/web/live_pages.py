"""The page of the session that runs."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from edge_wbc.web.access import ROLES, VIEWER, Viewer
from edge_wbc.web.pages import shown

router = APIRouter(include_in_schema=False)


@router.get("/live")
def live(request: Request, user: Viewer) -> HTMLResponse:
    return shown(request, "live.html", user, may_run=ROLES.index(user.role) > ROLES.index(VIEWER))
