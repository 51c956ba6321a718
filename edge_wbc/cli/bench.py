"""The verb ``bench``."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.bench_bound import bound
from edge_wbc.cli.bench_compare import compare
from edge_wbc.cli.bench_counting import counting
from edge_wbc.cli.bench_endurance import endurance
from edge_wbc.cli.bench_engine import engine
from edge_wbc.cli.bench_pipeline import pipeline
from edge_wbc.cli.bench_report import report
from edge_wbc.cli.bench_roofline import roofline
from edge_wbc.cli.bench_self_check import self_check
from edge_wbc.cli.bench_viewers import viewers
from edge_wbc.cli.common import print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.beside_loop import Comparison

FRAMES_A_RUN = 1440
FRAMES_IN_MEMORY = 120
"""Of ``bench live``: 330 MB at 1280×720."""


@click.group(invoke_without_command=True)
@click.option(
    "--frames", type=click.Path(path_type=Path, file_okay=False), help="Folder of frames.  [default: a simulated slide]"
)
@click.option("--model", default="leukonet", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--engine", default="auto", show_default=True, help="The pipeline's engine.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--smoke", is_flag=True, help="One short round, to see that everything works.")
@click.option("--json", "as_json", is_flag=True, help="Print everything measured as one JSON object.")
@click.pass_context
def bench(
    context: click.Context, frames: Path | None, model: str, engine: str, rounds: int, smoke: bool, as_json: bool
) -> int:
    """Measure the pipeline beside the loop most people write, both doing the whole job, or what a command names.

    Read, locate, crop, classify, deliver to a simulated instrument; the same frames, in turn, in one run. The loop runs
    in ONNX Runtime on the f32 graph, as people write it, and once more with our graph and engine.
    """
    if context.invoked_subcommand is not None:
        return 0
    from edge_wbc.bench.beside_loop import compare as compare_programs
    from edge_wbc.bench.beside_loop import in_f32, lay_out, plain_graph, run_rounds
    from edge_wbc.bench.machine import identify, in_words, look
    from edge_wbc.engines.base import engine_name
    from edge_wbc.manifest import load_model
    from edge_wbc.sources.files import open_images

    if frames is None:
        given, what = [], "simulated fields"
    else:
        given, what = list(open_images([frames]).paths), f"frames of {frames}"
    loaded = load_model(model)
    engine = engine_name(engine)
    rounds = 1 if smoke else rounds
    machine, before = identify(), look()
    with tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as scratch:
        links, drawn = Path(scratch, "frames"), Path(scratch, "drawn")
        links.mkdir()
        given = given or _draw_fields(drawn)
        repeat = 1 if smoke else max(1, -(-FRAMES_A_RUN // len(given)))
        count = lay_out(given[:24] if smoke else given, links, repeat)
        plain, people = Path(scratch, "plain.onnx"), in_f32(loaded)
        plain_graph(people, plain)
        with progress("rounds", 5 * rounds) as advance:
            results = run_rounds(links, loaded, plain, rounds, engine, advance)
    lines = compare_programs(results)
    if as_json:
        runs = {name: [asdict(run) for run in several] for name, several in results.items()}
        comparisons = [asdict(line) for line in lines]
        where = {"machine": asdict(machine), "before": asdict(before)}
        print_json({**where, "frames": count, "engine": engine, "rounds": runs, "comparisons": comparisons})
    else:
        _table(lines, f"{count} {what}, {loaded.name}, {rounds} rounds")
        say(in_words(machine, before))
        say(
            f"pipeline and our engine: {engine}, precision hint f32. loop: ONNX Runtime, {people.name}, one call a cell"
        )
        say("frames/s: median of the rounds. ratio: pipeline ÷ this, median of the ratios within each round")
    lost = [line for line in lines if line.applied != line.cells]
    for line in lost:
        say(f"edge-wbc: {line.name}: the instrument applied {line.applied} of {line.cells} results")
    return 1 if lost else 0


bench.add_command(bound)
bench.add_command(compare)
bench.add_command(counting)
bench.add_command(endurance)
bench.add_command(engine)
bench.add_command(pipeline)
bench.add_command(report)
bench.add_command(roofline)
bench.add_command(self_check)
bench.add_command(viewers)


@bench.command()
@click.option("--frames", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [default: simulated fields]")
@click.option("--model", default="leukonet-int8", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--size", default="1280x720", show_default=True, help="Of a frame.")
@click.option("--fps", type=click.FloatRange(1, 1000), default=60.0, show_default=True)
@click.option(
    "--mode",
    type=click.Choice(["field", "slide"]),
    default="field",
    show_default=True,
    help="slide: the frames follow a stage that drives on and back, and are tracked.",
)
@click.option("--seconds", type=click.FloatRange(1), default=20.0, show_default=True)
@click.option("--smoke", is_flag=True, help="One second.")
@click.option("--json", "as_json", is_flag=True)
def live(
    frames: Path | None,
    model: str,
    engine: str,
    size: str,
    fps: float,
    mode: str,
    seconds: float,
    smoke: bool,
    as_json: bool,
) -> int:
    """How old frames of a fast camera are when they are decided; frames come from memory at a fixed rate.

    Exit code 1: the age's p99 is more than two frame periods beyond the engine's own time (not judged with --smoke),
    or a frame is missing.
    """
    import cv2

    from edge_wbc.bench.drawn import draw
    from edge_wbc.bench.live import MOST_PERIODS, measure
    from edge_wbc.cli.session import new_session
    from edge_wbc.engines.base import open_engine, usable_processors
    from edge_wbc.manifest import load_model
    from edge_wbc.sources.files import open_images
    from edge_wbc.uri import width_and_height

    wanted = width_and_height(size)
    if wanted is None:
        raise click.UsageError(f"--size {size!r} is not WIDTHxHEIGHT; write for example 1280x720")
    with tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as scratch:
        drawn = Path(scratch, "drawn")
        if frames is not None:
            paths = list(open_images([frames]).paths)
        elif mode == "slide":
            paths = draw(f"smear://?seed=1&cells=60&path=wander&size={size}", drawn, 24 if smoke else FRAMES_IN_MEMORY)
        else:
            paths = _draw_fields(drawn)
        pictures = [picture for path in paths[:FRAMES_IN_MEMORY] if (picture := cv2.imread(str(path))) is not None]
    if not pictures:
        raise click.UsageError(f"no frame of {frames} can be read")
    loaded = open_engine(engine, load_model(model), usable_processors())
    try:
        session = new_session("memory:", mode, loaded)
        seconds = 1.0 if smoke else seconds
        found = measure(pictures, loaded, session, size=wanted, fps=fps, seconds=seconds)
    finally:
        loaded.close()
    code = 0 if found.passed or (smoke and not found.silent) else 1
    if as_json:
        figures = {"beyond_periods": found.beyond_periods, "silent": found.silent, "passed": found.passed}
        named = {"size": size, "mode": mode, "engine": session.engine, "model": session.model}
        print_json({**asdict(found), **figures, **named})
        return code
    ages = ", ".join(f"{name} {value:.1f} ms" for name, value in found.age_ms.items())
    say(f"{size} at {fps:g} frames/s, mode {mode}, {session.model} on {session.engine}")
    say(f"{seconds:g} s after one to warm up")
    say(f"{found.given} frames given: {found.decided} decided, {found.dropped} dropped, {found.silent} unaccounted for")
    say(f"age of a frame when decided: {ages}; the engine's own time p50 {found.engine_ms['p50']:.1f} ms")
    beyond = f"{found.beyond_periods:.2f} frame periods of {found.period_ms:.1f} ms"
    say(f"p99 is {beyond} beyond it; at most {MOST_PERIODS:g}")
    return code


def _draw_fields(folder: Path) -> list[Path]:
    from edge_wbc.bench.drawn import draw

    return draw("smear://?seed=1&cells=120", folder)


def _table(lines: list[Comparison], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in ("", "frames/s", "range", "ratio", "range", "applied of cells"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for line in lines:
        low, high = line.fps_range
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        ratios = "" if line.ratio_range is None else f"{line.ratio_range[0]:.2f}–{line.ratio_range[1]:.2f}"
        row = (line.name, f"{line.fps:.0f}", f"{low:.0f}–{high:.0f}", ratio, ratios, f"{line.applied}/{line.cells}")
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 110).print(table)
