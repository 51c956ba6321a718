"""A session as a process of its own: how soon its first result is there, and how much memory it takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from edge_wbc.bench.results import Accuracy, Row, measured
from edge_wbc.bench.statistics import time_interval
from edge_wbc.bench.tree import Tree
from edge_wbc.errors import EdgeWbcError, EnvironmentMissing
from edge_wbc.manifest import Model

COLD_START, MEMORY, HELP = "cold start", "peak memory", "--help"
MOST = "at most"
"""In ``Row.told``, a bar."""
MOST_RESIDENT_MB = 180.0
MOST_HELP_MS = 80.0
GROWS = 0.25, 0.9
"""Between which parts of the frames growth is looked at; near the end the pipeline runs empty."""
EVERY = 8
"""Frames between two looks at the memory."""


@dataclass(frozen=True, slots=True)
class Start:
    """One session in a process of its own."""

    first_ns: int
    """From before the process was started to its first line of JSONL, which comes with the first frame's result."""
    peak_mb: float | None
    """Most that was resident; None where the system does not tell."""
    growth_mb: float | None


def start(command: Sequence[str], frames: int) -> Start:
    """Run a session that writes JSONL to standard output.

    :param frames: that it will tell of.
    :raises EnvironmentMissing: it failed.
    """
    began_ns = time.monotonic_ns()
    first_ns, seen = 0, 0
    peak_mb = early_mb = late_mb = None
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            first_ns = first_ns or time.monotonic_ns() - began_ns
            seen += line.startswith(b'{"type":"frame"')
            if seen % EVERY:
                continue
            now_mb = _memory_mb(process.pid, "VmRSS")
            if now_mb is not None:
                peak_mb = _memory_mb(process.pid, "VmHWM") or peak_mb
                early_mb = now_mb if seen <= GROWS[0] * frames else early_mb
                late_mb = now_mb if seen <= GROWS[1] * frames else late_mb
        last = process.stderr.read().decode(errors="replace").strip().splitlines()
    if process.returncode or not first_ns:
        raise EnvironmentMissing(f"`{' '.join(command[2:4])} …` failed ({last[-1] if last else 'no reason given'})")
    growth_mb = None if early_mb is None or late_mb is None else late_mb - early_mb
    return Start(first_ns, peak_mb, growth_mb)


def session_rows(
    folder: Path, frames: int, model: Model, engine: str, accuracy: Accuracy | None, told: dict[str, str], runs: int
) -> list[Row]:
    """Two rows of so many sessions over a folder of images, one after the other: first result, and memory.

    :param told: model and engine, as they stand in ``Row.what``.
    """
    program = [sys.executable, "-m", "edge_wbc", "run", str(folder), "--mode", "field", "--no-record"]
    command = [*program, "--model", str(model.graph), "--engine", engine, "--to", "jsonl:/dev/stdout"]
    found: list[Start] = []
    error = ""
    try:
        for _ in range(runs):
            found.append(start(command, frames))
    except EdgeWbcError as failed:
        error = str(failed)
    cold, memory = (f"{told['model']}, {told['engine']}, {name}" for name in (COLD_START, MEMORY))
    whats = {"scenario": COLD_START, "to": "first result", **told}, {"scenario": MEMORY, "to": "end", **told}
    samples = [[one.first_ns] for one in found]
    first = replace(measured(cold, whats[0], samples, accuracy=accuracy, error=error), throughput=None)
    peaks = tuple(one.peak_mb for one in found if one.peak_mb is not None)
    grew = [one.growth_mb for one in found if one.growth_mb is not None]
    if not peaks:
        error = error or "the system does not tell a process's memory"
        return [first, Row(memory, whats[1], "MB", "lower", error=error)]
    figures = {MOST: MOST_RESIDENT_MB, **({"growth": median(grew), "largest growth": max(grew)} if grew else {})}
    middle = time_interval(peaks)
    return [first, Row(memory, whats[1], "MB", "lower", peaks, middle, told=figures, accuracy=accuracy, error=error)]


def help_row(runs: int, command: Callable[[], list[str]] = lambda: [sys.executable, "-m", "edge_wbc", "--help"]) -> Row:
    """What ``edge-wbc --help`` takes as a process, by the clock on the wall."""
    taken = []
    error = ""
    for _ in range(runs):
        began = time.monotonic_ns()
        done = subprocess.run(command(), stdin=subprocess.DEVNULL, capture_output=True, check=False)
        taken.append([time.monotonic_ns() - began])
        if done.returncode:
            error = f"exit code {done.returncode}; run `edge-wbc --help` to see why"
            break
    row = measured(HELP, {"scenario": HELP, "to": "end", "model": "–", "engine": "–"}, taken, error=error)
    return replace(row, throughput=None, told={MOST: MOST_HELP_MS})


def _memory_mb(process: int, what: str) -> float | None:
    """A figure of the kernel's, in MB of 10⁶ bytes."""
    text = dict(Tree().lines(what, f"proc/{process}/status", ":")).get(what, "").removesuffix("kB").strip()
    return 1024 * int(text) / 1e6 if text.isdigit() else None
