"""The session beside the pages: what it shows, and what it may be told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from edge_wbc.web.access import Reviewer, Viewer
from edge_wbc.web.site import site_of

HELD_S = 20.0
"""How long a question for something newer is held open."""
NO_SESSION = b'{"number":0,"phase":"none"}'
MOST_NUMBER = 2**53
MOST_UNTIL = 1_000_000

router = APIRouter(prefix="/api/live")
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}, "description": "The field; X-Field has its number."},
    404: {"description": "No frame was seen yet."},
}
_DONE: dict[int | str, dict[str, Any]] = {
    409: {"description": "It can't be done now."},
    503: {"description": "The session does not answer."},
}


class Label(BaseModel):
    label: str = Field(max_length=200)


class Start(BaseModel):
    label: str = Field("", max_length=200)
    until: int | None = Field(None, ge=1, le=MOST_UNTIL)
    """So many leukocytes are enough."""


@router.get("", response_model=dict[str, Any])
async def live(request: Request, user: Viewer, after: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0) -> Response:
    """How the session stands: at once if that is another view than ``after``, or else when there is one."""
    beside = site_of(request).live
    state = NO_SESSION if beside is None else (await beside.view(after, HELD_S)).state
    return Response(state, media_type="application/json")


@router.get("/field.jpg", response_class=Response, responses=_JPEG)
def field(request: Request, user: Viewer, view: Annotated[int, Query(ge=0, le=MOST_NUMBER)] = 0) -> Response:
    """A field as JPEG: that of this number where it is kept, as the latest few are, or else the newest."""
    beside = site_of(request).live
    found = None if beside is None else beside.field(view)
    if found is None:
        raise HTTPException(404, "no frame was seen yet")
    return Response(found[1], media_type="image/jpeg", headers={"X-Field": str(found[0]), "Cache-Control": "no-store"})


@router.post("/start", responses=_DONE)
async def start(request: Request, user: Reviewer, asked: Start) -> dict[str, str]:
    """Begin the next session."""
    return await _do(request, "start", user.name, label=asked.label, until=asked.until)


@router.post("/pause", responses=_DONE)
async def pause(request: Request, user: Reviewer) -> dict[str, str]:
    """Count nothing for a while; the field is shown."""
    return await _do(request, "pause", user.name)


@router.post("/resume", responses=_DONE)
async def resume(request: Request, user: Reviewer) -> dict[str, str]:
    """Go on counting."""
    return await _do(request, "resume", user.name)


@router.post("/end", responses=_DONE)
async def end(request: Request, user: Reviewer) -> dict[str, str]:
    """End the session; what was seen is decided and recorded."""
    return await _do(request, "end", user.name)


@router.post("/label", responses=_DONE)
async def label(request: Request, user: Reviewer, asked: Label) -> dict[str, str]:
    """Say what the session that runs is of."""
    return await _do(request, "label", user.name, label=asked.label)


async def _do(request: Request, what: str, who: str, **more: Any) -> dict[str, str]:
    beside = site_of(request).live
    if beside is None:
        raise HTTPException(409, "no source is watched here; edge-wbc run SOURCE --serve")
    try:
        refused = await run_in_threadpool(lambda: beside.do(what, who, **more))
    except TimeoutError:
        raise HTTPException(503, "the session does not answer") from None
    if refused is not None:
        raise HTTPException(409, refused)
    return {"done": what}
