"""The C decoder and receiver under any bytes, with sanitizers. More: `make fuzz`, then run build/host/fuzz."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware_bridge.firmware.bench import make, patched_copy
from tests.firmware_bridge.firmware.test_firmware_rules import (
    CONTROL,
    DEADLINE,
    DEDUPE,
    EVENT_NUMBER,
    HELD_BACK,
    LINK,
    NO_DEDUPE,
    ONCE,
    STOP,
)

Build = Callable[..., Path]

SECONDS = 8


def fuzz(folder: Path, corpus: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "host" / "fuzz"), f"-max_total_time={seconds}", "-seed=1", "-max_len=1024"]
    # Not by resident memory: the system counts the peak of whoever started it, 2 GB of pytest after the whole suite.
    command += ["-rss_limit_mb=0", "-malloc_limit_mb=64"]
    corpus.mkdir()
    command += [f"-artifact_prefix={corpus.parent}/", "-print_final_stats=1", str(corpus)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace")


def test_fuzzing_finds_nothing(build: Build, tmp_path: Path) -> None:
    done = fuzz(build("fuzz"), tmp_path / "corpus", SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None
    assert int(runs.group(1)) > 1000


@pytest.mark.parametrize(
    ("path", "rule", "without"),
    [
        pytest.param(LINK, DEDUPE, NO_DEDUPE, id="dedupe"),
        pytest.param(LINK, DEDUPE, DEDUPE.replace("ahead > 1", "ahead > 0x40000000ul"), id="gap"),
        pytest.param(CONTROL, ONCE, "if (true) {", id="command once"),
        pytest.param(CONTROL, HELD_BACK, "if (false) {", id="command held back"),
        pytest.param(CONTROL, DEADLINE, "if (false) {", id="deadline"),
        pytest.param(CONTROL, *STOP, id="stop"),
        pytest.param(CONTROL, EVENT_NUMBER, "if (true) {", id="event's number"),
    ],
)
def test_fuzzing_finds_a_rule_taken_out(build: Build, tmp_path: Path, path: str, rule: str, without: str) -> None:
    build("fuzz")
    make(tmp_path / "build", "fuzz", source=patched_copy(tmp_path, path, rule, without))
    assert fuzz(tmp_path / "build", tmp_path / "corpus", 40).returncode != 0
