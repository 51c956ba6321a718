"""The verb ``build``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.engines.engine_file import EngineGroup


@click.command()
@click.argument("graph", default="leukonet")
@click.option("--dla", type=click.IntRange(0, 1), metavar="CORE", help="Build for this DLA core, in FP16.")
@click.option("--json", "as_json", is_flag=True, help="Print the engine's part of its manifest as one JSON object.")
def build(graph: str, dla: int | None, as_json: bool) -> None:
    """Build the TensorRT engine of GRAPH, a .onnx file or a shipped model, for this machine; once.

    The engine has the graph's precision: give an FP16 or INT8 graph, as `edge-wbc calibrate` makes them.
    """
    from edge_wbc.manifest import load_model
    from export.engine import build as build_engine

    model = load_model(graph)
    with progress("building", 100) as advance:
        built = build_engine(model, dla, say, lambda done, what: advance(round(100 * done), what))
    group = built.group
    if as_json:
        print_json({"path": str(built.place.engine), "fresh": built.fresh, **group.model_dump(mode="json")})
    else:
        _table(group)
    say(f"{'wrote' if built.fresh else 'already there:'} {built.place.engine}")
    for name in group.unfused:
        say(f"on its own, not fused: {name}")
    engine = "tensorrt" if dla is None else f"tensorrt-dla{dla}"
    say(f"next: edge-wbc run SOURCE --model {graph} --engine {engine}")


def _table(group: EngineGroup) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{group.machine}, {group.precision}, batches {', '.join(map(str, group.batches))}")
    table.add_column("precision")
    table.add_column("layers", justify="right")
    for precision, count in group.layers.items():
        table.add_row(precision, str(count))
    Console().print(table)
