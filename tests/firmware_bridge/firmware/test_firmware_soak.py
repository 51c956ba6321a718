"""The soak, short; and that it sees firmware that counts a result twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.bench import make, missing_tools, patched_copy
from tests.firmware_bridge.firmware.relay import Faults
from tests.firmware_bridge.firmware.soak import soak
from tests.firmware_bridge.firmware.test_firmware_rules import DEDUPE, LINK, NO_DEDUPE

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
    done = soak("host", build("host"), 1000, seed=3)
    assert done.results == 1000
    assert all(done.done[kind] for kind in ("flip", "drop", "double", "delay", "unplug", "reset", "hang", "kill"))


def test_firmware_that_applies_twice_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.firmware_bridge.firmware.soak.STALLED_S", 3.0)
    if missing := missing_tools("host"):
        pytest.skip(f"not installed: {', '.join(missing)}")
    source = patched_copy(tmp_path, LINK, DEDUPE, NO_DEDUPE)
    make(tmp_path / "build", "host", source=source)
    with pytest.raises(AssertionError):
        soak("host", tmp_path / "build", 300, seed=4, wire=Faults(drop=0.02, double=0.2, delay=0.05))
