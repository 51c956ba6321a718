"""The cells of a signed session, taken away from the browser as a zip: the same folder, a piece at a time."""

from __future__ import annotations

import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

httpx = pytest.importorskip("httpx", reason="httpx is not installed: nobody can ask")
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: nothing can be served")


from edge_wbc.review.lessons import lessons  # noqa: E402
from edge_wbc.review.teach import teach  # noqa: E402
from edge_wbc.web.access import User  # noqa: E402
from edge_wbc.web.app import make_app  # noqa: E402
from edge_wbc.web.site import Site  # noqa: E402
from edge_wbc.web.teach_api import _zipped  # noqa: E402
from tests.edge_wbc.review.test_teach import OTHER, files, signed  # noqa: E402, F401


class _Viewer:
    """Somebody who may look, unless a request says that nobody has come in."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"x-nobody", b"1") not in scope["headers"]:
            scope["state"] = {**scope.get("state", {}), "user": User("ann", "viewer")}
        await self._app(scope, receive, send)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A site over the sessions that `record` writes."""
    (tmp_path / "sessions").mkdir()
    server = uvicorn.Server(uvicorn.Config(_Viewer(make_app(Site(tmp_path / "sessions"))), log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/sessions"
        finally:
            server.should_exit = True
            thread.join()


def test_the_zip_holds_the_folder_that_the_command_writes(signed: Any, url: str, tmp_path: Path) -> None:  # noqa: F811
    review = signed()
    teach([lessons(review)], tmp_path / "taught")
    answer = httpx.get(f"{url}/{review.folder.name}/cells.zip")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="edge-wbc-{review.folder.name}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        found = {name.removeprefix(f"{review.folder.name}/"): archive.read(name) for name in archive.namelist()}
    assert found == files(tmp_path / "taught")
    assert httpx.get(f"{url}/{review.folder.name}/cells.zip").content == answer.content


def test_what_can_not_be_had_is_told_in_a_line(record: Any, url: str) -> None:
    name = record().name
    assert httpx.get(f"{url}/{name}/cells.zip", headers={"x-nobody": "1"}).status_code == 401
    assert httpx.get(f"{url}/{OTHER}/cells.zip").status_code == 404
    assert httpx.get(f"{url}/..%2f..%2fetc/cells.zip").status_code == 404
    answer = httpx.get(f"{url}/{name}/cells.zip")
    assert answer.status_code == 422
    assert answer.json() == {"detail": f"session {name} is not signed; review and sign it in `edge-wbc serve`"}


def test_no_more_than_one_cell_is_held_at_a_time(signed: Any) -> None:  # noqa: F811
    taught = lessons(signed())
    pieces = list(_zipped(taught, "x"))
    assert len(pieces) == len(taught.rows) + 2
    assert all(len(piece) < 14_000 for piece in pieces)  # a crop of noise takes 12 kB
