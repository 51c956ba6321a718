"""``bench engine``."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import Advance, print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.results import Result, Row


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("leukonet", "leukonet-int8"),
    show_default=True,
    help="A shipped model, or a .onnx file; may be given again.",
)
@click.option("--engine", default="auto", show_default=True)
@click.option("--batch", "batches", type=click.IntRange(1, 64), multiple=True, default=(1, 8), show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of a processor's engine.")
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seconds", type=click.FloatRange(0), default=3.0, show_default=True, help="Of each, in all rounds.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="The same graph elsewhere.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the result, for `bench compare`.")
@click.option("--smoke", is_flag=True, help="One short round of the last model at the first batch size.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def engine(
    models: tuple[str, ...],
    engine: str,
    batches: tuple[int, ...],
    threads: int,
    rounds: int,
    seconds: float,
    peers: bool,
    out: Path | None,
    smoke: bool,
    as_json: bool,
) -> int:
    """The engine alone, by model, precision and batch size: crops in memory to probabilities in memory.

    In the same rounds, where they are installed: OpenVINO's benchmark_app, or trtexec beside TensorRT; a bare loop in
    OpenVINO and in ONNX Runtime. Exit code 1: something failed; its row says what.
    """
    from edge_wbc.bench.contenders import judge_of, of_model
    from edge_wbc.bench.engine_alone import LEAST_CALLS, WARM_UP_S, measure
    from edge_wbc.bench.machine import identify
    from edge_wbc.bench.results import result, to_json, write
    from edge_wbc.bench.trust import Watch, too_few
    from edge_wbc.engines.base import engine_name
    from edge_wbc.engines.openvino import computes_bf16
    from edge_wbc.manifest import load_model

    engine = engine_name(engine)
    loaded = [load_model(model) for model in models]
    if smoke:
        loaded, batches, rounds, seconds = loaded[-1:], batches[:1], 1, 0.0
    turn_s = seconds / rounds
    hints = ("f32", "bf16") if engine == "openvino" and computes_bf16() else ("f32",)
    watch = Watch()
    rows: list[Row] = []
    judges = [judge_of(model) for model in loaded]
    with progress("rounds", rounds * len(batches)) as advance:
        for number, batch in enumerate(batches):
            with ExitStack() as stack:
                contenders = [
                    contender
                    for model, judge in zip(loaded, judges, strict=True)
                    for contender in of_model(model, engine, batch, threads, hints, peers, judge)
                ]
                for contender in contenders:
                    stack.callback(contender.close)
                step = partial(_shifted, advance, number * rounds)
                rows += measure(contenders, rounds, turn_s, progress=step, done=watch.round)
    doubts = watch.end()
    settings: dict[str, str | int | float | None] = {
        "engine": engine,
        "threads": threads,
        "rounds": rounds,
        "seconds": seconds,
        "warm-up s": WARM_UP_S,
        "least calls": LEAST_CALLS,
        "garbage": "collected before each turn, not during it",
    }
    doubts += too_few(rounds, {row.name: row.summary.count for row in rows if row.summary})
    found = result(
        "engine",
        smoke=smoke,
        machine=identify(),
        looks=(watch.before, watch.after),
        settings=settings,
        rows=rows,
        doubts=doubts,
    )
    if out is not None:
        write(out, found)
    if as_json:
        print_json(to_json(found))
    else:
        _tables(found)
        if out is not None:
            say(f"wrote {out}; `edge-wbc bench compare {out} OTHER.json` holds another run against it")
    return 1 if any(row.error for row in rows) else 0


def _shifted(advance: Advance, by: int, done: int) -> None:
    advance(by + done)


def _tables(found: Result) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    from edge_wbc.bench.machine import in_words

    console = Console(width=None if sys.stdout.isatty() else 140)
    times = Table(title="Engines alone; ms a call")
    numbers = ("batch", "p50", "p90", "p95", "p99", "p99.9", "far out", "crops/s", "agree", "least recall", "mJ/crop")
    for column in ("model", "engine", "hint", *numbers):
        times.add_column(column, justify="right" if column in numbers else "left")
    for row in found.rows:
        times.add_row(*(row.what[name] for name in ("model", "engine", "hint", "batch")), *_figures(row))
    console.print(times)
    beside = Table(title="Beside others on the same graph, threads and hint; time of this ÷ time of that")
    for column in ("this", "that", "ratio", "95 %", "apart, µs", "quickest"):
        beside.add_column(column, justify="left" if column in ("this", "that") else "right")
    rows = {row.name: row for row in found.rows}
    for row in found.rows:
        for name, ratio in row.ratios.items():
            other = rows[name]
            if row.median is None or other.median is None:
                continue
            interval = "–" if ratio.low is None else f"{ratio.low:.3f}–{ratio.high:.3f}"
            apart = f"{1000 * (row.median.value - other.median.value):+.0f}"
            quickest = "–" if row.least is None or not other.least else f"{row.least / other.least:.3f}"
            beside.add_row(row.name, other.what["engine"], f"{ratio.value:.3f}", interval, apart, quickest)
    if beside.row_count:
        console.print(beside)
    settings = found.settings
    say(in_words(found.machine, found.before))
    say(f"{settings['threads']} thread, {settings['rounds']} rounds in turn, {settings['seconds']:g} s of each or more")
    say("p50 to p99.9: nearest rank of all calls, from crops in memory to probabilities in memory; –: too few calls")
    say("  to tell; a program that runs beside tells its median and no more. No CPU engine copies crops to a device")
    say("ratio: to a loop, call by call, interrupted calls taken again; to a program, medians of the same round")
    say("  apart: of the medians of the rounds. quickest: of the quickest call of all, which others disturb least")
    say("far out: calls more than 3 interquartile ranges above the third quartile; they are in every figure")
    say("crops/s: all crops ÷ the time of all calls. hint: what the engine computes in where the graph leaves it open")
    say("agree: of the 64 golden crops, named as ONNX Runtime names them on the same graph. least recall: of the")
    say("  class of them that is named rightly least. They are drawn: a wrong engine shows, accuracy does not")
    say("benchmark_app: request alone; ours and the loops also wrap the crops and take the answers out, in Python.")
    say("  Ours is compiled for one crop, and for any number for more; a fixed shape saves working it out in each call")
    for row in found.rows:
        if row.error:
            say(f"edge-wbc: {row.name}: {row.error}")
    for doubt in found.doubts:
        say(f"times may be off: {doubt.said}")


def _figures(row: Row) -> list[str]:
    from edge_wbc.bench.power import total_mw

    if row.summary is None:
        median = "failed" if row.median is None else f"{row.median.value:.3f}"
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
