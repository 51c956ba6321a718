"""The verb ``calibrate``: a graph of lower precision from an fp32 model, or one held against what TensorRT takes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge_wbc.cli.common import print_json, say
from edge_wbc.errors import EnvironmentMissing


@click.command()
@click.argument("model", default="leukonet")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled cells, laid out as for training.")
@click.option("--frames", type=click.Path(path_type=Path), help="Whole frames without labels, in place of --data.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What is written.  [default: MODEL with -int8.onnx, -fp16.onnx or .cache]",
)
@click.option("--count", type=click.IntRange(1), default=512, show_default=True, help="Crops to calibrate on.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--precision", type=click.Choice(["int8", "fp16"]), default="int8", show_default=True)
@click.option("--method", help="minmax, percentile, mse or entropy.  [default: the best of them by the gate]")
@click.option("--sensitivity", is_flag=True, help="Say layer by layer what floating point would gain.")
@click.option("--auto-mixed", is_flag=True, help="Leave as few layers in floating point as the gate needs.")
@click.option("--peers", is_flag=True, help="Show what other tools' INT8 graphs of the same crops lose.")
@click.option("--force", is_flag=True, help="Write a graph that fails the gate, too; its manifest says so.")
@click.option(
    "--cache", metavar="VERSION", help="Write the calibration cache of this TensorRT, such as 10.3.0, and no graph."
)
@click.option(
    "--lint",
    "graph",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="GRAPH",
    help="Only say what TensorRT would refuse in this .onnx file, whoever made it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def calibrate(graph: Path | None, as_json: bool, **options: Any) -> int:
    """Turn MODEL, an fp32 graph or a shipped model, into an INT8 graph that TensorRT fuses, and judge what it lost.

    Fails where a class loses too much, or where --lint finds something that TensorRT would refuse.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise EnvironmentMissing("calibrate needs onnx; pip install 'edge-wbc[export]'") from None
    if graph is not None:
        return _lint(graph, as_json)
    from calibration.run import Order, run

    return run(Order(as_json=as_json, **options))


def _lint(graph: Path, as_json: bool) -> int:
    from calibration.lint import lint
    from calibration.show import findings_table
    from calibration.view import DEQUANTIZE, QUANTIZE, View, read_graph

    model = read_graph(graph)
    found = lint(model)
    nodes = len(View(model).of_type(QUANTIZE, DEQUANTIZE))
    refused = sum(finding.refused for finding in found)
    if as_json:
        print_json({"graph": str(graph), "qdq_nodes": nodes, "findings": [asdict(finding) for finding in found]})
    elif found:
        findings_table(found)
    kind = f"{nodes} Q/DQ nodes" if nodes else "not quantised"
    say(f"{graph}: {kind}; {refused} findings that TensorRT refuses, {len(found) - refused} that cost speed")
    say("rules from documentation and issues, each with its source; TensorRT itself was not run")
    return 1 if refused else 0
