"""A report from the pages' server, and from the command line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from edge_wbc.report.forms import report_of
from edge_wbc.report.html import page, policy
from edge_wbc.report.pdf import pdf
from edge_wbc.report.tables import as_csv, as_json
from edge_wbc.review.review import Review
from edge_wbc.web.access import VIEWER, User
from edge_wbc.web.app import make_app
from edge_wbc.web.site import Site
from tests.conftest import Done
from tests.edge_wbc.report.read_back import Page, of_csv, of_html, of_json, of_pdf

COMING = "x-test-viewer"


@pytest.fixture
def client(signed: Review) -> Iterator[httpx.Client]:
    """A viewer of the place where ``signed`` lies."""
    app = make_app(Site(signed.folder.parent))

    async def as_viewer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (COMING.encode(), b"yes") in scope["headers"]:
            scope["state"] = {**scope.get("state", {}), "user": User("vera", VIEWER)}
        await app(scope, receive, send)

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(as_viewer, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=url, headers={COMING: "yes"}, timeout=30) as one:
            yield one
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_the_four_forms_over_the_web(client: httpx.Client, signed: Review) -> None:
    report = report_of(Review(signed.folder))
    at = f"/sessions/{signed.folder.name}/report"
    found = client.get(at)
    assert found.status_code == 200
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert found.headers["content-security-policy"] == f"{policy()}; frame-ancestors 'none'"
    links = [attributes["href"] for tag, attributes in Page(found.text).tags if tag == "a"]
    assert links == [f"../{signed.folder.name}", "report.pdf", "report.csv", "report.json"]
    assert found.text.replace(found.text[found.text.index("<nav") : found.text.index("</nav>") + 6], "") == page(report)
    for ending, kind, made in (
        ("pdf", "application/pdf", pdf(report)),
        ("csv", "text/csv; charset=utf-8", as_csv(report)),
        ("json", "application/json", as_json(report)),
    ):
        found = client.get(f"{at}.{ending}")
        assert (found.status_code, found.headers["content-type"]) == (200, kind)
        assert found.headers["content-disposition"].endswith(f"; filename=edge-wbc-{signed.folder.name}.{ending}")
        assert found.headers["cache-control"] == "no-store"
        assert found.content == made


@pytest.mark.parametrize("session_id", ["2026", "nothing", "..%2f..%2fetc", "%00", "last"])
def test_no_such_session(client: httpx.Client, session_id: str) -> None:
    for form in ("report", "report.pdf", "report.csv", "report.json"):
        assert client.get(f"/sessions/{session_id}/{form}").status_code == 404


def test_a_report_is_for_those_who_have_come_in(client: httpx.Client, signed: Review) -> None:
    for form in ("report", "report.pdf", "report.csv", "report.json"):
        assert client.get(f"/sessions/{signed.folder.name}/{form}", headers={COMING: "no"}).status_code == 401


def test_a_report_that_cannot_be_made_is_a_line(client: httpx.Client, signed: Review) -> None:
    (signed.folder / "review.sqlite").write_bytes(b"nonsense" * 1000)
    found = client.get(f"/sessions/{signed.folder.name}/report")
    assert found.status_code == 422
    assert "review.sqlite" in found.json()["detail"]


def test_the_command_writes_every_form(edge_wbc_command: Callable[..., Done], signed: Review, tmp_path: Path) -> None:
    read = []
    for ending, back in (("html", of_html), ("pdf", of_pdf), ("csv", of_csv), ("json", of_json)):
        to = tmp_path / f"report.{ending}"
        done = edge_wbc_command("sessions", "report", "last", "--record", signed.folder.parent, "--to", to)
        assert done.code == 0, done.err
        assert "Version 2, signed by Béla" in done.err
        data = to.read_bytes()
        read.append(back(data.decode() if ending == "html" else data))
    assert read[0] == read[1] == read[2] == read[3]


def test_what_the_command_refuses(edge_wbc_command: Callable[..., Done], signed: Review, tmp_path: Path) -> None:
    def report(to: Path, session: str = "last") -> Done:
        return edge_wbc_command("sessions", "report", session, "--record", signed.folder.parent, "--to", to)

    done = report(tmp_path / "report.txt")
    said = "report.txt: no form of a report; write a name that ends in .html, .pdf, .csv, .json"
    assert (done.code, done.said()) == (2, [f"edge-wbc: {tmp_path}/{said}"])
    assert report(tmp_path / "nowhere" / "report.html").code == 5
    assert report(tmp_path / "report.html", "x").code == 3


def test_a_pdf_without_its_library_names_what_to_install(signed: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_wbc.errors import EnvironmentMissing

    monkeypatch.setitem(__import__("sys").modules, "fpdf", None)
    with pytest.raises(EnvironmentMissing, match=r"pip install 'edge-wbc\[web\]'"):
        pdf(report_of(signed))


def test_json_has_no_pixels(signed: Review) -> None:
    report = report_of(signed)
    assert len(as_json(report)) < 20_000
    (line,) = (one for one in json.loads(as_json(report))["lines"] if one["name"] == "monocyte")
    assert line["shown"] == [{"cell": 14, "probability": 0.85, "moved": False}]
