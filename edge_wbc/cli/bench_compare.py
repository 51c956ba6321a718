"""``bench compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, say
from edge_wbc.errors import InputRefused

if TYPE_CHECKING:
    from edge_wbc.bench.compare import Line


@click.command()
@click.argument("a", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("b", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--threshold", type=click.FloatRange(0), default=5.0, show_default=True, help="Per cent.")
@click.option("--anyway", is_flag=True, help="Compare results of different machines or settings.")
@click.option("--json", "as_json", is_flag=True)
def compare(a: Path, b: Path, threshold: float, anyway: bool, as_json: bool) -> int:
    """What is slower in B than in A, two files that a benchmark wrote with --out.

    Exit code 1: something is worse by more than the threshold and its interval leaves out 1, failed in B, or is no
    longer there. Two runs are not side by side: what else the machine did in one of them is in every ratio.
    """
    from edge_wbc.bench.compare import compare as compare_results
    from edge_wbc.bench.compare import differing
    from edge_wbc.bench.results import read

    first, second = read(a), read(b)
    differences = differing(first, second)
    if differences and not anyway:
        raise InputRefused(f"not to be compared: {'; '.join(differences)}; add --anyway to compare nevertheless")
    lines = compare_results(first, second)
    past = [line for line in lines if line.past(threshold / 100)]
    doubts = {"a": list(map(asdict, first.doubts)), "b": list(map(asdict, second.doubts))}
    software = {
        name: (first.software.get(name), second.software.get(name))
        for name in sorted({*first.software, *second.software})
        if first.software.get(name) != second.software.get(name)
    }
    if as_json:
        rows = [{**asdict(line), "past": line in past} for line in lines]
        beside = {"differing": differences, "software": software, "doubts": doubts}
        print_json({"lines": rows, **beside, "passed": not past})
        return 1 if past else 0
    _table(lines, past)
    say("ratio: above 1 is worse in B; medians of the rounds, with the 95 % interval of their ratio")
    say(f"worse, better: the interval leaves out 1; !: by more than {threshold:g} %, failed, or missing")
    for line in lines:
        if line.slower:
            say(f"{line.name}: slower in {line.slower}, medians")
    for said in differences:
        say(f"compared anyway: {said}")
    for name, (before, after) in software.items():
        say(f"{name}: {before or 'not there'} in A, {after or 'not there'} in B")
    for which, run in (("A", first), ("B", second)):
        for doubt in run.doubts:
            say(f"{which} may be off: {doubt.said}")
    return 1 if past else 0


def _table(lines: list[Line], past: list[Line]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("", "A", "B", "unit", "ratio", "95 %", "verdict"):
        table.add_column(column, justify="right" if column in ("A", "B", "ratio", "95 %") else "left")
    for line in lines:
        values = ("–" if value is None else f"{value:.4g}" for value in (line.a, line.b))
        ratio = "–" if line.ratio is None else f"{line.ratio.value:.3f}"
        interval = "–" if line.ratio is None else line.ratio.ends()
        table.add_row(line.name, *values, line.unit, ratio, interval, line.verdict + (" !" if line in past else ""))
    Console().print(table)
