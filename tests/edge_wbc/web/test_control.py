"""Quality control over HTTP: who may, what comes, what is told when it can't."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe

from edge_wbc.control import run as run_module
from edge_wbc.control.history import FILE, append
from edge_wbc.control.run import runs
from edge_wbc.control.trends import trends
from edge_wbc.review.decide import sign
from edge_wbc.review.review import Review
from edge_wbc.web import control_desk
from edge_wbc.web.access import ROLES, User
from edge_wbc.web.app import make_app
from edge_wbc.web.control_desk import Busy, Desk
from edge_wbc.web.site import Site
from tests.edge_wbc.web.browser import launched, needs_chromium
from tests.golden_session import record_golden


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    monkeypatch.setattr(run_module, "CALLS", 30)


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def desk(place) -> Desk:
    return Desk(place, "leukonet", "openvino")


@pytest.fixture
def url(place, desk) -> Iterator[str]:
    """A server that takes everybody for what the header ``x-role`` says."""
    app = make_app(Site(place, control=desk))

    @app.middleware("http")
    async def who(request, call_next):
        role = request.headers.get("x-role")
        request.state.user = User("otto", role) if role else None
        request.state.csrf = "t"
        return await call_next(request)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    listening = threading.Event()
    startup = server.startup

    async def started(*arguments, **more):
        await startup(*arguments, **more)
        listening.set()

    server.startup = started
    thread.start()
    assert listening.wait(20)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def asked(url):
    """Asks as somebody of a role: the viewer, unless told otherwise."""

    def ask(method, path, role="viewer", **more):
        headers = {"x-role": role} if role else {}
        return httpx.request(method, url + path, headers=headers, timeout=30, **more)

    return ask


@pytest.fixture
def unsigned_session(place, model, session, result_of, end_of) -> str:
    return record_golden(place, model, session, result_of, end_of).name


@pytest.fixture
def signed_session(place, unsigned_session) -> str:
    sign(Review(place / unsigned_session), "anna")
    return unsigned_session


def test_who_may_what(asked):
    assert asked("GET", "/api/control", None).status_code == 401
    assert asked("POST", "/api/control/run", None).status_code == 401
    assert asked("POST", "/api/control/run", "viewer").status_code == 403
    assert asked("POST", "/api/control/set", "reviewer", json={"session_id": None}).status_code == 403
    assert asked("GET", "/api/control").status_code == 200
    assert asked("GET", "/control").status_code == 200


def test_the_page_shows_each_role_what_it_may_do(asked):
    shown = {role: set(re.findall(r'id="(run|choose|golden)"', asked("GET", "/control", role).text)) for role in ROLES}
    assert shown == {"viewer": set(), "reviewer": {"run"}, "administrator": {"run", "choose", "golden"}}


def test_nothing_was_run_yet(asked, place):
    found = asked("GET", "/api/control").json()
    assert (found["runs"], found["sessions"], found["waiting"], found["running"]) == ([], [], 0, False)
    assert found["set"]["drawn"]
    assert not place.exists(), "to look writes nothing"


def test_a_run_on_demand_is_in_the_trends(asked, place):
    done = asked("POST", "/api/control/run", "reviewer", json={})
    assert done.status_code == 200
    assert done.json()["agreement"] == 100
    (group,) = asked("GET", "/api/control").json()["runs"]
    assert [point["number"] for point in group["points"]] == [done.json()["number"]]
    assert [chart["name"] for chart in group["charts"]] == ["agreement", "drift", "p50_ms", "p99_ms"]
    assert all(chart["limits"] is None for chart in group["charts"])
    assert group["points"][0] == done.json() == json.loads(json.dumps(runs(place)[0].record()))


def test_limits_come_with_five_runs(asked, place):
    for _ in range(5):
        assert asked("POST", "/api/control/run", "reviewer").status_code == 200
    charts = {chart["name"]: chart for chart in asked("GET", "/api/control").json()["runs"][0]["charts"]}
    assert charts["agreement"]["limits"]["low"] == pytest.approx(100 - 100 / 64)
    assert charts["agreement"]["limits"]["high"] is None
    assert charts["agreement"]["floor"] == 70
    assert charts["p50_ms"]["limits"]["values"] in (4, 5)
    assert charts["drift"]["limits"] is None
    assert charts["drift"]["ceiling"] == 0.05


def test_one_run_at_a_time(asked, desk, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def held(*_):
        begun.set()
        assert go_on.wait(20)
        return run_module.run_once(*_)

    monkeypatch.setattr(control_desk, "run_once", held)
    thread = desk.begin()
    assert begun.wait(20)
    assert asked("GET", "/api/control").json()["running"], "the page is answered meanwhile"
    busy = asked("POST", "/api/control/run", "reviewer")
    assert (busy.status_code, busy.json()) == (409, {"detail": "a run of quality control is under way; wait for it"})
    with pytest.raises(Busy):
        desk.run()
    go_on.set()
    thread.join(20)
    found = asked("GET", "/api/control").json()
    assert not found["running"]
    assert found["runs"][0]["count"] == 1


def test_trouble_of_the_run_at_startup_is_told_on_the_page(asked, place):
    desk = Desk(place, "no-such-model")
    desk.begin().join(20)
    assert len(desk.trouble) == 1
    assert "no model 'no-such-model'" in desk.trouble[0]


def test_a_set_is_chosen_and_a_changed_one_is_refused(asked, place, signed_session):
    chosen = asked("POST", "/api/control/set", "administrator", json={"session_id": signed_session})
    assert chosen.status_code == 200, chosen.text
    assert (chosen.json()["who"], chosen.json()["signed_by"], chosen.json()["cells"]) == ("otto", "anna", 64)
    assert asked("POST", "/api/control/run", "reviewer").json()["set_name"] == f"64 cells of session {signed_session}"
    file = place / chosen.json()["file"]
    file.write_bytes(file.read_bytes() + b"x")
    refused = asked("POST", "/api/control/run", "reviewer")
    assert refused.status_code == 422
    assert "the locked set was changed" in refused.json()["detail"]
    assert "the locked set was changed" in asked("GET", "/api/control").json()["trouble"][0]
    assert asked("POST", "/api/control/set", "administrator", json={"session_id": None}).json()["drawn"]
    assert asked("POST", "/api/control/run", "reviewer").status_code == 200


@pytest.mark.parametrize("body", [{}, {"session_id": 3}, {"session_id": "x" * 101}, []])
def test_what_is_no_choice_is_refused(asked, body):
    assert asked("POST", "/api/control/set", "administrator", json=body).status_code == 422


@pytest.mark.parametrize("name", ["../../etc", "\0", "", "last"])
def test_what_names_no_session_is_refused(asked, unsigned_session, name):
    refused = asked("POST", "/api/control/set", "administrator", json={"session_id": name})
    assert refused.status_code in (404, 422)
    assert "no such session" in refused.json()["detail"]


def test_a_session_that_is_not_signed_gives_no_set(asked, unsigned_session):
    refused = asked("POST", "/api/control/set", "administrator", json={"session_id": unsigned_session})
    assert (refused.status_code, "not signed" in refused.json()["detail"]) == (422, True)


def test_finished_sessions_wait_and_are_taken_in_with_a_run(asked, unsigned_session):
    assert asked("GET", "/api/control").json()["waiting"] == 1
    asked("POST", "/api/control/run", "reviewer")
    found = asked("GET", "/api/control").json()
    assert found["waiting"] == 0
    assert [one["session_id"] for one in found["sessions"][0]["points"]] == [unsigned_session]


def test_a_history_of_a_newer_version_is_a_line(asked, place):
    append(place, "set", {"name": "x"})
    connection = sqlite3.connect(place / FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    for told in (asked("GET", "/api/control"), asked("POST", "/api/control/run", "reviewer")):
        assert told.status_code == 422
        assert "newer version of edge-wbc" in told.json()["detail"]


def test_a_history_that_cannot_be_written_is_told(asked, place):
    place.parent.mkdir(exist_ok=True)
    place.touch()
    told = asked("POST", "/api/control/run", "reviewer")
    assert told.status_code == 507
    assert "was not saved" in told.json()["detail"]


def test_the_history_can_be_big(place, asked):
    """2,000 runs and 1,000 sessions: five years of a laboratory's days."""
    asked("POST", "/api/control/run", "reviewer")
    body = {name: value for name, value in runs(place)[0].record().items() if name not in ("low", "high", "agreement")}
    body["by_class"] = {"neutrophil": [35, 35]}
    one = {"session_id": "", "started_utc": "2026-01-01", "source": "files", "size_px": 64, "cells": 9}
    figures = {"focus": 0.1, "stain_x": 0.0, "stain_y": 0.0, "outside": {}}
    connection = sqlite3.connect(place / FILE)
    insert = "INSERT INTO rows (at_utc, kind, about, body) VALUES (?, ?, ?, ?)"
    now = "2026-01-01T00:00:00.000+00:00"
    connection.executemany(insert, [(now, "run", None, json.dumps(body))] * 2000)
    some = [(now, "session", str(i), json.dumps({**one, **figures, "session_id": str(i)})) for i in range(1000)]
    connection.executemany(insert, some)
    connection.commit()
    connection.close()
    began = time.thread_time()
    trends(place)
    assert time.thread_time() - began < 1, "0.1 s of a processor, once its intervals are known"
    found = asked("GET", "/api/control")
    assert found.json()["runs"][0]["count"] == 2001
    assert len(found.json()["runs"][0]["points"]) == 200
    assert len(found.content) < 400_000


@pytest.fixture
def planted(place, asked):
    """Six runs of which the last drifted."""
    asked("POST", "/api/control/run", "reviewer")
    first = runs(place)[0].record()
    body = {
        name: value for name, value in first.items() if name not in ("number", "at_utc", "low", "high", "agreement")
    }
    body["by_class"] = {label: [one["same"], one["cells"]] for label, one in first["by_class"].items()}
    for _ in range(4):
        append(place, "run", body)
    append(place, "run", {**body, "drift": 0.2, "outside": {"drift": "drift 0.2000, above the ceiling of 0.0500"}})


@pytest.fixture
def browser():
    with launched() as one:
        yield one


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_page_in_a_browser(browser, url, planted, unsigned_session, width, scheme):
    axe = Axe()
    headers = {"x-role": "administrator"}
    with browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, extra_http_headers=headers
    ) as context:
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{url}/control")
        drift = page.get_by_role("figure").filter(has_text="Drift")
        drift.locator("svg .point").first.wait_for()
        assert drift.locator("svg circle.point").count() == 5
        assert drift.locator("svg path.point.outside").count() == 1, "marked by shape, and by colour"
        assert drift.locator("svg .fixed").count() == 1
        assert page.get_by_role("img", name="Latency of 6 runs").is_visible()
        assert page.get_by_role("img", name="Drift of 6 runs, newest 0.2000, 1 outside the limits").is_visible()
        assert "▲ Run 6" in page.locator("#state").inner_text()
        drift.locator("summary").focus()
        page.keyboard.press("Enter")
        rows = drift.get_by_role("row").all_inner_texts()
        assert len(rows) == 7
        assert "above the ceiling of 0.0500" in rows[1]
        page.get_by_role("button", name="Run now").press("Enter")
        page.get_by_role("img", name="Drift of 7 runs").wait_for()
        assert page.locator("#said").inner_text().startswith("Run 7: ")
        page.get_by_role("img", name="Focus of 1 sessions").wait_for()
        assert [found["id"] for found in axe.run(page).response["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_label("Session, signed").fill(unsigned_session)
        page.keyboard.press("Enter")
        page.locator("#said", has_text="not signed").wait_for()
        assert wrong == []
