"""What is refused, as one line: JSON for a script, a page for a person."""

from __future__ import annotations

from fastapi import Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from edge_wbc.web.pages import shown

LINES = {404: "there is no such page", 405: "this address takes no such request"}
"""In place of what Starlette says."""


async def failed(request: Request, error: Exception) -> Response:
    """What nobody thought of is for the guard, which says it where edge-wbc was started, and answers."""
    raise error


async def refused(request: Request, error: Exception) -> Response:
    """Of an `HTTPException`."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return await http_exception_handler(request, error)
    line = LINES[error.status_code] if error.detail in ("Not Found", "Method Not Allowed") else error.detail
    page = shown(request, "refused.html", getattr(request.state, "user", None), line=line)
    page.status_code = error.status_code
    page.headers.update(error.headers or {})
    return page


async def unreadable(request: Request, error: Exception) -> Response:
    """Of a request that is not what its route takes: what is wrong where, and nothing of what was sent besides."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    line = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return JSONResponse({"detail": line.encode("ascii", "backslashreplace").decode()}, 422)
