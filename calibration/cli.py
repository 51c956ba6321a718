"""The verb ``calibrate``: in this version, hold a graph against what TensorRT takes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, say
from edge_wbc.errors import EnvironmentMissing

if TYPE_CHECKING:
    from calibration.lint import Finding


@click.command()
@click.option(
    "--lint",
    "graph",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="GRAPH",
    help="The .onnx file to look through; anyone's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def calibrate(graph: Path, as_json: bool) -> int:
    """Say what TensorRT would refuse in GRAPH, and what would keep it from fusing.

    Fails where something would be refused. Quantising graphs itself comes with a later version.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise EnvironmentMissing("calibrate needs onnx; pip install 'edge-wbc[export]'") from None
    from calibration.lint import lint
    from calibration.view import DEQUANTIZE, QUANTIZE, View, read_graph

    model = read_graph(graph)
    found = lint(model)
    pairs = len(View(model).of_type(QUANTIZE, DEQUANTIZE))
    refused = sum(finding.refused for finding in found)
    if as_json:
        print_json({"graph": str(graph), "qdq_nodes": pairs, "findings": [asdict(finding) for finding in found]})
    elif found:
        _table(found)
    kind = f"{pairs} Q/DQ nodes" if pairs else "not quantised"
    say(f"{graph}: {kind}; {refused} findings that TensorRT refuses, {len(found) - refused} that cost speed")
    say("rules from documentation and issues, each with its source; TensorRT itself was not run")
    return 1 if refused else 0


def _table(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=False)
    for column in ("rule", "", "node", "what is wrong, what to do", "source"):
        table.add_column(column, overflow="fold")
    for finding in found:
        table.add_row(
            finding.rule, "refused" if finding.refused else "slower", finding.node, finding.text, finding.source
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
