"""A process that reviews is killed, or its disk is full: what was told as saved is there, and the chain holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.review.chain import broken, rows, written
from edge_wbc.review.review import Review
from tests.conftest import ROOT

MOVING = """
import sys
from pathlib import Path
from edge_wbc.review import decide
from edge_wbc.review.review import Review
review = Review(Path(sys.argv[1]))
for i in range(10**6):
    to = ("monocyte", "basophil")[i % 2]
    row = decide.move(review, "ann", {1: review.class_of(1)}, to)
    print(row.number, flush=True)
"""


def harmed_at_each_write(faults: Path, folder: Path, how: str) -> list[dict[str, Any]]:
    script = str(Path(__file__).with_name("killed_reviewer.py"))
    done = subprocess.run(
        [sys.executable, script, str(faults), str(folder), how],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(faults), "OPENBLAS_NUM_THREADS": "1"},  # forks
    )
    assert (done.returncode, done.stderr) == (0, "")
    *steps, unharmed = [json.loads(line) for line in done.stdout.splitlines()]
    assert (unharmed["saved"], unharmed["rows"], unharmed["code"]) == (3, 3, 6)
    assert len(steps) > 30
    for step in steps:
        assert step["right"], step
        assert step["goes_on"], step
    assert {step["saved"] for step in steps} >= {0, 1, 2}, "at all stages"
    return steps


def test_killed_at_any_write_every_move_that_was_told_as_saved_is_there(
    faults: Path, review: Review, in_memory: Path
) -> None:
    folder = Path(shutil.copytree(review.folder, in_memory / review.folder.name))
    steps = harmed_at_each_write(faults, folder, "kill")
    assert {step["signal"] for step in steps} == {9}
    for step in steps:
        assert step["saved"] <= step["rows"] <= step["saved"] + 1, step


def test_on_a_full_disk_nothing_is_half_saved_and_it_says_so(faults: Path, review: Review, in_memory: Path) -> None:
    folder = Path(shutil.copytree(review.folder, in_memory / review.folder.name))
    steps = harmed_at_each_write(faults, folder, "fill")
    assert {step["signal"] for step in steps} == {0}
    for step in steps:
        assert step["rows"] == step["saved"], step
        assert step["code"] == (0 if step["saved"] == 3 else 5), step


@pytest.mark.parametrize("after", [1, 20, 50])
def test_a_process_killed_in_the_midst_of_moving_loses_none_that_it_has_told(review: Review, after: int) -> None:
    command = [sys.executable, "-c", MOVING, str(review.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout if line.endswith("\n")]
        assert process.wait(10) == -signal.SIGKILL
    found = rows(review.folder)
    assert told == list(range(1, len(told) + 1))
    assert len(told) <= len(found) <= len(told) + 1
    assert list(broken(written(review.folder), review.folder)) == []
    assert Review(review.folder).class_of(1) == ("basophil", "monocyte")[len(found) % 2]
