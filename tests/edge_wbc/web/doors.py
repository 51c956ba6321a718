"""Routes as other parts have them, for tests of what stands before them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from edge_wbc.web.access import Administrator, Reviewer, Viewer

router = APIRouter(prefix="/api/doors")
done: list[str] = []
"""Who has changed something."""


class Said(BaseModel):
    text: str = Field("", max_length=100_000)


@router.get("/who")
def who(request: Request, user: Viewer) -> dict[str, str]:
    return {"name": user.name, "role": user.role, "csrf": request.state.csrf, "address": request.state.address}


@router.post("/look")
def look(user: Viewer, said: Said) -> dict[str, Any]:
    done.append(user.name)
    return {"length": len(said.text)}


@router.post("/move")
def move(user: Reviewer) -> dict[str, str]:
    done.append(user.name)
    return {"by": user.name}


@router.post("/rule")
def rule(user: Administrator) -> dict[str, str]:
    done.append(user.name)
    return {"by": user.name}


@router.get("/broken")
def broken(user: Viewer) -> dict[str, str]:
    raise KeyError("secret\x1b[2J of the inside")


@router.get("/own")
def own(user: Viewer) -> Response:
    return Response("x", headers={"Cache-Control": "max-age=60", "Content-Security-Policy": "default-src 'none'"})


@router.get("/large")
def large(user: Viewer) -> dict[str, str]:
    return {"text": "0123456789" * 2000}


@router.get("/flood")
def flood(user: Viewer) -> StreamingResponse:
    """Until its reader reads no more."""

    def pieces() -> Iterator[bytes]:
        while True:
            yield bytes(100_000)

    return StreamingResponse(pieces())


@router.get("/ticks")
async def ticks(user: Viewer) -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(lines(), media_type="text/event-stream")
