"""The pipeline beside the loop most people write: same frames, same run, each in a process of its own, in turn.

The loop runs as people write it, ONNX Runtime on the f32 graph, and with our graph and engine in it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_wbc.bench.instrument import simulated_instrument
from edge_wbc.errors import EnvironmentMissing
from edge_wbc.manifest import Model, load_model

PIPELINE = "pipeline"
LOOPS = {"loop, 1 thread": 1, "loop, default": 0}
"""Name → ONNX Runtime threads, 0 for as many as it takes by default."""
ENGINE_LOOPS = {"loop, our engine, 1 thread": 1, "loop, our engine, default": 0}
"""The same with the pipeline's graph and engine."""


@dataclass(frozen=True, slots=True)
class Run:
    """One program over all frames once."""

    frames: int
    cells: int
    seconds: float
    applied: int
    """Results the instrument applied."""

    @property
    def fps(self) -> float:
        return self.frames / self.seconds


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rounds of one program, beside the pipeline in the same rounds."""

    name: str
    fps: float
    """Median over the rounds, with the least and the greatest."""
    fps_range: tuple[float, float]
    ratio: float | None
    """Median over the rounds of pipeline ÷ this, both from the same round; None for the pipeline itself."""
    ratio_range: tuple[float, float] | None
    cells: int
    applied: int


def lay_out(frames: Sequence[Path], folder: Path, repeat: int) -> int:
    """Fill a folder with links to the frames, each ``repeat`` times, so that a run lasts seconds. Returns how many."""
    names = [(f"{turn:03d}_{i:05d}{path.suffix}", path) for turn in range(repeat) for i, path in enumerate(frames)]
    for name, path in names:
        (folder / name).symlink_to(path.resolve())
    return len(names)


def in_f32(model: Model) -> Model:
    """The f32 graph that an INT8 or FP16 graph was made of, where it lies beside it; else the same.

    :raises ModelError: it can't be used.
    """
    graph = model.graph.with_stem(model.graph.stem.removesuffix(f"-{model.manifest.graph.precision}"))
    return load_model(str(graph)) if graph.exists() else model


def plain_graph(model: Model, out: Path) -> None:
    """Write the graph the loop runs.

    :raises EnvironmentMissing: onnx is not installed.
    """
    command = [sys.executable, "-m", "export.plain", str(model.graph), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EnvironmentMissing(f"the loop's graph can't be made ({last}); pip install 'edge-wbc[export]'")


def run_rounds(
    folder: Path, model: Model, plain: Path, rounds: int, engine: str, progress: Callable[[int], None]
) -> dict[str, list[Run]]:
    """Every program once a round, the order turned by one from round to round so that drift hits all alike."""
    programs: dict[str, Callable[[], Run]] = {
        PIPELINE: lambda: _pipeline(folder, model, engine),
        **{
            name: _loop(["edge_wbc.bench.naive_loop", str(folder), str(plain)], [str(threads)])
            for name, threads in LOOPS.items()
        },
        **{
            name: _loop(["edge_wbc.bench.engine_loop", str(folder), str(model.graph)], [str(threads), engine])
            for name, threads in ENGINE_LOOPS.items()
        },
    }
    names = list(programs)
    results: dict[str, list[Run]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(programs[name]())
            progress(sum(map(len, results.values())))
    return results


def compare(results: dict[str, list[Run]]) -> list[Comparison]:
    """One line a program."""
    comparisons = []
    for name, runs in results.items():
        rates = [run.fps for run in runs]
        ratios = [ours.fps / theirs.fps for ours, theirs in zip(results[PIPELINE], runs, strict=True)]
        beside = name != PIPELINE
        comparisons.append(
            Comparison(
                name,
                statistics.median(rates),
                (min(rates), max(rates)),
                statistics.median(ratios) if beside else None,
                (min(ratios), max(ratios)) if beside else None,
                runs[0].cells,
                min(run.applied for run in runs),
            )
        )
    return comparisons


def _pipeline(folder: Path, model: Model, engine: str) -> Run:
    with simulated_instrument() as instrument:
        to = f"serial://{instrument.port}"
        arguments = ["run", str(folder), "--model", str(model.graph), "--engine", engine, "--to", to, "--json"]
        arguments.append("--no-record")  # the loop keeps nothing either
        printed = _run([sys.executable, "-m", "edge_wbc", *arguments])
        return Run(printed["frames"], printed["cells"], printed["seconds"], instrument.stop()["applied"])


def _loop(before: Sequence[str], after: Sequence[str]) -> Callable[[], Run]:
    """:param before: module and arguments up to the port, and ``after`` it."""

    def run() -> Run:
        with simulated_instrument() as instrument:
            printed = _run([sys.executable, "-m", *before, instrument.port, *after])
            return Run(printed["frames"], printed["cells"], printed["seconds"], instrument.stop()["applied"])

    return run


def _run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EnvironmentMissing(f"`{' '.join(command[2:5])} …` failed ({last}); run it by hand to see why")
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed
