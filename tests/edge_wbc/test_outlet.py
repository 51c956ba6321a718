"""A sink in a thread of its own: whatever becomes of it, the others get everything."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.errors import OutputFailed
from edge_wbc.metrics import Stages
from edge_wbc.outlet import WAITING_RESULTS, Outlet
from edge_wbc.sinks.base import open_sink
from edge_wbc.types import Differential, FrameResult, Refused, Session, Summary

DEADLINE_S = 20


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def outlet(notices: list[str]) -> Callable[[str], Outlet]:
    return lambda uri: Outlet(open_sink(uri), Stages(), notices.append)


def deadline(seconds: float = DEADLINE_S) -> float:
    return time.monotonic() + seconds


def test_everything_put_is_delivered_in_order(
    outlet: Any, tmp_path: Path, session: Session, result_of: Any, end_of: Any
) -> None:
    out = outlet(f"jsonl:{tmp_path}/out.jsonl")
    out.open(session)
    for number in range(50):
        out.put(result_of(number, ("neutrophil",), first=number + 1))
    out.put(Refused(50, "x.png", "x.png: the file is empty; copy it again"))
    out.finish(*end_of())
    out.join(deadline())
    out.close()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines if line["type"] == "frame"] == list(range(51))
    assert [line["cell"] for line in lines if line["type"] == "cell"] == list(range(1, 51))
    assert lines[-1]["event"] == "end"
    assert out.error is None
    assert out.report() == {"path": f"{tmp_path}/out.jsonl", "lines": 103}


def test_a_sink_that_failed_holds_up_nobody(
    outlet: Any, tmp_path: Path, session: Session, result_of: Any, end_of: Any, notices: list[str]
) -> None:
    full, good = outlet("jsonl:/dev/full"), outlet(f"csv:{tmp_path}/out.csv")
    count = WAITING_RESULTS + 100

    def deliver() -> None:
        for out in (full, good):
            out.open(session)
        for number in range(count):
            for out in (full, good):
                out.put(result_of(number, ("neutrophil",), first=number + 1))
        for out in (full, good):
            out.finish(*end_of())
        for out in (full, good):
            out.join(deadline())

    worker = threading.Thread(target=deliver, daemon=True)
    worker.start()
    worker.join(DEADLINE_S)
    assert not worker.is_alive(), "the failed sink's queue must not fill up"
    for out in (full, good):
        out.close()
    assert isinstance(full.error, OutputFailed)
    assert good.error is None
    assert notices == [str(full.error)], "said once"
    assert full.report()["error"] == str(full.error)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == count + 1


def test_a_sink_that_is_too_slow_is_given_up(
    outlet: Any, session: Session, result_of: Any, end_of: Any, notices: list[str]
) -> None:
    reader, writer = os.pipe()
    out = outlet(f"jsonl:/dev/fd/{writer}")
    out.open(session)
    os.close(writer)
    for number in range(500):  # far more than a pipe holds while nobody reads
        out.put(result_of(number, ("neutrophil",)))
    out.finish(*end_of())
    out.join(deadline(0))
    assert isinstance(out.error, OutputFailed)
    assert notices == [f"jsonl:/dev/fd/{writer}: did not finish in time; its last results may be missing"]
    drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")], daemon=True)
    drain.start()
    out.join(deadline())
    out.close()
    drain.join(DEADLINE_S)
    assert not drain.is_alive()
    os.close(reader)


class Stubborn:
    """A sink that can't be opened, from another package."""

    uri = "stubborn:"
    closed = 0

    def open(self, session: Session) -> None:
        raise OutputFailed("stubborn: won't; use another")

    def frame(self, result: FrameResult) -> None:
        raise AssertionError("given a frame without being open")

    def refused(self, refused: Refused) -> None: ...

    def finish(self, differential: Differential, summary: Summary) -> None: ...

    def close(self) -> None:
        self.closed += 1

    def report(self) -> dict[str, Any]:
        return {}


def test_a_sink_that_does_not_open_is_closed(session: Session, notices: list[str]) -> None:
    sink = Stubborn()
    with pytest.raises(OutputFailed, match="won't; use another"):
        Outlet(sink, Stages(), notices.append).open(session)
    assert sink.closed == 1


def test_a_fault_of_the_program_is_not_hidden(outlet: Any, tmp_path: Path, session: Session, end_of: Any) -> None:
    out = outlet(f"csv:{tmp_path}/out.csv")
    out.open(session)
    out.put("no result at all")
    out.finish(*end_of())
    with pytest.raises(AttributeError):
        out.join(deadline())
    out.close()
