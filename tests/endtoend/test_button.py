"""An instrument's button starts and ends a session: the real command beside a simulated instrument."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

import pytest

SLIDE = "smear://?seed=1&cells=100000&fps=60&size=160x120"


@contextmanager
def instrument() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulated instrument with somebody at its button, and its port."""
    command = [sys.executable, "-m", "edge_wbc", "instrument", "simulate", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["port"]
        finally:
            process.terminate()


def happens(process: subprocess.Popen[str], event: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{event}\n")
    process.stdin.flush()


def session(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge_wbc", "run", SLIDE, "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"never said {words!r}")


@pytest.mark.parametrize(("first", "last"), [("button", "button"), ("sample_loaded", "sample_removed")])
def test_the_button_starts_and_ends_a_session(first: str, last: str) -> None:
    with instrument() as (machine, port), session("--to", f"serial://{port}?outbox=none", "--button") as running:
        wait_for(running, "waiting for the instrument's button")
        before = datetime.now(timezone.utc)
        happens(machine, "limit_switch")  # is told, and starts nothing
        wait_for(running, "instrument: limit switch")
        happens(machine, first)
        wait_for(running, f"instrument: {first.replace('_', ' ')}")
        assert machine.stdout is not None
        applied = [json.loads(machine.stdout.readline()) for _ in range(3)]
        happens(machine, last)
        summary = json.loads(running.communicate(timeout=20)[0])
    assert running.returncode == 0
    assert [line["type"] for line in applied] == ["applied"] * 3
    assert summary["frames"] >= 1
    told = summary["sinks"][f"serial://{port}?outbox=none"]
    assert (told["pending"], told["in_doubt"]) == (0, 0)
    assert before < datetime.now(timezone.utc)


def test_without_an_instrument_there_is_no_button() -> None:
    with session("--button") as running:
        errors = running.communicate(timeout=20)[1]
    assert running.returncode == 2
    assert errors.strip().splitlines()[-1] == (
        "edge-wbc: no output has a button; add the instrument by --to serial:///dev/ttyACM0"
    )
