"""The application: routes, pages, and what every answer carries."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.errors import EdgeWbcError, OutputFailed
from edge_wbc.review.decide import Conflict
from edge_wbc.uri import load
from edge_wbc.web.site import Site

STATIC = Path(__file__).with_name("static")
ROUTES = ("edge_wbc.web.pages:router", "edge_wbc.web.sessions_api:router", "edge_wbc.web.teach_api:router")
"""``module:router`` of each part."""


def make_app(site: Site) -> FastAPI:
    """The pages and the API of one site."""
    app = FastAPI(
        title="edge-wbc",
        version=__version__,
        description=RESEARCH_USE,
        openapi_url="/api/openapi.json",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    app.state.site = site
    for reference in ROUTES:
        app.include_router(load(reference))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(EdgeWbcError, _told)
    return app


async def _told(request: Request, error: Exception) -> Response:
    """An error of ours as one line: 409 where the state forbids it, 507 where nothing could be written."""
    status = 409 if isinstance(error, Conflict) else 507 if isinstance(error, OutputFailed) else 422
    return JSONResponse({"detail": str(error)}, status)
