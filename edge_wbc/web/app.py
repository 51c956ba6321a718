"""The application: routes, pages, and what every answer carries."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.errors import EdgeWbcError, OutputFailed
from edge_wbc.review.decide import Conflict, Refused
from edge_wbc.uri import load
from edge_wbc.web.refusals import failed, refused, unreadable
from edge_wbc.web.review_view import told_of
from edge_wbc.web.site import Site, Unknown

STATIC = Path(__file__).with_name("static")
ROUTES = (
    "edge_wbc.web.login_pages:router",
    "edge_wbc.web.pages:router",
    "edge_wbc.web.sessions_api:router",
    "edge_wbc.web.review_api:router",
    "edge_wbc.web.review_pages:router",
    "edge_wbc.web.report_api:router",
    "edge_wbc.web.control_api:router",
    "edge_wbc.web.control_api:page",
    "edge_wbc.web.live_api:router",
    "edge_wbc.web.live_pages:router",
    "edge_wbc.web.teach_api:router",
)
"""``module:router`` of each part."""
STATUSES = {Unknown: 404, Refused: 409, OutputFailed: 507}
"""Of errors that are not merely 422."""


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
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(Exception, failed)
    return app


async def _told(request: Request, error: Exception) -> Response:
    """An error of ours as one line. 404: not there. 409: as things stand it can't be done. 507: nothing was written."""
    if isinstance(error, Conflict):
        by = {number: told_of(row) for number, row in error.rows.items()}
        return JSONResponse({"detail": str(error), "cells": dict(error.cells), "by": by}, 409)
    found = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)
    return await refused(request, HTTPException(found, str(error)))
