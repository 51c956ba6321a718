"""A recorded session to files: as a table, as JSON lines, its crops in a folder a class, or its mosaic."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import cv2

from edge_wbc.errors import OutputFailed, SessionError, UsageError, reason
from edge_wbc.sessions.archive import Contents, Head, crops
from edge_wbc.sessions.mosaic import export_mosaic
from edge_wbc.sinks.base import open_sink
from edge_wbc.sinks.files import JsonlSink
from edge_wbc.uri import parse

FORMS = {"csv": "", "jsonl": "", "folder": "", "mosaic": ""}
"""What ``--to`` of an export takes."""


def export(recorded: Contents, to: str) -> int:
    """Write a session, and return how many cells were written.

    ``csv:PATH`` is to the byte what ``run --to csv:PATH`` writes. ``jsonl:PATH`` has the same lines, but none for
    frames that were not refused. ``folder:DIR`` has ``DIR/LABEL/SESSION_NUMBER.png``, crops as the network saw them.
    ``mosaic:PATH.png`` is the slide with its cells outlined and numbered.

    :raises UsageError: another form, or no path.
    :raises OutputFailed: it can't be written.
    :raises SessionError: crops or a mosaic are wanted, and none are there.
    """
    uri = parse(to, FORMS)
    if not uri.path:
        raise UsageError(f"{to}: names no place; write {uri.scheme}:PATH")
    if uri.scheme == "folder":
        return _folder(recorded, Path(uri.path))
    if uri.scheme == "mosaic":
        return export_mosaic(recorded.head.folder, recorded.cells, Path(uri.path))
    sink = open_sink(to)
    try:
        sink.open(recorded.head.session)
        sink.last(recorded.cells)
        for refused in recorded.refused:
            sink.refused(refused)
        if isinstance(sink, JsonlSink):
            sink.lines_of(_end(recorded))
    finally:
        sink.close()
    return len(recorded.cells)


def _end(recorded: Contents) -> dict[str, object]:
    head = recorded.head
    counted = {"frames": head.frames, "refused": head.refused, "cells": head.cells}
    differential = asdict(recorded.differential)
    figures = {**(head.summary or counted), "differential": differential, "ended": head.ended}
    return {"type": "session", "event": "end", "session_id": head.session.session_id, **figures}


def _folder(recorded: Contents, folder: Path) -> int:
    head = recorded.head
    labels = {one.number: one.prediction.label for one in recorded.cells}
    written = 0
    for number, pixels in crops(head):
        if number not in labels:  # of a session that is running, counted since
            break
        path = folder / labels[number] / f"{head.session.session_id}_{number:06}.png"
        _, data = cv2.imencode(".png", pixels)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.tobytes())
        except (OSError, ValueError) as error:
            raise OutputFailed(
                f"{path}: can't be written ({reason(error)}); make room or choose another place, and export again"
            ) from None
        written += 1
    if recorded.cells and not written:
        raise SessionError(no_crops(head))
    return written


def no_crops(head: Head) -> str:
    """Why a session has no crops."""
    if head.crops_removed_utc:
        why = f"its crops were removed on {head.crops_removed_utc[:10]} to keep the quota"
    else:
        why = "it was recorded without crops, as the quota was used up"
    return f"session {head.session.session_id}: {why}; `edge-wbc sessions protect` keeps those of others"
