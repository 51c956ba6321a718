"""The contract of a sink, for every one there is; the instrument is the simulated one, as a process."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.bench.instrument import SimulatedInstrument, simulated_instrument
from edge_wbc.errors import EdgeWbcError, EnvironmentMissing, OutputFailed
from edge_wbc.sinks.base import SINKS, Sink, open_sink
from edge_wbc.types import CLASSES, UNIDENTIFIED, Refused, Session

LABELS = ("neutrophil", "eosinophil", UNIDENTIFIED)


@pytest.fixture
def instrument() -> Iterator[SimulatedInstrument]:
    with simulated_instrument() as running:
        yield running


@pytest.fixture(params=[name for name in SINKS if name not in ("socket", "rfc2217")])  # the same sink, another port
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    place = {name: str(tmp_path / f"out.{name}") for name in ("jsonl", "csv")}
    place |= {"console": "", "video": str(tmp_path / "out.mp4")}
    if request.param == "serial":
        place["serial"] = "//" + request.getfixturevalue("instrument").port
    sink = open_sink(f"{request.param}:{place[request.param]}")
    yield sink
    sink.close()


@pytest.fixture
def delivered(
    session: Session, result_of: Callable[..., Any], end_of: Callable[..., Any]
) -> Callable[[Sink], dict[str, Any]]:
    """Carries a whole session through a sink: two frames, the second without cells, and a refused one."""

    def deliver(sink: Sink) -> dict[str, Any]:
        sink.open(session)
        sink.frame(result_of(0, LABELS))
        sink.frame(result_of(1, ()))
        sink.refused(Refused(2, "c.png", "c.png: the file is empty; copy it again"))
        sink.finish(*end_of(*LABELS))
        sink.close()
        return dict(sink.report())

    return deliver


def test_a_session_is_delivered_and_reported(sink: Sink, delivered: Callable[[Sink], dict[str, Any]]) -> None:
    report = delivered(sink)
    lines = {"console": ("cells", 3), "jsonl": ("lines", 8), "csv": ("lines", 4), "serial": ("acknowledged", 4)}
    lines |= {"video": ("frames", 2)}
    name, count = lines[sink.uri.partition(":")[0]]
    assert report[name] == count
    json.dumps(report)


def test_close_without_open(sink: Sink) -> None:
    assert isinstance(dict(sink.report()), dict)
    sink.close()
    sink.close()


def test_close_without_finish(sink: Sink, session: Session, result_of: Callable[..., Any]) -> None:
    sink.open(session)
    sink.frame(result_of(0, LABELS))
    sink.close()
    sink.close()
    json.dumps(dict(sink.report()))


def test_a_session_without_frames(sink: Sink, session: Session, end_of: Callable[..., Any]) -> None:
    sink.open(session)
    sink.finish(*end_of())
    sink.close()


def test_jsonl_lines_are_what_scripts_rely_on(tmp_path: Path, session: Session, delivered: Any) -> None:
    delivered(open_sink(f"jsonl:{tmp_path}/out.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["session", "frame", "cell", "cell", "cell", "frame", "frame", "session"]
    start, frame, cell, _, third, empty, refused, end = lines
    assert (start["event"], end["event"]) == ("start", "end")
    assert start["session_id"] == end["session_id"] == session.session_id
    assert start["source"] == session.source
    assert frame == {
        "type": "frame",
        "source": session.source,
        "frame": 0,
        "time_ns": session.started_ns,
        "utc": "2026-01-01T00:00:00.000+00:00",
        "cells": 3,
    }
    assert cell == {
        "type": "cell",
        "source": session.source,
        "frame": 0,
        "time_ns": session.started_ns,
        "cell": 1,
        "box": [0, 5, 9, 8],
        "score": 0.5,
        "label": "neutrophil",
        "probability": 0.86,
        "probabilities": {name: 0.86 if name == "neutrophil" else 0.02 for name in CLASSES},
    }
    assert (third["cell"], third["label"], third["box"]) == (3, UNIDENTIFIED, [20, 5, 9, 8])
    assert (empty["frame"], empty["cells"], empty["utc"]) == (1, 0, "2026-01-01T00:00:00.001+00:00")
    assert refused == {
        "type": "frame",
        "path": "c.png",
        "frame": 2,
        "cells": 0,
        "refused": "c.png: the file is empty; copy it again",
    }
    assert end["differential"]["total"] == 2
    assert end["differential"]["shares"]["neutrophil"]["percent"] == 50


def test_csv_has_a_line_a_cell(tmp_path: Path, session: Session, delivered: Any) -> None:
    delivered(open_sink(f"csv:{tmp_path}/out.csv"))
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(LABELS)
    assert [row["cell"] for row in rows] == ["1", "2", "3"]
    assert {row["origin"] for row in rows} == {session.source}
    assert [rows[1][name] for name in ("xmin", "ymin", "width", "height")] == ["10", "5", "9", "8"]
    assert float(rows[1]["probability"]) == float(rows[1]["eosinophil"]) == 0.86
    assert float(rows[1]["neutrophil"]) == 0.02


def test_csv_of_an_empty_session_has_its_header(tmp_path: Path, session: Session, end_of: Any) -> None:
    sink = open_sink(f"csv:{tmp_path}/out.csv")
    sink.open(session)
    sink.finish(*end_of())
    sink.close()
    assert (tmp_path / "out.csv").read_text().startswith("origin,frame,time_ns,cell,xmin")


def test_the_console_shows_a_line_a_cell(capsys: pytest.CaptureFixture[str], delivered: Any) -> None:
    delivered(open_sink("console:"))
    head, *lines = capsys.readouterr().out.splitlines()
    assert "Research use only" in head
    assert len(lines) == 3
    assert lines[1].split()[:4] == ["0", "eosinophil", "86.0%", "9×8"]


def test_the_instrument_applies_each_result_once(instrument: SimulatedInstrument, delivered: Any) -> None:
    delivered(open_sink(f"serial://{instrument.port}"))
    applied = instrument.stop()
    assert applied["applied"] == 3
    assert applied["differentials"] == 1
    assert applied["labels"] == dict.fromkeys(LABELS, 1)
    assert (applied["doubled"], applied["out_of_order"]) == (0, 0)


def test_each_line_is_on_the_disk_at_once(tmp_path: Path, session: Session, result_of: Any) -> None:
    sink = open_sink(f"jsonl:{tmp_path}/out.jsonl")
    sink.open(session)
    sink.frame(result_of(0, LABELS))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["session", "frame", "cell", "cell", "cell"]
    sink.close()


def test_an_earlier_file_is_replaced(tmp_path: Path, delivered: Any) -> None:
    (tmp_path / "out.csv").write_text("old\n" * 1000)
    delivered(open_sink(f"csv:{tmp_path}/out.csv"))
    assert "old" not in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize("scheme", ["jsonl", "csv"])
def test_a_full_disk_is_an_output_that_failed(scheme: str, session: Session, result_of: Any) -> None:
    sink = open_sink(f"{scheme}:/dev/full")
    sink.open(session)
    with pytest.raises(
        OutputFailed, match=r"/dev/full: writing stopped after 0 lines \(no space left on device\); make"
    ):
        sink.frame(result_of(0, LABELS))
    sink.close()
    assert sink.report()["lines"] == 0


def test_a_full_disk_is_noticed_at_the_end_too(session: Session, end_of: Any) -> None:
    sink = open_sink("csv:/dev/full")
    sink.open(session)
    with pytest.raises(OutputFailed, match="no space left"):
        sink.finish(*end_of())
    sink.close()


def test_standard_output_on_a_full_disk(monkeypatch: pytest.MonkeyPatch, session: Session, result_of: Any) -> None:
    """Told with the first line, not at opening: that would end the session for other sinks, too."""
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", full)
    sink = open_sink("console:")
    sink.open(session)
    with pytest.raises(OutputFailed, match="standard output: no space left on device; other outputs are complete"):
        sink.frame(result_of(0, LABELS))
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        full.close()


def test_a_terminal_without_unicode_shows_what_it_can(
    monkeypatch: pytest.MonkeyPatch, session: Session, result_of: Any
) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    sink = open_sink("console:")
    sink.open(session)
    sink.frame(result_of(0, LABELS))
    monkeypatch.undo()
    terminal.seek(0)
    assert r"9\xd78" in terminal.read()


@pytest.mark.parametrize("scheme", ["console", "jsonl", "csv"])
def test_names_need_not_be_utf8(
    scheme: str, tmp_path: Path, session: Session, result_of: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = os.fsdecode(b"gr\xfcn.png")
    path = tmp_path / "out"
    sink = open_sink("console:" if scheme == "console" else f"{scheme}:{path}")
    sink.open(session)
    sink.frame(result_of(0, ("basophil",), origin=origin))
    sink.close()
    text = capsys.readouterr().out if scheme == "console" else path.read_bytes().decode()
    assert r"gr\udcfcn.png" in text
    if scheme == "jsonl":
        assert json.loads(text.splitlines()[-1])["path"] == origin, "a script gets the very name"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("jsnol:out", 2, "did you mean jsonl:"),
        ("out.jsonl", 2, "has no scheme"),
        ("jsonl:", 2, "names no file; write jsonl:PATH"),
        ("csv://out.csv?sep=;", 2, "unknown option 'sep'"),
        ("console:?x", 0, ""),
        ("console://?colour=no", 2, "unknown option 'colour'"),
        ("serial:", 2, "names no port"),
        ("serial:///dev/ttyACM0?baud=fast", 2, "not a valid int"),
        ("serial:///dev/ttyACM0?baud=0", 2, "baud=0 is not from 1"),
        ("serial:///dev/ttyACM0?baud=99999999999999999999", 2, "is not from 1"),
        ("jsonl:/no/such/folder/out.jsonl", 5, "/no/such/folder/out.jsonl: can't be written"),
        ("csv:/", 5, "can't be written (is a directory); choose another place"),
        ("jsonl://a%00b", 5, "can't be written"),
        ("csv:" + "a" * 300, 5, "can't be written (file name too long)"),
        ("serial:///dev/no-such-port", 4, "there is no port /dev/no-such-port; plug the instrument in"),
        ("serial:///etc/passwd", 4, "/etc/passwd does not work as a serial port"),
        ("socket://127.0.0.1:1?outbox=none", 4, "socket://127.0.0.1:1 can't be reached"),
        ("rfc2217://127.0.0.1:1?baud=9600", 4, "rfc2217://127.0.0.1:1 can't be reached"),
        ("serial://%00", 4, "vanished while it was opened"),
    ],
)
def test_what_cannot_be_opened_says_so_in_one_line(text: str, code: int, says: str, session: Session) -> None:
    if not code:
        open_sink(text).open(session)
        return
    with pytest.raises(EdgeWbcError) as caught:
        open_sink(text).open(session)
    assert caught.value.exit_code == code
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_port_where_nothing_answers(session: Session) -> None:
    """An end nobody holds vanishes at once; one that is held but silent is given 3 s, tested with the link."""
    parent, child = pty.openpty()
    name = os.ttyname(child)
    os.close(parent)
    os.close(child)
    with pytest.raises(EnvironmentMissing, match=name):
        open_sink(f"serial://{name}").open(session)


def test_an_instrument_that_goes_away_fails_the_sink(
    instrument: SimulatedInstrument, session: Session, result_of: Any, end_of: Any
) -> None:
    sink = open_sink(f"serial://{instrument.port}")
    sink.open(session)
    sink.frame(result_of(0, LABELS))
    instrument.stop()
    with pytest.raises(OutputFailed, match=r"of \d+ results were acknowledged; other outputs are complete") as caught:
        sink.finish(*end_of(*LABELS))
    assert instrument.port in str(caught.value)
    sink.close()
