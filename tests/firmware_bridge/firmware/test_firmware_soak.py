"""The soak, short; and that it sees firmware that counts a result twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_bridge.schema import MessageType
from firmware_bridge.store import Doubt
from tests.firmware_bridge.firmware.bench import make, missing_tools, patched_copy
from tests.firmware_bridge.firmware.ledger import Boot, Ledger, Record, Shown, results, shown
from tests.firmware_bridge.firmware.test_firmware_rules import DEDUPE, LINK, NO_DEDUPE
from tests.firmware_bridge.firmware.trial import soak
from tests.firmware_bridge.firmware.wire import Faults

Build = Callable[..., Path]
ROOT = Path(__file__).parents[3]


def test_the_soak_runs_as_make_runs_it() -> None:
    if missing := missing_tools("microbit", "host"):
        pytest.skip(f"not installed: {', '.join(missing)}")
    command = [sys.executable, "-m", "tests.firmware_bridge.firmware.soak", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "microbit" in done.stdout


def test_every_kind_of_fault_and_event_happens(build: Build) -> None:
    done = soak("host", build("host"), 1000, seed=3, between=60)
    assert done.results == 1000
    assert all(done.done[kind] for kind in ("flip", "drop", "double", "delay", "unplug", "reset", "hang", "kill"))


def test_firmware_that_applies_twice_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.firmware_bridge.firmware.trial.STALLED_S", 3.0)
    if missing := missing_tools("host"):
        pytest.skip(f"not installed: {', '.join(missing)}")
    source = patched_copy(tmp_path, LINK, DEDUPE, NO_DEDUPE)
    make(tmp_path / "build", "host", source=source)
    with pytest.raises(AssertionError):
        soak("host", tmp_path / "build", 300, seed=4, wire=Faults(drop=0.02, double=0.2, delay=0.05))


def boot(number: int, start: int, count: int, flagged: int = 0) -> Boot:
    """A board that forgets has applied so many results behind ``start``, the first of them flagged."""
    ledger = Ledger()
    ledger.add(replace(result, redelivered=n < flagged) for n, result in enumerate(results(count, start)))
    return Boot(number, start, Record(number, count, count, ledger.chain, dict(ledger.counts), ()))


def doubts(*positions: int, boot_after: int = 2) -> list[Doubt]:
    return [Doubt(position, MessageType.CELL_RESULT, b"", True, 1, boot_after, 0) for position in positions]


def test_what_a_board_that_forgets_doubled_is_in_doubt_or_hidden() -> None:
    boots = [boot(1, 0, 5), boot(2, 3, 4, flagged=3)]
    assert shown(7, boots, doubts(4, 5, 6)) == Shown(boots=2, in_doubt=3, doubled=2, lost=0, hidden=0)
    assert shown(8, boots, doubts(4, 5, 6)).hidden == 1, "the last one was lost"
    assert shown(7, [boot(1, 0, 5), boot(2, 3, 4)], []).hidden == 2
    with pytest.raises(AssertionError):
        shown(7, [boot(1, 0, 5), boot(2, 3, 4, flagged=1)], doubts(4, 5, 6))


def test_a_board_that_forgets_hides_nothing(build: Build, tmp_path: Path) -> None:
    build("host")
    make(tmp_path, "STORE=ram", "host")
    seen = soak("host", tmp_path, 1000, seed=5, between=60).shown
    assert seen is not None
    assert seen.boots > 1
    assert seen.in_doubt >= seen.doubled
    assert (seen.lost, seen.hidden) == (0, 0)


def test_a_host_that_hides_its_doubts_is_seen(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.firmware_bridge.firmware.trial.read_doubts", lambda *_: [])
    build("host")
    make(tmp_path, "STORE=ram", "host")
    with pytest.raises(AssertionError):
        soak("host", tmp_path, 1000, seed=5, between=60)
