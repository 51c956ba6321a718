"""What was recorded, as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from edge_wbc.errors import SessionError
from edge_wbc.sessions.archive import Head, head
from edge_wbc.sessions.schema import folders, running
from edge_wbc.web.access import Viewer
from edge_wbc.web.site import site_of
from edge_wbc.web.standing import standing

router = APIRouter(prefix="/api/sessions")


@router.get("", responses={401: {"description": "Nobody has logged in"}})
def sessions(request: Request, user: Viewer) -> dict[str, Any]:
    """Every session, newest first, and what is wrong with those that can't be read."""
    sessions, unreadable = [], []
    for folder in reversed(folders(site_of(request).place)):
        try:
            sessions.append(_head(head(folder)))
        except SessionError as error:
            if not running(folder):  # it has only begun
                unreadable.append(str(error))
    return {"sessions": sessions, "unreadable": unreadable}


def _head(head: Head) -> dict[str, Any]:
    reviewed = standing(head.folder)
    return {
        "session_id": head.session.session_id,
        "started_utc": head.session.started_utc,
        "source": head.session.source,
        "label": head.label if reviewed.label is None else reviewed.label,
        "model": head.session.model,
        "cells": head.cells,
        "frames": head.frames,
        "ended": head.ended,
        "decisions": reviewed.decisions,
        "version": reviewed.version,
        "signed_by": reviewed.signed_by,
        "signed_utc": reviewed.signed_utc,
        "wrong": reviewed.wrong,
    }
