"""``bench self-check``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.self_check import Pair

SEED = 7
"""Of the simulated slide; how comparisons are made was settled on another."""


@click.command("self-check")
@click.option("--frames", type=click.Path(path_type=Path, file_okay=False), help="Folder.  [default: simulated fields]")
@click.option("--pairs", type=click.IntRange(1), default=100, show_default=True, help="Of each kind.")
@click.option("--smoke", is_flag=True, help="One pair of each kind; nothing is judged.")
@click.option("--json", "as_json", is_flag=True, help="Print every comparison in one JSON object.")
def self_check(frames: Path | None, pairs: int, smoke: bool, as_json: bool) -> int:
    """Whether a comparison on this machine can be believed.

    Equal stages are compared, and then stages of which one takes a tenth longer; each stage in turn. Exit code 1: a
    difference where there is none, or the slowed stage not named alone, in more than 5 of 100.
    """
    from edge_wbc.bench.machine import identify, in_words
    from edge_wbc.bench.self_check import LEAST_RIGHT, PLANTED, check, stages_of
    from edge_wbc.bench.side_by_side import LEAST_ROUNDS, MOST_ROUNDS, SMALLEST, WRONG
    from edge_wbc.bench.trust import Watch
    from edge_wbc.engines.base import open_engine
    from edge_wbc.manifest import load_model
    from edge_wbc.sources.base import open_source
    from edge_wbc.types import Frame

    source = open_source(f"smear://?seed={SEED}&cells=40" if frames is None else str(frames))
    pictures = [frame.pixels for frame, _ in zip(source.frames(), range(60), strict=False) if isinstance(frame, Frame)]
    pairs = 1 if smoke else pairs
    engine = open_engine("auto", load_model("leukonet-int8"), 1)
    try:
        stages, inputs = stages_of(pictures, engine)
        watch = Watch()
        with progress("comparisons", 2 * pairs) as advance:
            found = list(check(stages, inputs, pairs, LEAST_ROUNDS if smoke else MOST_ROUNDS, advance))
        doubts = watch.end()
    finally:
        engine.close()
    equal, slowed = ([pair for pair in found if bool(pair.planted) is kind] for kind in (False, True))
    right = {"equal": sum(pair.right for pair in equal), "slowed": sum(pair.right for pair in slowed)}
    passed = min(right.values()) >= LEAST_RIGHT * pairs
    if as_json:
        comparisons = [
            {"planted": pair.planted, "named": pair.named, "right": pair.right, "found": list(map(asdict, pair.found))}
            for pair in found
        ]
        figures = {"pairs": pairs, "right": right, "passed": passed, "comparisons": comparisons}
        print_json({"machine": asdict(identify()), "doubts": list(map(asdict, doubts)), **figures})
        return 0 if passed or smoke else 1
    _table(slowed, list(stages))
    say(in_words(identify(), watch.before))
    calls, interrupted = (sum(getattr(pair.taken, name) for pair in found) for name in ("calls", "interrupted"))
    say(f"{calls} calls, {interrupted} interrupted by another program and taken again")
    say(f"equal: none told to differ in {right['equal']} of {pairs}; at most {100 * WRONG:g} % are to be wrong")
    say(f"slowed: the stage that took {100 * PLANTED:g} % longer named, and no other, in {right['slowed']} of {pairs}")
    say(f"differ: the interval, so wide that all stages hold together, leaves out 1; by {100 * SMALLEST:g} % or more")
    for doubt in doubts:
        say(f"times may be off: {doubt.said}")
    return 0 if passed or smoke else 1


def _table(pairs: list[Pair], stages: list[str]) -> None:
    import statistics

    from rich.console import Console
    from rich.table import Table

    table = Table(title="Slowed stages: ratio as found, B ÷ A")
    for column in ("slowed", "pairs", "named alone", "median", "range"):
        table.add_column(column, justify="right" if column != "slowed" else "left")
    for stage in stages:
        own = [pair for pair in pairs if pair.planted == stage]
        ratios = [found.ratio.value for pair in own for found in pair.found if found.stage == stage]
        if ratios:
            spread = f"{min(ratios):.3f}–{max(ratios):.3f}"
            named = f"{sum(pair.right for pair in own)}"
            table.add_row(stage, str(len(own)), named, f"{statistics.median(ratios):.3f}", spread)
    Console().print(table)
