"""``bench roofline``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edge_wbc.cli.common import print_json, say


@click.command()
@click.option("--model", default="leukonet-int8", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--batch", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the result, for `bench report`.")
@click.option("--smoke", is_flag=True, help="A few calls of each.")
@click.option("--json", "as_json", is_flag=True, help="Print every layer in one JSON object.")
def roofline(model: str, batch: int, threads: int, out: Path | None, smoke: bool, as_json: bool) -> int:
    """How near each layer of a graph on OpenVINO comes to what this machine can do.

    For boards that are not here, a predicted bound from published peaks.
    """
    from edge_wbc.bench.machine import identify, in_words
    from edge_wbc.bench.results import result, write
    from edge_wbc.bench.roofline import PUBLISHED, rows
    from edge_wbc.bench.roofline import roofline as measure
    from edge_wbc.bench.trust import Watch
    from edge_wbc.manifest import load_model

    loaded = load_model(model)
    watch = Watch()
    found = measure(loaded, batch, threads, 0.0 if smoke else 2.0)
    doubts, machine = watch.end(), identify()
    precision = {"fp16": "f16"}.get(loaded.manifest.graph.precision, loaded.manifest.graph.precision)
    predicted = {peaks.name: found.predicted_ms(peaks, precision) for peaks in PUBLISHED}
    if out is not None:
        settings: dict[str, str | int | float | None] = {"model": loaded.name, "batch": batch, "threads": threads}
        settings |= {f"peak {name}": rate for name, rate in found.peaks.macs_per_s.items()}
        settings |= {
            "bytes a second": found.peaks.bytes_per_s,
            "a call, ms": found.call_ms,
            "bound, ms": found.bound_ms,
        }
        settings |= {f"predicted bound, ms, {name}": ms for name, ms in predicted.items()}
        looks = (watch.before, watch.after)
        made = result(
            "roofline",
            smoke=smoke,
            machine=machine,
            looks=looks,
            settings=settings,
            rows=rows(found),
            doubts=doubts,
        )
        write(out, made)
    if as_json:
        layers = [{**asdict(layer), "bound_ms": layer.bound_ms(found.peaks)} for layer in found.layers]
        beside = {"bound_ms": found.bound_ms, "predicted_bound_ms": predicted, "doubts": list(map(asdict, doubts))}
        print_json({"machine": asdict(machine), **asdict(found), "layers": layers, **beside})
        return 0
    import sys

    from rich.console import Console
    from rich.table import Table

    peaks = found.peaks
    table = Table(title=f"{loaded.name}, batch {batch}, {threads} thread, OpenVINO")
    for column in ("layer", "kernel", "MMAC", "kB", "ms", "bound, ms", "by", "near"):
        table.add_column(column, justify="left" if column in ("layer", "kernel", "by") else "right")
    for layer in found.layers:
        bound = layer.bound_ms(peaks)
        near = f"{bound / layer.ms:.0%}" if layer.ms else "–"
        figures = (f"{layer.macs / 1e6:.2f}", f"{layer.bytes / 1e3:.0f}", f"{layer.ms:.3f}", f"{bound:.3f}")
        table.add_row(layer.name, layer.kernel, *figures, layer.bound_by(peaks), near)
    table.add_section()
    table.add_row("all others", "", "", "", f"{found.others_ms:.3f}")
    macs = sum(layer.macs for layer in found.layers)
    whole = (f"{macs / 1e6:.2f}", "", f"{found.call_ms:.3f}", f"{found.bound_ms:.3f}")
    table.add_row("a call", "", *whole, "", f"{found.bound_ms / found.call_ms:.0%}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    say(in_words(machine, watch.before))
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GMAC/s" for name, rate in peaks.macs_per_s.items())
    say(f"peaks measured: {rates}; {peaks.bytes_per_s / 1e9:.1f} GB/s for a copy as large as the graph's bytes,")
    say(f"  {found.memory_bytes_per_s / 1e9:.1f} GB/s beyond the caches, reading and writing counted, one thread")
    say("ms: OpenVINO's own count, median; a call: without the counting. kB: weights, inputs and outputs, each once")
    say("bound: the longer of MMAC at the peak and kB at the copy's rate; near: bound ÷ ms. A call's bound is the sum;")
    say("  layers without multiply-accumulates are not in it")
    for name, bound_ms in predicted.items():
        if bound_ms is not None:
            said = f"no call takes less than {bound_ms:.4f} ms on {name} in {precision}, by its"
            say(f"prediction, not measured: {said}")
            say("  published peaks; what starting each layer costs is not in it")
    for doubt in doubts:
        say(f"times may be off: {doubt.said}")
    return 0
