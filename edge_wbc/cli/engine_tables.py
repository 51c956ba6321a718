"""What ``bench engine`` prints."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from edge_wbc.bench.machine import in_words
from edge_wbc.bench.power import total_mw
from edge_wbc.bench.results import Result, Row
from edge_wbc.bench.statistics import Interval
from edge_wbc.cli.common import say

MOSTLY = 0.8
"""From this share of a call on, a part is what bounds it."""
BOUNDS = {"enqueue": "the processor, which starts the GPU's work", "request": "computing, inside OpenVINO's request"}


def show(found: Result) -> None:
    """Tables on standard output; what their columns mean, and what speaks against them, on standard error."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    times = Table(title="Engines alone; ms a call")
    numbers = ("batch", "p50", "p90", "p95", "p99", "p99.9", "far out", "crops/s", "agree", "least recall", "mJ/crop")
    for column in ("model", "engine", "hint", *numbers):
        times.add_column(column, justify="right" if column in numbers else "left")
    for row in found.rows:
        times.add_row(*(row.what[name] for name in ("model", "engine", "hint", "batch")), *_figures(row))
    console.print(times)
    beside = Table(title="Beside others with the same threads and hint; time of this ÷ time of that")
    for column in ("this", "that", "ratio", "95 %", "apart, µs", "quickest", "request"):
        beside.add_column(column, justify="left" if column in ("this", "that") else "right")
    rows = {row.name: row for row in found.rows}
    for row in found.rows:
        for name, ratio in row.ratios.items():
            other = rows[name]
            if row.median is None or other.median is None:
                continue
            apart = f"{1000 * (row.median.value - other.median.value):+.0f}"
            that = other.what["engine" if other.what["model"] == row.what["model"] else "model"]
            more = (_both(row.further_ratios.get(kind, {}).get(name)) for kind in ("quickest", "request"))
            beside.add_row(row.name, that, f"{ratio.value:.3f}", ratio.ends(), apart, *more)
    if beside.row_count:
        console.print(beside)
    settings = found.settings
    say(in_words(found.machine, found.before))
    say(f"{settings['threads']} thread, {settings['rounds']} rounds in turn, {settings['seconds']:g} s of each or more")
    say(f"  and {settings['least calls']} calls, after {settings['warm-up s']} s; may run on {settings['affinity']}")
    say(f"  garbage: {settings['garbage']}")
    say("p50 to p99.9: nearest rank of all calls, from crops in memory to probabilities in memory; –: too few calls")
    say("  to tell; a program that runs beside tells its median and no more. No CPU engine copies crops to a device")
    say("ratio: to a loop on the same graph, call by call, interrupted calls taken again; to others, medians of the")
    say("  same round. request: of OpenVINO's request alone, the one span that benchmark_app tells")
    say("  apart: of the medians of the rounds. quickest: of the quickest call of each, which others disturb least")
    say("far out: calls more than 3 interquartile ranges above the third quartile; they are in every figure")
    say("crops/s: all crops ÷ the time of all calls. hint: what the engine computes in where the graph leaves it open")
    say("agree: of the 64 golden crops, named as ONNX Runtime names them on the same graph. least recall: of the")
    say("  class of them that is named rightly least. They are drawn: a wrong engine shows, accuracy does not")
    say("benchmark_app: request alone; ours and the loops also hand over crops and take the answers out, in Python.")
    say("  Ours is compiled for one crop, and for any number for more; a fixed shape saves working it out in each call")
    say("MobileNetV3-Small, ResNet-18: 224×224 pixels, weights drawn and not trained: their time, and no answers")
    for row in found.rows:
        if row.error or row.absent:
            say(f"edge-wbc: {row.name}: {row.error or row.absent}")
        if bound := _bound(row):
            say(f"{row.name}: {bound}")
    for doubt in found.doubts:
        say(f"times may be off: {doubt.said}")


def _both(ratio: Interval | None) -> str:
    return "–" if ratio is None else f"{ratio.value:.3f} ({ratio.ends()})"


def _bound(row: Row) -> str:
    """What bound an engine that tells of what a call is made."""
    typical = row.summary and row.summary.percentiles["p50"]
    for name, said in BOUNDS.items():
        part = row.parts.get(name)
        if typical and part is not None and (took := part.percentiles["p50"]) is not None:
            share = took / typical
            if share >= MOSTLY:
                return f"bound by {said}, {share:.0%} of a call"
    return "bound by what surrounds the engine's own work" if typical and row.parts else ""


def _figures(row: Row) -> list[str]:
    if row.summary is None:
        nothing = "absent" if row.absent else "failed"
        median = nothing if row.median is None else f"{row.median.value:.3f}"
        rate = "–" if row.throughput is None else f"{row.throughput:.0f}"
        return [median, *("–" for _ in range(5)), rate, "–", "–", "–"]
    percents = ("–" if value is None else f"{value:.3f}" for value in row.summary.percentiles.values())
    agree, recall = "–", "–"
    if row.accuracy is not None:
        agree = f"{row.accuracy.agreeing}"
        recall = f"{min(row.accuracy.recall.values()):.2f}"
    power = total_mw(row.power_mw)
    energy = "–" if power is None else f"{power * row.summary.mean / 1000 / int(row.what['batch']):.2f}"
    return [*percents, f"{row.summary.outliers}", f"{row.throughput:.0f}", agree, recall, energy]
