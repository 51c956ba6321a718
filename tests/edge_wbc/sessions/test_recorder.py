"""What is recorded comes back, whatever happens to the process, the disk or the room on it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_wbc.differential import Tally
from edge_wbc.errors import OutputFailed, SessionError
from edge_wbc.sessions import recorder as recorder_module
from edge_wbc.sessions import room
from edge_wbc.sessions.archive import INTERRUPTED, RUNNING, contents, crops, head, protect, sightings
from edge_wbc.types import FrameRef, Place, Refused, Sighting

ROOT = Path(__file__).parents[3]
DEADLINE_S = 10.0


@pytest.fixture
def folder() -> Iterator[str]:
    """In memory where there is such a place: a kill loses nothing that the system was given."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        yield name


def harmed_at_each_write(faults: Path, folder: str, how: str) -> list[dict[str, Any]]:
    script = str(Path(__file__).with_name("killed_recorder.py"))
    done = subprocess.run(
        [sys.executable, script, str(faults), folder, how],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(faults), "OPENBLAS_NUM_THREADS": "1"},  # forks
    )
    assert (done.returncode, done.stderr) == (0, "")
    *steps, unharmed = [json.loads(line) for line in done.stdout.splitlines()]
    assert (unharmed["cells"], unharmed["ended"]) == (3, "source")
    assert len(steps) > 60
    for step in steps:
        assert step["right"], step
        assert step["cells"] >= step["durable"], step
        assert not step["trouble"] or "nothing was recorded" in step["trouble"], step
        assert step["ended"] in ("", INTERRUPTED, "source"), step
    assert {step["durable"] for step in steps} == {0, 2, 3}, "at all stages"
    return steps


def written(recorder: recorder_module.Recorder, cells: int) -> None:
    """Wait until so many cells are committed."""
    deadline = time.monotonic() + DEADLINE_S
    while recorder.report()["cells"] < cells:
        assert time.monotonic() < deadline, "never committed"
        time.sleep(0.001)


def test_killed_at_any_write_what_was_committed_is_there_and_whole(faults: Path, folder: str) -> None:
    steps = harmed_at_each_write(faults, folder, "kill")
    assert {step["signal"] for step in steps} == {9}


def test_a_disk_that_is_full_from_any_write_on_fails_the_recorder_alone_and_what_was_written_stays(
    faults: Path, folder: str
) -> None:
    steps = harmed_at_each_write(faults, folder, "fill")
    assert {step["signal"] for step in steps} == {0}
    for step in steps:
        assert step["code"] == (0 if step["ended"] == "source" else 5), step


def test_all_of_a_session_comes_back(record, results, session, model):
    folder = record(label="slide 7", notes=("first", "zweite: ä"))
    read = contents(folder)
    counted = [one for result in results for one in result.counted]
    assert list(read.cells) == [replace(one, frame=replace(one.frame, truth=None)) for one in counted]
    pixels = dict(crops(read.head))
    assert all((pixels[one.number] == one.sightings[0].crop).all() for one in counted)
    assert len(pixels) == len(counted) == 5
    assert read.refused == (Refused(4, "a.png", "a.png: grey image; give a colour image"),)
    assert (read.head.session, read.head.label, read.head.notes) == (session, "slide 7", ("first", "zweite: ä"))
    assert (read.head.frames, read.head.refused, read.head.cells, read.head.ended) == (4, 1, 5, "source")
    assert read.head.graph_sha256 == model.manifest.graph.sha256
    tally = Tally(model.manifest.labels)
    tally.add(one.prediction.label for one in counted)
    assert read.differential == tally.differential()
    assert read.head.summary["cells"] == 5
    assert sorted(file.name for file in folder.iterdir()) == ["session.lock", "session.sqlite"], "one file, no log"
    assert (folder / "session.sqlite").read_bytes()[18] == 1, "readable where nothing can be written"


def test_every_look_at_a_cell_and_its_place_on_the_slide_come_back(recorder_of, session, results):
    (one, _) = results[0].counted
    looks = tuple(
        Sighting(one.prediction, np.full((64, 64, 3), 40 + i, np.uint8), weight)
        for i, weight in enumerate((0.25, 0.75, 0.5))
    )
    placed = replace(one, sightings=looks, place=Place(12.5, -3.0))
    recorder = recorder_of()
    recorder.open(session)
    recorder.last((placed,))
    recorder.close()
    recorded = contents(recorder.folder)
    (read,) = recorded.cells
    assert (len(read.sightings), read.place) == (3, Place(12.5, -3.0))
    kept = [(weight, said, pixels.tobytes()) for _, pixels, weight, said in sightings(recorded.head)]
    assert kept == [(look.weight, look.prediction.probabilities, look.crop.tobytes()) for look in looks]
    ((_, sharpest),) = crops(recorded.head)
    assert (sharpest == looks[1].crop).all()


def test_names_that_are_not_utf8_come_back(recorder_of, session, results):
    recorder = recorder_of()
    recorder.open(replace(session, source="caf\udce9"))
    (one, _) = results[0].counted
    recorder.last((replace(one, frame=FrameRef(0, one.frame.time_ns, "caf\udce9/ä.png")),))
    recorder.refused(Refused(1, "caf\udce9", "caf\udce9: no"))
    recorder.close()
    read = contents(recorder.folder)
    assert read.cells[0].frame.origin == "caf\udce9/ä.png"
    assert read.head.session.source == "caf\udce9"
    assert read.refused == (Refused(1, "caf\udce9", "caf\udce9: no"),)


def test_of_a_session_that_showed_nothing_nothing_is_kept(recorder_of, session, end_of):
    recorder = recorder_of()
    recorder.open(session)
    recorder.finish(*end_of())
    recorder.close()
    assert not recorder.folder.exists()
    assert recorder.folder.parent.is_dir()


def test_a_place_that_cannot_be_written(recorder_of, session, tmp_path):
    (tmp_path / "sessions").write_text("a file")
    with pytest.raises(
        OutputFailed, match=r"can't be written \(not a directory\); --record another place, or --no-rec"
    ):
        recorder_of().open(session)


def test_cells_are_safe_soon_without_another_frame_and_one_can_look_while_it_runs(
    recorder_of, session, results, monkeypatch
):
    monkeypatch.setattr(recorder_module, "COMMIT_S", 0.01)
    recorder = recorder_of()
    recorder.open(session)
    recorder.frame(results[0])
    written(recorder, 2)
    read = contents(recorder.folder)
    recorder.close()
    assert [one.number for one in read.cells] == [1, 2]
    assert read.head.ended == RUNNING
    assert head(recorder.folder).ended == INTERRUPTED, "closed without an end"


def test_many_cells_do_not_wait_for_the_clock(recorder_of, session, results, monkeypatch):
    monkeypatch.setattr(recorder_module, "COMMIT_S", 1e9)
    monkeypatch.setattr(recorder_module, "GROUP", 2)
    recorder = recorder_of()
    recorder.open(session)
    recorder.frame(results[0])
    written(recorder, 2)
    recorder.close()


def test_a_bug_is_raised_and_not_taken_for_a_full_disk(recorder_of, session, results, end_of):
    recorder = recorder_of()
    recorder.open(session)
    recorder.last((replace(results[0].counted[0], sightings=(None,)),))
    with pytest.raises(AttributeError):
        recorder.finish(*end_of())
    recorder.close()


def crops_left(folder: Path) -> int:
    return len(list(crops(head(folder))))


def test_beyond_the_quota_the_oldest_lose_their_crops_but_not_the_protected_nor_the_running(
    record, recorder_of, session, results
):
    oldest, protected, old, young = (record(f"2026010{day}T000000Z-abc123") for day in range(1, 5))
    protect(protected, True)
    place, one = oldest.parent, room.size(oldest)
    running = recorder_of("20251231T000000Z-abc123")
    running.open(replace(session, session_id="20251231T000000Z-abc123"))
    running.frame(results[0])
    written(running, 2)
    all_of_them = sum(map(room.size, place.iterdir()))
    assert room.make_room(place, all_of_them - 1) < all_of_them - one / 2
    assert crops_left(oldest) == 0
    assert [crops_left(folder) for folder in (protected, old, young)] == [5, 5, 5]
    room.make_room(place, 0)
    assert [crops_left(folder) for folder in (protected, old, young)] == [5, 0, 0]
    running.close()
    assert crops_left(running.folder) == 2
    read = contents(oldest)
    assert (len(read.cells), read.differential.total) == (5, 3), "all but the crops stays"
    assert read.head.crops_removed_utc.startswith("20")
    assert room.size(oldest) < one
    protect(protected, False)
    room.make_room(place, 0)
    assert crops_left(protected) == 0


def test_a_session_that_fills_the_quota_alone_goes_on_without_crops_and_says_so(record):
    folder = record(quota_bytes=10_000)
    again = record("20260102T000000Z-abc123", quota_bytes=10_000)
    assert crops_left(folder) == 0
    assert crops_left(again) == 0
    read = contents(again)
    assert len(read.cells) == 5
    assert read.head.crops_removed_utc is None


def test_the_quota_is_looked_at_while_a_session_runs(recorder_of, session, results, end_of, monkeypatch):
    monkeypatch.setattr(recorder_module, "LOOK_BYTES", 1)
    monkeypatch.setattr(recorder_module, "GROUP", 1)
    recorder = recorder_of(quota_bytes=20_000)
    recorder.open(session)
    for result in results:
        recorder.frame(result)
        written(recorder, sum(len(one.counted) for one in results[: result.frame.index + 1]))
    recorder.finish(*end_of())
    recorder.close()
    assert crops_left(recorder.folder) == 2
    (notice,) = recorder.report()["notices"]
    assert (
        "full to its quota of 2e-05 GB; 3 cells were recorded without crops; `edge-wbc sessions remove` old" in notice
    )


def test_the_database_is_written_as_the_page_says(record):
    connection = sqlite3.connect(record() / "session.sqlite")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert version == 1
    assert tables == {"session", "cells", "crops", "sightings", "refused"}


def test_a_label_may_change_before_the_session_and_while_it_runs(recorder_of, session, results, monkeypatch):
    monkeypatch.setattr(recorder_module, "COMMIT_S", 0.01)
    recorder = recorder_of(label="first")
    recorder.label("before")
    recorder.open(session)

    def label() -> str | None:
        try:
            return head(recorder.folder).label
        except SessionError:  # nothing is committed yet
            return None

    def wait_for(said: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while label() != said:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    recorder.frame(results[0])
    wait_for("before")
    recorder.label("while it runs")
    wait_for("while it runs")
    recorder.label("at the end")
    recorder.close()
    assert head(recorder.folder).label == "at the end"
    assert head(recorder.folder).cells == 2
