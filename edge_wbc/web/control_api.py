"""Quality control: the trends, a run on demand, the choice of the set, and the page that shows them."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, StringConstraints

from edge_wbc.control.known import choose, choose_golden
from edge_wbc.control.trends import trends
from edge_wbc.web.access import ROLES, VIEWER, Administrator, Reviewer, Viewer
from edge_wbc.web.control_desk import Busy
from edge_wbc.web.pages import shown
from edge_wbc.web.site import site_of

_TOLD: dict[int | str, dict[str, Any]] = {
    401: {"description": "Nobody has logged in"},
    422: {"description": "The history, the set or the session can't be used"},
}
_CHANGES: dict[int | str, dict[str, Any]] = {
    **_TOLD,
    403: {"description": "Needs another role, or the token is wrong"},
    507: {"description": "The history can't be written"},
}
router = APIRouter(prefix="/api/control")
page = APIRouter(include_in_schema=False)
_making = threading.Lock()


class Chosen(BaseModel):
    """Whose cells are to be the known ones."""

    session_id: Annotated[str, StringConstraints(max_length=100)] | None
    """None: the shipped golden crops."""


@page.get("/control")
def control(request: Request, user: Viewer) -> HTMLResponse:
    may = ROLES.index(user.role)
    return shown(request, "control.html", user, may_run=may > ROLES.index(VIEWER), may_choose=user.role == ROLES[-1])


@router.get("", responses=_TOLD)
def read(request: Request, user: Viewer) -> dict[str, Any]:
    """The set that holds, runs and sessions in the groups that are held against each other, with their limits."""
    desk = site_of(request).desk
    return {**trends(site_of(request).place), "running": desk.running, "trouble": desk.trouble}


@router.post("/run", responses={**_CHANGES, 409: {"description": "A run is under way"}})
def run(request: Request, user: Reviewer) -> dict[str, Any]:
    """Run the set now, some two seconds, and take finished sessions into the trends."""
    try:
        return site_of(request).desk.run().record()
    except Busy as error:
        raise HTTPException(409, str(error)) from None


@router.post("/set", responses={**_CHANGES, 404: {"description": "No such session"}})
def choose_set(request: Request, user: Administrator, chosen: Chosen) -> dict[str, Any]:
    """Lock the cells of a signed session as the known ones, or the golden crops; limits and drift begin anew."""
    site = site_of(request)
    if chosen.session_id is None:
        return asdict(choose_golden(site.place, user.name))
    with site.review(chosen.session_id) as review:
        return asdict(choose(site.place, user.name, review))
