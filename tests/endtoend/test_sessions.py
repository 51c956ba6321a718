"""A session from `edge-wbc run` to `edge-wbc sessions`, through the real command line."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pytest

SLIDE = "smear://?seed=3&cells=40&size=320x240"
DEADLINE_S = 60


class Recorded(NamedTuple):
    place: Path
    session_id: str
    summary: dict[str, Any]
    outputs: Path


@pytest.fixture(scope="module")
def recorded(edge_wbc_command: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    place, outputs = tmp_path_factory.mktemp("sessions"), tmp_path_factory.mktemp("outputs")
    sinks = ("--to", f"csv:{outputs / 'run.csv'}", "--to", f"jsonl:{outputs / 'run.jsonl'}")
    about = ("--label", "slide 7", "--note", "first", "--note", "second")
    done = edge_wbc_command("run", SLIDE, "--record", place, *sinks, *about, "--json")
    assert (done.code, done.err) == (0, "")
    (folder,) = place.iterdir()
    return Recorded(place, folder.name, done.json, outputs)


@pytest.fixture
def sessions(edge_wbc_command: Any, recorded: Recorded) -> Any:
    def run(verb: str, *arguments: str | Path) -> Any:
        return edge_wbc_command("sessions", verb, *arguments, "--record", recorded.place)

    return run


def test_the_recorder_reports_beside_the_outputs(recorded: Recorded) -> None:
    report = recorded.summary["sinks"][f"session:{recorded.session_id}"]
    assert report == {"path": str(recorded.place / recorded.session_id), "cells": recorded.summary["cells"]}
    assert len(recorded.summary["sinks"]) == 3
    assert recorded.summary["ended"] == "source"


def test_list_and_show(sessions: Any, recorded: Recorded) -> None:
    done = sessions("list")
    (line,) = done.out.splitlines()[1:]
    assert line.startswith(f"{recorded.session_id}  slide 7  {SLIDE}  ")
    assert line.endswith("  source")
    shown = sessions("show", recorded.session_id[:12], "--json").json
    assert shown["differential"] == recorded.summary["differential"]
    assert (shown["label"], shown["notes"], shown["ended"]) == ("slide 7", ["first", "second"], "source")
    lines = [json.loads(line) for line in (recorded.outputs / "run.jsonl").read_text().splitlines()]
    assert shown["cells"] == [line for line in lines if line["type"] == "cell"]
    done = sessions("show", "last")
    assert done.code == 0
    assert "note: second" in done.out
    assert "the source ended" in done.out
    assert "95 % interval" in done.out
    assert "Research use only" in done.out


def test_exported_files_are_those_of_the_run(sessions: Any, recorded: Recorded, tmp_path: Path) -> None:
    for form in ("csv", "jsonl"):
        done = sessions("export", "last", "--to", f"{form}:{tmp_path / f'run.{form}'}")
        assert done.code == 0
        assert f"{recorded.summary['cells']} of {recorded.summary['cells']} cells" in done.err
    assert (tmp_path / "run.csv").read_bytes() == (recorded.outputs / "run.csv").read_bytes()
    run, exported = (
        [line for line in (folder / "run.jsonl").read_text().splitlines() if '"type":"frame"' not in line]
        for folder in (recorded.outputs, tmp_path)
    )
    assert exported[:-1] == run[:-1]
    end = json.loads(exported[-1])
    assert end.keys() == json.loads(run[-1]).keys()
    assert end["differential"] == recorded.summary["differential"]


def test_exported_crops_lie_by_class_and_are_those_that_were_classified(
    sessions: Any, recorded: Recorded, tmp_path: Path
) -> None:
    done = sessions("export", "last", "--to", f"folder:{tmp_path}")
    assert done.code == 0
    with (recorded.outputs / "run.csv").open(newline="") as file:
        labels = {int(row["cell"]): row["label"] for row in csv.DictReader(file)}
    files = sorted(tmp_path.glob("*/*"))
    assert {(file.parent.name, file.name) for file in files} == {
        (label, f"{recorded.session_id}_{number:06}.png") for number, label in labels.items()
    }
    database = recorded.place / recorded.session_id / "session.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        stored = dict(connection.execute("SELECT cell, pixels FROM crops"))
    for file in files:
        assert cv2.imread(str(file)).tobytes() == stored[int(file.stem[-6:])]


def test_replayed_by_the_same_engine_every_decision_is_the_same(sessions: Any, recorded: Recorded) -> None:
    done = sessions("replay", "last")
    assert (done.code, done.err) == (0, "")
    assert f"{recorded.summary['cells']} cells decided the same, 0 differently" in done.out


def test_a_decision_that_was_changed_is_found(edge_wbc_command: Any, recorded: Recorded, tmp_path: Path) -> None:
    folder = tmp_path / "20260101T000000Z-abc123"
    folder.mkdir()
    source = recorded.place / recorded.session_id / "session.sqlite"
    (folder / "session.sqlite").write_bytes(source.read_bytes())
    with closing(sqlite3.connect(folder / "session.sqlite")) as connection, connection:
        connection.execute("UPDATE cells SET label = 'basophil' WHERE number = 2")
    done = edge_wbc_command("sessions", "replay", folder.name, "--record", tmp_path)
    assert done.code == 1
    first, last = done.out.splitlines()
    assert first.startswith("cell 2: basophil 0.")
    assert "1 differently" in last
    done = edge_wbc_command("sessions", "replay", folder.name, "--record", tmp_path, "--json")
    assert [one["number"] for one in done.json["different"]] == [2]


def test_another_graph_is_refused(sessions: Any) -> None:
    done = sessions("replay", "last", "--model", "leukonet-4")
    assert (done.code, done.out) == (3, "")
    (line,) = done.err.splitlines()
    assert "was recorded with the graph" in line


def test_a_session_that_is_killed_shows_what_was_counted_as_interrupted(
    start_edge_wbc: Any, edge_wbc_command: Any, tmp_path: Path
) -> None:
    source = "smear://?seed=1&cells=100000&fps=60&size=160x120"
    with start_edge_wbc("run", source, "--record", tmp_path, "--to", "console:", "--json") as process:
        assert process.stdout is not None
        shown = 0
        for line in process.stdout:
            shown += not line.startswith("#")
            if shown == 20:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE_S)
    done = edge_wbc_command("sessions", "show", "last", "--record", tmp_path, "--json")
    assert done.code == 0
    assert done.json["ended"] == "interrupted"
    numbers = [one["cell"] for one in done.json["cells"]]
    assert numbers == list(range(1, len(numbers) + 1))
    shares = done.json["differential"]["shares"].values()
    assert sum(share["count"] for share in shares) + done.json["differential"]["unidentified"] == len(numbers) > 0
    assert edge_wbc_command("sessions", "replay", "last", "--record", tmp_path).code == 0, "cells decided alone"
    assert edge_wbc_command("sessions", "remove", "last", "--record", tmp_path).code == 0
    assert list(tmp_path.iterdir()) == []


def test_where_the_recorder_has_no_more_room_the_rest_is_complete(edge_wbc_command: Any, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the end of the disk."""
    table = tmp_path / "cells.csv"
    command = shlex.join(
        [sys.executable, "-m", "edge_wbc", "run", SLIDE, "--record", str(tmp_path), "--to", f"csv:{table}", "--json"]
    )
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 200; exec {command}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 5
    (line,) = done.stderr.splitlines()
    assert "session.sqlite: recording stopped after " in line
    assert line.endswith("; make room and run again, other outputs are complete")
    summary = json.loads(done.stdout)
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == summary["cells"]
    shown = edge_wbc_command("sessions", "show", "last", "--record", tmp_path, "--json").json
    assert shown["ended"] == "interrupted"
    assert len(shown["cells"]) < summary["cells"]


def test_until_so_many_cells(edge_wbc_command: Any, tmp_path: Path) -> None:
    done = edge_wbc_command("run", SLIDE, "--record", tmp_path, "--until-cells", "10", "--json")
    assert done.code == 0
    total = done.json["differential"]["total"]
    assert 10 <= total <= 15
    more = f", {total - 10} more than asked: all of the last frame's count" if total > 10 else ""
    assert done.err == f"--until-cells 10: {total} leukocytes counted{more}\n"
    shown = edge_wbc_command("sessions", "show", "last", "--record", tmp_path, "--json").json
    assert (shown["ended"], shown["differential"]["total"]) == ("cells", total)
    done = edge_wbc_command("run", SLIDE, "--no-record", "--until-cells", "1000", "--json")
    total = done.json["differential"]["total"]
    assert done.err == f"--until-cells 1000: {total} leukocytes counted, {1000 - total} too few\n"


def test_without_recording_nothing_is_written(edge_wbc_command: Any, data_home: Path) -> None:
    before = set(data_home.rglob("*"))
    done = edge_wbc_command("run", SLIDE, "--limit", "2", "--no-record", "--json")
    assert (done.code, done.json["sinks"]) == (0, {})
    assert set(data_home.rglob("*")) == before
    done = edge_wbc_command("run", SLIDE, "--no-record", "--label", "x")
    assert done.code == 2
    assert done.err == "edge-wbc: --record, --label and --note need a recorded session; leave out --no-record\n"


def test_by_default_a_session_is_recorded_in_the_data_folder_of_the_user(
    edge_wbc_command: Any, data_home: Path
) -> None:
    done = edge_wbc_command("run", SLIDE, "--limit", "2")
    (line,) = [line for line in done.err.splitlines() if "sessions show" in line]
    (folder,) = [folder for folder in (data_home / "edge-wbc" / "sessions").iterdir() if folder.name in line]
    assert (folder / "session.sqlite").is_file()
    done = edge_wbc_command("sessions", "show", folder.name, "--json")
    assert done.json["path"] == str(folder)


def test_a_slide_that_was_followed_has_a_mosaic(edge_wbc_command: Any, tmp_path: Path) -> None:
    place, picture = tmp_path / "sessions", tmp_path / "slide.png"
    run = edge_wbc_command("run", "smear://?seed=1004&cells=4&path=raster", "--limit", "160", "--record", place)
    assert run.code == 0
    assert "slide: " in run.err
    shown = edge_wbc_command("sessions", "show", "last", "--json", "--record", place).json
    assert cv2.imread(shown["mosaic"]).shape[0] >= 120
    done = edge_wbc_command("sessions", "export", "last", "--to", f"mosaic:{picture}", "--record", place)
    cells = shown["counted"]
    assert cells > 0
    assert done.err.startswith(f"{cells} of {cells} cells of session ")
    assert cv2.imread(str(picture)).shape[0] > 240
