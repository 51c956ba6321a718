"""The result of ``bench pipeline`` for a person: tables, and under each what its figures are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from edge_wbc.bench.cold_start import MOST
from edge_wbc.bench.machine import in_words
from edge_wbc.bench.results import Result, Row
from edge_wbc.bench.tables import number
from edge_wbc.bench.trail import ORDER
from edge_wbc.bench.whole import MACHINE, PICTURES, TAIL, UNDELAYED, passed

ENDS = (
    "decided: from a frame's capture to its decision. acknowledged: from the capture to when the instrument's",
    "  acknowledgement was read, of each result; the instrument is simulated, behind a line of {baud} baud",
    "single-stream: one frame in flight; MLPerf reports its p90. offline: files, all there at once; frames/s counts",
    "¼, ½ of capacity: a camera at that share of offline's frames/s; a frame it replaces is dropped",
    "p50 to p99.9: ms, nearest rank of all frames or results; –: too few to tell",
    "p99 ÷ p50: its bar is 1.5 at ¼ of the capacity and 3 at ½. undelayed: without what a frame's threads could have",
    "  run and waited for a processor, as the kernel counts it; an engine's own threads are not asked. pictures: where",
    "  every frame takes what its picture took at its quickest. machine: of a busy loop as long as the quickest frame,",
    "  at the same rate in the same rounds, with nothing of ours beside it",
    "busiest: the stage in which at least one frame was for the longest part of the time, and that part; near 100 %",
    "  it bounds the pipeline. decode: read; locate: reduce, quality, locate; engine: crop to hand over; sink: sink",
    "  and the wait for the acknowledgement",
    "agree: of {crops} golden crops, named as ONNX Runtime names them on the same graph. {energy}",
)
PARTS = (
    "p50 / p99 of the time from capture to acknowledgement that a frame was in each stage, and that it waited:",
    "  looking: for the thread that locates; engine: for the engine's; batch: for other frames of its batch; sink: for",
    "  the sink's thread; acknowledgement: on the line. read: decoding, or from the camera's tick to its thread",
)
PROCESSES = (
    "cold start: from before the process is started to its first line of JSONL, with the first frame's result",
    "peak memory: most that was resident in a session over images, MB of 10⁶ bytes; growth: from a quarter to nine",
    "  tenths of its frames. Each {rounds} processes, median",
)


def tell(found: Result, say: Callable[[str], None]) -> None:
    """:param say: prints a line."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    runs = [row for row in found.rows if row.parts or (row.error and row.what["to"] in ("decided", "acknowledged"))]
    models = {
        model: [row for row in runs if row.what["model"] == model] for model in (row.what["model"] for row in runs)
    }
    for model, rows in models.items():
        console.print(_scenarios(rows, f"{model} on {rows[0].what['engine']}, by scenario; ms"))
    crops = next((row.accuracy.crops for row in runs if row.accuracy), 0)
    measured = any("mJ/cell" in row.told for row in runs)
    energy = "mJ/cell: of the whole board" if measured else "mJ/cell: this machine has no sensor of power"
    for line in ENDS:
        say(line.format(baud=found.settings["baud"], crops=crops, energy=energy))
    for model, rows in models.items():
        console.print(_parts(rows, f"{model}: where the time goes; ms, p50 / p99"))
    for line in PARTS:
        say(line)
    console.print(_processes([row for row in found.rows if row not in runs]))
    for line in PROCESSES:
        say(line.format(rounds=found.settings["rounds"]))
    say(in_words(found.machine, found.before))
    for row in found.rows:
        if row.error:
            say(f"edge-wbc: {row.name}: {row.error}")
    for doubt in found.doubts:
        say(f"times may be off: {doubt.said}")


def _scenarios(rows: Sequence[Row], title: str) -> Table:
    table = Table(title=title)
    words = ("scenario", "to")
    numbers = (
        "p50",
        "p90",
        "p99",
        "p99.9",
        TAIL,
        "",
        "undelayed",
        "pictures",
        "machine",
        "frames/s",
        "dropped",
        "busiest",
        "agree",
    )
    energy = any("mJ/cell" in row.told for row in rows)
    for column in (*words, *numbers, *(["mJ/cell"] if energy else [])):
        table.add_column(column, justify="left" if column in words else "right", no_wrap=column in words)
    for row in rows:
        told = row.told
        percents = ["–"] * 4
        if row.summary is not None:
            percents = [number(row.summary.percentiles[name], 2) for name in ("p50", "p90", "p99", "p99.9")]
        if row.error and row.median is None:
            percents[0] = "failed"
        busiest = f"{row.bound} {told[f'occupied {row.bound}']:.0%}" if row.bound else "–"
        table.add_row(
            *(row.what[name] for name in words),
            *percents,
            number(told.get(TAIL), 2),
            _verdict(row),
            *(number(told.get(name), 2) for name in (UNDELAYED, PICTURES, MACHINE)),
            number(row.median.value if row.median and row.unit == "frames/s" else told.get("frames/s"), 1),
            "–" if "dropped" not in told else f"{told['dropped']:.0f}/{told['given']:.0f}",
            busiest,
            f"{row.accuracy.agreeing}" if row.accuracy else "–",
            *([number(told.get("mJ/cell"), 2)] if energy else []),
        )
    return table


def _parts(rows: Sequence[Row], title: str) -> Table:
    rows = [row for row in rows if row.what["to"] == "acknowledged" and row.parts]
    table = Table(title=title)
    table.add_column("")
    for row in rows:
        table.add_column(row.what["scenario"], justify="right")
    for part in ORDER:
        if not any(part in row.parts for row in rows):
            continue
        cells = []
        for row in rows:
            found = row.parts.get(part)
            shown = [] if found is None else [number(found.percentiles[name], 2) for name in ("p50", "p99")]
            cells.append(" / ".join(shown))
        table.add_row(part, *cells)
    return table


def _processes(rows: Sequence[Row]) -> Table:
    table = Table(title="Processes of their own")
    for column in ("model", "", "median", "unit", "at most", "growth"):
        table.add_column(column, justify="left" if column in ("model", "", "unit") else "right")
    for row in rows:
        bar = f"{row.told[MOST]:g} {_verdict(row)}" if MOST in row.told else "–"
        value = number(row.median.value if row.median else None, 1)
        growth = number(row.told.get("growth"), 1)
        table.add_row(row.what["model"], row.what["scenario"], value, row.unit, bar, growth)
    return table


def _verdict(row: Row) -> str:
    kept = passed(row)
    return "" if kept is None else "pass" if kept else "FAIL"
