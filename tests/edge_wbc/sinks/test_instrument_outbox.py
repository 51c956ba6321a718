"""The instrument sink and its outbox: where it is, what a session leaves in it, what the next one delivers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.bench.instrument import simulated_instrument
from edge_wbc.errors import EnvironmentMissing, OutputFailed
from edge_wbc.metrics import Stages
from edge_wbc.outlet import Outlet
from edge_wbc.sinks import instrument as module
from edge_wbc.sinks.base import open_sink
from edge_wbc.types import Session
from firmware_bridge import CellResult, Outbox
from firmware_bridge.ports import default_outbox

LABELS = ("neutrophil", "eosinophil", "basophil")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_what_an_instrument_missed_waits_for_the_next_session(
    tmp_path: Path, session: Session, result_of: Callable[..., Any], end_of: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.3)
    outbox = tmp_path / "outbox.sqlite"
    with simulated_instrument() as instrument:
        sink = open_sink(f"serial://{instrument.port}?outbox={outbox}")
        sink.open(session)
        sink.frame(result_of(0, LABELS))
        while sink.report()["acknowledged"] < 3:
            threading.Event().wait(0.01)
        instrument.stop()
        sink.frame(result_of(1, LABELS))
        with pytest.raises(OutputFailed, match=r"vanished while in use.*4 results wait in .*outbox.sqlite") as caught:
            sink.finish(*end_of(*LABELS))
        assert "\n" not in str(caught.value)
        sink.close()
    with simulated_instrument() as instrument:
        sink = open_sink(f"serial://{instrument.port}?outbox={outbox}")
        sink.open(session)
        sink.finish(*end_of(*LABELS))
        sink.close()
        applied = instrument.stop()
        assert sink.report()["outbox"] == str(outbox)
    assert (applied["applied"], applied["differentials"]) == (3, 2)


def test_results_in_doubt_are_told_at_the_end(
    tmp_path: Path, session: Session, result_of: Callable[..., Any], end_of: Callable[..., Any]
) -> None:
    outbox = tmp_path / "outbox.sqlite"
    with simulated_instrument() as instrument:
        sink = open_sink(f"serial://{instrument.port}?outbox={outbox}")
        sink.open(session)
        sink.close()
    with Outbox(outbox) as held:  # as after a kill: sent, perhaps, and not acknowledged
        held.put(16, CellResult(1, 0, "monocyte", 1.0, (0, 0, 1, 1)).encode())
        held.begin_sending()
        held.flush()
        with held.changed:
            assert held.changed.wait_for(lambda: held.sendable == 1, 10.0)
    lines: list[str] = []
    with simulated_instrument() as instrument:
        outlet = Outlet(open_sink(f"serial://{instrument.port}?outbox={outbox}"), Stages(), lines.append)
        outlet.open(session)
        outlet.finish(*end_of(*LABELS))
        outlet.wait(10.0)
        outlet.close()
    (line,) = lines
    assert "1 results may have taken effect twice or not at all" in line
    assert "edge-wbc instrument log" in line


def test_a_pseudo_terminal_leaves_nothing_behind(
    state: Path, session: Session, result_of: Callable[..., Any], end_of: Callable[..., Any]
) -> None:
    with simulated_instrument() as instrument:
        sink = open_sink(f"serial://{instrument.port}")
        sink.open(session)
        sink.frame(result_of(0, LABELS))
        sink.finish(*end_of(*LABELS))
        sink.close()
    assert not state.exists()


def test_an_outbox_that_cannot_be_used_is_told_before_the_session(tmp_path: Path, session: Session) -> None:
    with simulated_instrument() as instrument, Outbox(tmp_path / "outbox.sqlite"):
        sink = open_sink(f"serial://{instrument.port}?outbox={tmp_path / 'outbox.sqlite'}")
        with pytest.raises(EnvironmentMissing, match="in use by another program"):
            sink.open(session)


def test_where_the_outbox_of_a_port_is(state: Path) -> None:
    assert default_outbox("/dev/ttyS7") == state / "edge-wbc" / "outbox" / "ttyS7.sqlite"
    assert default_outbox("socket://lab:4000") == state / "edge-wbc" / "outbox" / "socket_lab_4000.sqlite"
    assert default_outbox("/dev/pts/3") is None
