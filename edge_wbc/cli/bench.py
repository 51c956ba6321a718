"""The verb ``bench``."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.compare import Comparison

FRAMES_A_RUN = 1440


@click.command()
@click.option(
    "--frames", type=click.Path(path_type=Path, file_okay=False), help="Folder of frames.  [default: a simulated slide]"
)
@click.option("--model", default="leukonet", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--engine", default="auto", show_default=True, help="The pipeline's engine.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--smoke", is_flag=True, help="One short round, to see that everything works.")
@click.option("--json", "as_json", is_flag=True, help="Print everything measured as one JSON object.")
def bench(frames: Path | None, model: str, engine: str, rounds: int, smoke: bool, as_json: bool) -> int:
    """Measure the pipeline beside the loop most people write, both doing the whole job.

    Read, locate, crop, classify in f32, deliver to a simulated instrument; the same frames, in turn, in one run.
    """
    from edge_wbc.bench.compare import compare, lay_out, machine, plain_graph, run_rounds
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
    before = machine()
    with tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as scratch:
        links, drawn = Path(scratch, "frames"), Path(scratch, "drawn")
        links.mkdir()
        given = given or _draw_fields(drawn)
        repeat = 1 if smoke else max(1, -(-FRAMES_A_RUN // len(given)))
        count = lay_out(given[:24] if smoke else given, links, repeat)
        plain = Path(scratch, "plain.onnx")
        plain_graph(loaded, plain)
        with progress("rounds", 3 * rounds) as advance:
            results = run_rounds(links, loaded, plain, rounds, engine, advance)
    lines = compare(results)
    if as_json:
        runs = {name: [asdict(run) for run in several] for name, several in results.items()}
        comparisons = [asdict(line) for line in lines]
        print_json({"machine": before, "frames": count, "engine": engine, "rounds": runs, "comparisons": comparisons})
    else:
        _table(lines, f"{count} {what}, {loaded.name}, {rounds} rounds")
        say(f"{before['processor']}, {before['processors']} processors, load {before['load_before']:.1f} at the start")
        say(f"pipeline: {engine}, precision hint f32. loop: ONNX Runtime, f32 graph, one call a cell")
        say("frames/s: median of the rounds. ratio: pipeline ÷ this, median of the ratios within each round")
    lost = [line for line in lines if line.applied != line.cells]
    for line in lost:
        say(f"edge-wbc: {line.name}: the instrument applied {line.applied} of {line.cells} results")
    return 1 if lost else 0


def _draw_fields(folder: Path) -> list[Path]:
    """Simulated fields as JPEG files, as a camera's software would leave them."""
    import cv2

    from edge_wbc.sources.base import open_source
    from edge_wbc.types import Frame

    folder.mkdir()
    paths = []
    for frame in open_source("smear://?seed=1&cells=120").frames():
        if isinstance(frame, Frame):
            paths.append(folder / f"{frame.index:04d}.jpg")
            cv2.imwrite(str(paths[-1]), frame.pixels)
    return paths


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
    Console().print(table)
