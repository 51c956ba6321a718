"""The API of the review, asked over HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from edge_wbc.review import chain
from edge_wbc.sessions.mosaic import CELLS, PICTURE
from edge_wbc.sessions.schema import lock
from edge_wbc.types import Pixels, Sighting
from edge_wbc.web import field
from tests.edge_wbc.web.review.conftest import NOBODY, Served
from tests.recorded import crop_of


@pytest.fixture
def folder(record: Callable[..., Path]) -> Path:
    """A session with cells 1 neutrophil, 2 lymphocyte, 3 unidentified, 4 neutrophil, 5 platelet."""
    return record()


@pytest.fixture
def url(folder: Path) -> str:
    return f"/api/sessions/{folder.name}"


@pytest.fixture
def anna(served: Served) -> Iterator[httpx.Client]:
    with served.client("anna") as client:
        yield client


@pytest.fixture
def bob(served: Served) -> Iterator[httpx.Client]:
    with served.client("bob") as client:
        yield client


def move(client: httpx.Client, url: str, cells: dict[int, str], to: str, **more: object) -> httpx.Response:
    return client.post(f"{url}/moves", json={"cells": cells, "to": to, **more})


def classes(client: httpx.Client, url: str) -> dict[int, str]:
    found = client.get(f"{url}/review").raise_for_status().json()
    names = [one["name"] for one in found["classes"]]
    return {number: names[now] for number, now in zip(found["number"], found["now"], strict=True)}


def picture(answer: httpx.Response) -> Pixels:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_the_page_begins_with_every_cell_as_the_network_said(anna, url):
    found = anna.get(f"{url}/review").raise_for_status().json()
    assert found["number"] == [1, 2, 3, 4, 5]
    assert found["now"] == found["network"]
    assert classes(anna, url)[3] == "unidentified"
    assert found["probability"] == [0.86] * 5
    assert (found["moved"], found["signed"], found["version"], found["row"]) == ({}, None, 1, 0)
    assert found["preliminary"]["total"] == found["verified"]["total"] == 3
    keys = {one["key"] for one in found["classes"]}
    assert len(keys) == len(found["classes"])  # none twice, one without


def test_a_move_answers_with_what_others_did_too(anna, bob, url):
    move(bob, url, {2: "lymphocyte"}, "monocyte").raise_for_status()
    answer = move(anna, url, {1: "neutrophil"}, "basophil", after=0, cell=5).raise_for_status().json()
    assert {number: mover[0] for number, (_, mover) in answer["cells"].items()} == {"1": "anna", "2": "bob"}
    assert [(one["who"], one["to"]) for one in answer["news"]] == [("bob", "monocyte"), ("anna", "basophil")]
    assert answer["added"]["number"] == []
    assert answer["verified"]["shares"]["basophil"]["count"] == 1
    later = anna.get(f"{url}/review/rows", params={"after": answer["row"], "cell": 5}).json()
    assert (later["cells"], later["news"], later["head"]) == ({}, [], answer["head"])
    assert classes(bob, url) == {1: "basophil", 2: "monocyte", 3: "unidentified", 4: "neutrophil", 5: "platelet"}


def test_the_later_of_two_on_the_same_cell_sees_the_earlier(anna, bob, url):
    move(bob, url, {1: "neutrophil"}, "monocyte").raise_for_status()
    answer = move(anna, url, {1: "neutrophil", 4: "neutrophil"}, "basophil")
    assert answer.status_code == 409
    told = answer.json()
    assert told["cells"] == {"1": "monocyte"}
    assert told["by"]["1"]["who"] == "bob"
    assert told["by"]["1"]["at_utc"].startswith("20")
    assert classes(anna, url)[4] == "neutrophil"


def test_undo_takes_back_ones_own(anna, bob, url):
    move(anna, url, {1: "neutrophil"}, "basophil").raise_for_status()
    move(bob, url, {2: "lymphocyte"}, "basophil").raise_for_status()
    answer = anna.post(f"{url}/undo", json={"after": 2}).raise_for_status().json()
    assert answer["cells"]["1"][1] is None
    assert classes(anna, url)[1] == "neutrophil"
    assert classes(anna, url)[2] == "basophil"
    assert anna.post(f"{url}/undo", json={}).status_code == 409


def test_signing_needs_piles_empty_or_explained_and_then_nothing_moves(anna, url, folder):
    refused = anna.post(f"{url}/sign", json={})
    assert (refused.status_code, "unidentified" in refused.json()["detail"]) == (409, True)
    why = {"pile": "unidentified", "why": "smudged <b>everywhere</b>"}
    answer = anna.post(f"{url}/explanations", json=why).raise_for_status().json()
    assert answer["explained"]["unidentified"]["why"] == "smudged <b>everywhere</b>"
    signed = anna.post(f"{url}/sign", json={}).raise_for_status().json()
    assert (signed["signed"]["who"], signed["signed"]["version"]) == ("anna", 1)
    assert move(anna, url, {1: "neutrophil"}, "basophil").status_code == 409
    assert anna.post(f"{url}/label", json={"label": "x"}).status_code == 409
    amended = anna.post(f"{url}/amend", json={"why": "cell 1 is none"}).raise_for_status().json()
    assert (amended["signed"], amended["version"], len(amended["signatures"])) == (None, 2, 1)
    move(anna, url, {1: "neutrophil"}, "basophil").raise_for_status()


def test_a_label_is_text(anna, url):
    answer = anna.post(f"{url}/label", json={"label": "<script>alert(1)</script>"}).raise_for_status().json()
    assert answer["label"] == "<script>alert(1)</script>"


@pytest.mark.parametrize("path", ["moves", "undo", "explanations", "label", "read", "sign", "amend"])
def test_a_viewer_changes_nothing_and_nobody_sees_anything(served, url, path, folder):
    bodies = {
        "moves": {"cells": {"1": "neutrophil"}, "to": "basophil"},
        "explanations": {"pile": "unidentified", "why": "x"},
        "label": {"label": "x"},
        "read": {"cells": {"1": "basophil"}},
        "amend": {"why": "x"},
    }
    with served.client("vic", "viewer") as viewer, served.client(NOBODY) as nobody:
        assert viewer.post(f"{url}/{path}", json=bodies.get(path, {})).status_code == 403
        assert nobody.post(f"{url}/{path}", json=bodies.get(path, {})).status_code == 401
        for page in ("review", "review/rows", "cells/1", "crops?cells=1", "field/1", "agreement"):
            assert nobody.get(f"{url}/{page}").status_code == 401
        assert viewer.get(f"{url}/review").status_code == 200
    assert not (folder / chain.FILE).exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("moves", {"cells": {}, "to": "basophil"}),
        ("moves", {"cells": {"1": "neutrophil"}, "to": "unidentified"}),
        ("moves", {"cells": {"1": "neutrophil"}, "to": "no class"}),
        ("moves", {"cells": {"1": "no class"}, "to": "basophil"}),
        ("moves", {"cells": {"0": "neutrophil"}, "to": "basophil"}),
        ("moves", {"cells": {"1" * 30: "neutrophil"}, "to": "basophil"}),
        ("moves", {"cells": {"1": "neutrophil"}, "to": "basophil", "why": "x" * 1001}),
        ("moves", {"cells": {"1": "neutrophil"}, "to": "basophil", "after": -1}),
        ("moves", {"cells": {"1": "neutrophil"}, "to": "basophil", "cell": False}),
        ("explanations", {"pile": "neutrophil", "why": "x"}),
        ("explanations", {"pile": "unidentified", "why": ""}),
        ("explanations", {"pile": "unidentified", "why": "  "}),
        ("label", {"label": "\ud800"}),
        ("label", {}),
        ("moves", {"cells": {"\ud800": "neutrophil"}, "to": "basophil"}),
        ("read", {"cells": {"1": "unidentified"}}),
        ("amend", {"why": ""}),
    ],
)
def test_what_makes_no_sense_is_refused(anna, url, path, body, folder):
    content = json.dumps(body).encode()
    answer = anna.post(f"{url}/{path}", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (409, 422), answer.text
    assert isinstance(answer.json()["detail"], str)
    assert not chain.rows(folder)


def test_a_cell_that_is_not_there_is_not_moved(anna, url):
    assert move(anna, url, {1: "neutrophil", 99: "neutrophil"}, "basophil").status_code == 409
    assert classes(anna, url)[1] == "neutrophil"


@pytest.mark.parametrize("name", ["20260101T000000Z", "20260101T000000Z-abc124", "..%2f..", "%00", "last", " "])
def test_only_the_exact_name_of_a_session_is_one(anna, folder, name):
    for page in ("review", "cells/1", "crops?cells=1", "field/1", "agreement"):
        answer = anna.get(f"/api/sessions/{name}/{page}")
        assert answer.status_code == 404
        assert str(folder.parent) not in answer.text
    assert anna.get(f"/sessions/{name}").status_code == 404


def test_one_cell(anna, bob, url):
    move(anna, url, {1: "neutrophil"}, "basophil", why="granules").raise_for_status()
    found = bob.get(f"{url}/cells/1").raise_for_status().json()
    assert (found["label"], found["class"], found["box"]) == ("neutrophil", "basophil", [0, 5, 9, 8])
    assert found["probabilities"]["neutrophil"] == 0.86
    (decision,) = found["history"]
    assert (decision["who"], decision["from"], decision["to"]) == ("anna", "neutrophil", "basophil")
    assert decision["why"] == "granules"
    assert bob.get(f"{url}/cells/99").status_code == 404
    assert bob.get(f"{url}/cells/0").status_code == 422


def test_a_blind_reader_sees_no_class_of_anybody_else(anna, bob, url):
    move(anna, url, {1: "neutrophil"}, "basophil").raise_for_status()
    found = bob.get(f"{url}/review?blind=true").raise_for_status().json()
    assert found["now"] == [None] * 5
    answer = bob.post(f"{url}/read", json={"cells": {"1": "monocyte", "2": "lymphocyte"}, "cell": 5}).json()
    assert set(answer["cells"]) == {"1", "2"}
    rows = bob.get(f"{url}/review/rows?blind=true&cell=5").json()
    assert [one["kind"] for one in rows["news"]] == ["read"]
    cell = bob.get(f"{url}/cells/1?blind=true").json()
    hidden = {"network", "moved", "probability", "preliminary", "verified", "explained", "label", "class", "history"}
    for told in (found, answer, rows, cell):
        assert not (hidden - {"label"}) & set(told)
        assert "basophil" not in json.dumps({k: v for k, v in told.items() if k != "classes"})
    (one,) = anna.get(f"{url}/agreement").json()["readers"]
    assert (one["reader"], one["overall"]["cells"], one["overall"]["agreed"]) == ("bob", 2, 1)
    assert anna.post(f"{url}/read", json={"cells": {"1": "monocyte"}}).status_code == 409  # has seen them


def test_crops_come_as_one_sheet_in_the_order_asked_for(anna, url):
    asked = [5, 1, 3, 2, 4, 99, 1, 2, 3]
    answer = anna.get(f"{url}/crops", params={"cells": ",".join(map(str, asked))})
    sheet = picture(answer)
    assert sheet.shape == (128, 512, 3)
    for i, number in enumerate(asked):
        y, x = 64 * (i // 8), 64 * (i % 8)
        found = sheet[y : y + 64, x : x + 64].astype(int)
        shown = {cell: float(np.abs(found - crop_of(cell)).mean()) for cell in range(1, 6)}
        if number == 99:
            assert np.median(found) == pytest.approx(224, abs=4)
        else:
            assert min(shown, key=lambda cell: shown[cell]) == number
    assert "immutable" not in answer.headers["cache-control"]  # one of them may get its crop


def test_a_sheet_is_kept_by_the_browser_of_who_may_see_it(anna, url):
    kept = anna.get(f"{url}/crops?cells=1,2").headers["cache-control"]
    assert "private" in kept
    assert "immutable" in kept


@pytest.mark.parametrize("cells", ["", "1,", "a", "0", "-1", ",".join(["1"] * 65), "1;2"])
def test_a_sheet_of_anything_else_is_refused(anna, url, cells):
    assert anna.get(f"{url}/crops", params={"cells": cells}).status_code == 422


def test_of_several_sightings_the_sharpest_is_shown(anna, recorder_of, session, results, end_of):
    one = results[0].counted[0]
    looks = tuple(Sighting(one.prediction, np.full((64, 64, 3), 40 * i, np.uint8), w) for i, w in enumerate((1, 5, 2)))
    recorder = recorder_of("20260103T000000Z-abc123")
    recorder.open(replace(session, session_id="20260103T000000Z-abc123"))
    recorder.last([replace(one, sightings=looks)])
    recorder.finish(*end_of())
    recorder.close()
    sheet = picture(anna.get("/api/sessions/20260103T000000Z-abc123/crops?cells=1"))
    assert sheet.shape == (64, 64, 3)
    assert np.median(sheet) == pytest.approx(40, abs=2)


def test_crops_that_were_removed_are_crossed_out(anna, url, folder):
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        connection.execute("DELETE FROM crops")
    sheet = picture(anna.get(f"{url}/crops?cells=1,2"))
    assert sheet.shape == (64, 128, 3)
    assert sheet.std() > 1


@pytest.fixture
def frame(tmp_path: Path, draw_field: Callable[..., Pixels]) -> Path:
    path = tmp_path / "slide 1.png"
    cv2.imwrite(str(path), draw_field())
    return path


@pytest.fixture
def from_file(record: Callable[..., Path], frame: Path) -> Path:
    """A session whose cells lie in a file's frame."""
    folder = record("20260104T000000Z-abc123")
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE cells SET origin = ?, xmin = 100, ymin = 200, width = 40, height = 50", (str(frame),)
        )
    return folder


def test_the_field_is_the_frame_with_the_cell_marked(anna, from_file, frame):
    shown = picture(anna.get(f"/api/sessions/{from_file.name}/field/1")).astype(int)
    was = cv2.imread(str(frame)).astype(int)
    assert shown.shape == was.shape
    changed = np.argwhere(np.abs(shown - was).max(axis=2) > 60)
    top, left = changed.min(axis=0)
    bottom, right = changed.max(axis=0)
    assert (top < 200, left < 100, bottom > 250, right > 140) == (True,) * 4
    assert (bottom - top < 120, right - left < 120) == (True, True)


def test_a_large_field_leaves_smaller(anna, from_file, frame):
    cv2.imwrite(str(frame), np.full((1000, 4000, 3), 200, np.uint8))
    assert picture(anna.get(f"/api/sessions/{from_file.name}/field/1")).shape == (400, field.MOST_PX, 3)


@pytest.mark.parametrize("content", [None, b"", b"root:x:0:0:secret\n" * 100, "small", "folder", "fifo"])
def test_without_the_frame_there_is_a_line_and_no_byte_of_another_file(anna, from_file, frame, content):
    import os

    frame.unlink()
    if content == "folder":
        frame.mkdir()
    elif content == "fifo":
        os.mkfifo(frame)
    elif content == "small":
        cv2.imwrite(str(frame), np.full((60, 80, 3), 200, np.uint8))
    elif content is not None:
        frame.write_bytes(content)
    answer = anna.get(f"/api/sessions/{from_file.name}/field/1")
    assert answer.status_code == 404
    assert "was not kept" in answer.json()["detail"]
    assert "secret" not in answer.text
    assert str(frame) not in answer.text


def test_a_simulated_field_was_not_kept(anna, url):
    assert "was not kept" in anna.get(f"{url}/field/1").json()["detail"]
    assert anna.get(f"{url}/field/99").status_code == 404


def test_a_slide_shows_the_part_of_its_mosaic(anna, url, folder):
    made = np.full((600, 900, 3), 230, np.uint8)
    made[300:310, 700:712] = (140, 45, 105)
    cv2.imwrite(str(folder / PICTURE), made)
    about = {"slide_px": 4.0, "corner": [0, 0], "elsewhere": 0, "cells": [{"cell": 1, "box": [700, 300, 12, 10]}]}
    (folder / CELLS).write_text(json.dumps(about))
    answer = anna.get(f"{url}/field/1")
    assert answer.headers["x-field-of"] == "mosaic"
    shown = picture(answer)
    assert shown.shape == (600, 800, 3)
    y, x = 2 * (305 - 155), 2 * (706 - 500)
    assert shown[y, x].tolist() == pytest.approx([140, 45, 105], abs=12)
    absent = anna.get(f"{url}/field/2")
    assert (absent.status_code, "not in the mosaic" in absent.text) == (404, True)


def test_a_session_or_a_review_from_a_newer_version_is_a_line(anna, url, folder):
    move(anna, url, {1: "neutrophil"}, "basophil").raise_for_status()
    with closing(sqlite3.connect(folder / chain.FILE)) as connection:
        connection.execute("PRAGMA user_version=9")
    answer = anna.get(f"{url}/review")
    assert (answer.status_code, "newer version" in answer.json()["detail"]) == (422, True)
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection:
        connection.execute("PRAGMA user_version=9")
    answer = anna.get(f"{url}/crops?cells=1")
    assert (answer.status_code, "newer version" in answer.json()["detail"]) == (422, True)


def test_a_session_that_runs_is_reviewed_and_grows(anna, url, folder):
    import os

    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        (kept,) = connection.execute("SELECT * FROM cells WHERE number = 5").fetchall()
        connection.execute("DELETE FROM cells WHERE number = 5")
        connection.execute("UPDATE session SET ended = NULL, ended_utc = NULL, summary = NULL")
        connection.commit()
        descriptor = lock(folder)
        try:
            found = anna.get(f"{url}/review").json()
            assert (found["running"], found["number"]) == (True, [1, 2, 3, 4])
            connection.execute(f"INSERT INTO cells VALUES ({', '.join('?' * 16)})", kept)
            connection.commit()
            answer = move(anna, url, {1: "neutrophil"}, "basophil", cell=4).raise_for_status().json()
            assert answer["added"]["number"] == [5]
            assert "preliminary" in answer
            assert "is running" in anna.post(f"{url}/sign", json={}).json()["detail"]
        finally:
            os.close(descriptor)


def test_what_can_not_be_written_is_not_saved_and_says_so(anna, url, folder, monkeypatch):
    def full(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(chain, "connect", full)
    answer = move(anna, url, {1: "neutrophil"}, "basophil")
    assert answer.status_code == 507
    assert "nothing was saved (no space left on device)" in answer.json()["detail"]
    monkeypatch.undo()
    assert classes(anna, url)[1] == "neutrophil"


def test_a_person_who_follows_a_wrong_address_gets_a_page(anna):
    answer = anna.get("/sessions/none", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "no such session" in answer.text
    assert "<h1" in answer.text


def test_the_page_has_no_script_or_style_of_its_own(anna, folder):
    page = anna.get(f"/sessions/{folder.name}").raise_for_status().text
    assert "<style" not in page
    assert " style=" not in page
    assert "<script>" not in page
    assert "Research use only" in page


def test_a_chain_that_was_put_back_from_a_copy_is_read_anew(anna, url, folder):
    move(anna, url, {1: "neutrophil"}, "basophil").raise_for_status()
    copy = (folder / chain.FILE).read_bytes()
    move(anna, url, {2: "lymphocyte"}, "basophil").raise_for_status()
    (folder / chain.FILE).write_bytes(copy)
    assert anna.get(f"{url}/review").status_code == 422
    assert classes(anna, url)[1] == "basophil"
    assert classes(anna, url)[2] == "lymphocyte"
