"""The verb ``bench endurance``."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import asdict

import click

from edge_wbc.cli.common import print_json, progress, say


@click.command()
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=8.0, show_default=True)
@click.option("--fps", type=click.FloatRange(1, 1000), default=30.0, show_default=True, help="Of the camera.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--model", default="leukonet-int8", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--smoke", is_flag=True, help="A few hundred frames.")
@click.option("--json", "as_json", is_flag=True)
def endurance(hours: float, fps: float, seed: int, model: str, engine: str, smoke: bool, as_json: bool) -> int:
    """Hours of one session over a simulated slide, without the waiting: whether memory, files or threads grow.

    Exit code 1: memory grew by more than 2 % from the second quarter to the last, or files or threads did.
    """
    from edge_wbc.bench.endurance import FLAT, measure
    from edge_wbc.cli.session import new_session
    from edge_wbc.engines.base import open_engine, usable_processors
    from edge_wbc.manifest import load_model
    from edge_wbc.sinks.base import open_sink

    frames = 400 if smoke else max(400, round(hours * 3600 * fps))
    with (
        tempfile.TemporaryDirectory(prefix="edge-wbc-endurance-") as scratch,
        closing(open_engine(engine, load_model(model), max(1, usable_processors() - 1))) as loaded,
        progress("frames", frames) as advance,
    ):
        session = new_session("smear:", "slide", loaded)
        sinks = [open_sink(f"jsonl:{scratch}/cells.jsonl"), open_sink(f"csv:{scratch}/cells.csv")]
        found = measure(loaded, session, sinks, frames=frames, seed=seed, advance=advance)
    if as_json:
        print_json({**asdict(found), "growth": found.growth, "passed": found.passed, "fps": fps, "model": model})
        return 0 if found.passed or smoke else 1
    say(f"{found.frames} frames, {found.frames / fps / 3600:.2f} h at {fps:g} frames/s, seen in {found.seconds:.0f} s")
    say(f"{found.cells} cells counted, {session.model} on {session.engine}, to JSONL and CSV")
    memory = ", ".join(f"{mb:.1f}" for mb in found.resident_mb)
    say(f"resident memory by quarter, MB: {memory}; growth after the first {found.growth:+.1%}, at most {FLAT:.0%}")
    say(f"open files by quarter: {found.files}; threads: {found.threads}")
    return 0 if found.passed or smoke else 1
