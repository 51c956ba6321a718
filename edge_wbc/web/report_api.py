"""A session's report: as a page, a PDF, a table and JSON."""

from __future__ import annotations

import re
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from edge_wbc.errors import SessionError
from edge_wbc.report.content import Report
from edge_wbc.report.forms import report_of
from edge_wbc.report.html import page, policy
from edge_wbc.report.pdf import pdf
from edge_wbc.report.tables import as_csv, as_json
from edge_wbc.web.access import Viewer
from edge_wbc.web.site import site_of

router = APIRouter(
    prefix="/sessions/{session_id}",
    responses={
        401: {"description": "nobody has logged in"},
        404: {"description": "no such session"},
        422: {"description": "it can't be read"},
    },
)

_NOT_KEPT = {"Cache-Control": "no-store"}
"""Crops and labels may be personal data."""


def _answers(kind: str) -> dict[int | str, dict[str, object]]:
    return {200: {"content": {kind: {}}, "description": "the report"}}


@router.get("/report", response_class=HTMLResponse)
def report_page(session_id: str, request: Request, user: Viewer) -> HTMLResponse:
    """One page that needs nothing beside itself, under a policy of its own."""
    report = _report(session_id, request)
    links = {"Back to the cells": f"../{quote(session_id)}"}
    links |= {form: f"report.{form.lower()}" for form in ("PDF", "CSV", "JSON")}
    headers = {"Content-Security-Policy": f"{policy()}; frame-ancestors 'none'", **_NOT_KEPT}
    return HTMLResponse(page(report, links), headers=headers)


@router.get("/report.pdf", response_class=Response, responses=_answers("application/pdf"))
def report_pdf(session_id: str, request: Request, user: Viewer) -> Response:
    return _file(pdf(_report(session_id, request)), "application/pdf", f"inline; {_named(session_id)}.pdf")


@router.get("/report.csv", response_class=Response, responses=_answers("text/csv"))
def report_csv(session_id: str, request: Request, user: Viewer) -> Response:
    return _file(as_csv(_report(session_id, request)), "text/csv", f"attachment; {_named(session_id)}.csv")


@router.get("/report.json", response_class=Response, responses=_answers("application/json"))
def report_json(session_id: str, request: Request, user: Viewer) -> Response:
    return _file(as_json(_report(session_id, request)), "application/json", f"inline; {_named(session_id)}.json")


def _report(session_id: str, request: Request) -> Report:
    """:raises HTTPException: 404, no session has exactly this id.
    :raises SessionError: it can't be read.
    """
    site = site_of(request)
    try:
        site.folder(session_id)
    except SessionError as error:
        raise HTTPException(404, str(error)) from None
    with site.review(session_id) as review:
        return report_of(review)


def _file(data: bytes, kind: str, disposition: str) -> Response:
    return Response(data, media_type=kind, headers={"Content-Disposition": disposition, **_NOT_KEPT})


def _named(session_id: str) -> str:
    """A file's name in a header: nothing of an id but letters and figures, so that it needs no quotes."""
    return f"filename=edge-wbc-{re.sub('[^A-Za-z0-9-]', '_', session_id)}"
