"""What a signed session teaches, as a zip of the folder that `edge-wbc sessions teach` writes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import IO, cast

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from edge_wbc.review.lessons import LIST, Lessons, as_csv, images, lessons
from edge_wbc.web.access import Viewer
from edge_wbc.web.site import site_of

router = APIRouter(prefix="/api/sessions")


@router.get(
    "/{session_id}/cells.zip",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/zip": {}}, "description": "one folder, named after the session"},
        401: {"description": "nobody has logged in"},
        404: {"description": "no such session"},
        422: {"description": "it is not signed, or can't be read"},
    },
)
def cells(session_id: str, request: Request, user: Viewer) -> StreamingResponse:
    """The reviewed cells, one folder a class, and the list of their groups. Made as it is sent, a cell at a time."""
    with site_of(request).review(session_id) as review:
        taught = lessons(review)
    name = taught.head.folder.name
    headers = {"Content-Disposition": f'attachment; filename="edge-wbc-{name}.zip"', "Cache-Control": "no-store"}
    return StreamingResponse(_zipped(taught, name), media_type="application/zip", headers=headers)


def _zipped(taught: Lessons, name: str) -> Iterator[bytes]:
    sent = _Sent()
    with zipfile.ZipFile(cast("IO[bytes]", sent), "w") as archive:
        _add(archive, f"{name}/{LIST}", as_csv(taught.rows))
        yield sent.take()
        for row, data in images(taught):
            _add(archive, f"{name}/{row.file}", data)
            yield sent.take()
    yield sent.take()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """With a fixed date; PNGs are small already."""
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


class _Sent:
    """A file of which only what was not taken yet is kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
