"""The verb ``calibrate``: an INT8 graph from an fp32 model, or a graph held against what TensorRT takes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.errors import EnvironmentMissing, UsageError

if TYPE_CHECKING:
    from calibration.calibrate import Tried
    from calibration.lint import Finding
    from edge_wbc.manifest import Model
    from training.datasets import Sample


@click.command()
@click.argument("model", default="leukonet")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled cells, laid out as for training.")
@click.option("--frames", type=click.Path(path_type=Path), help="Whole frames without labels, in place of --data.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The graph.  [default: MODEL with -int8.onnx]"
)
@click.option("--count", type=click.IntRange(1), default=512, show_default=True, help="Crops to calibrate on.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--method", help="minmax, percentile, mse or entropy.  [default: the best of them by the gate]")
@click.option("--force", is_flag=True, help="Write a graph that fails the gate, too; its manifest says so.")
@click.option(
    "--lint",
    "graph",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="GRAPH",
    help="Only say what TensorRT would refuse in this .onnx file, whoever made it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def calibrate(
    model: str,
    data: Path | None,
    frames: Path | None,
    out: Path | None,
    count: int,
    seed: int,
    method: str | None,
    force: bool,
    graph: Path | None,
    as_json: bool,
) -> int:
    """Turn MODEL, an fp32 graph or a shipped model, into an INT8 graph that TensorRT fuses, and judge what it lost.

    Fails where a class loses too much, or where --lint finds something that TensorRT would refuse.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise EnvironmentMissing("calibrate needs onnx; pip install 'edge-wbc[export]'") from None
    if graph is not None:
        return _lint(graph, as_json)
    if (data is None) == (frames is None):
        raise UsageError("give --data, labelled cells to calibrate on and judge by, or --frames, or --lint GRAPH")
    from calibration.calibrate import cells_of, check, crops_for, try_methods, warnings, write_int8
    from calibration.observe import METHODS
    from edge_wbc.manifest import load_model

    loaded = load_model(model)
    out = out or Path(f"{loaded.graph.stem}-int8.onnx")
    methods = [method] if method else list(METHODS)
    check(loaded, methods, out)
    root, samples = _cells(data, frames, loaded)
    cells = cells_of(samples, count, seed)
    for line in warnings(cells, count):
        say(f"edge-wbc: {line}")
    used = [*cells.calibrating, *cells.judging]
    with progress("cutting crops", len(used)) as advance:
        crops = crops_for(used, loaded, advance)
    calibrating, judging = crops[: len(cells.calibrating)], crops[len(cells.calibrating) :]
    with progress("calibrating", 2 * len(calibrating)) as advance:
        tried = try_methods(loaded, methods, calibrating, judging, [cell.label for cell in cells.judging], advance)
    best = tried[0]
    if as_json:
        found = [{"method": item.method, **asdict(item.gate), "same_label_in": item.same_label} for item in tried]
        print_json({"model": loaded.name, "calibrated_on": len(calibrating), "methods": found, "locked": cells.locked})
    else:
        _methods(tried)
    if not best.gate.passed and not force:
        say(f"edge-wbc: nothing was written: {'; '.join(best.gate.failures())}; --force writes it all the same")
        return 1
    write_int8(out, loaded, best, cells, root, seed)
    say(f"wrote {out}, ranges by {best.method} from {len(calibrating)} crops; judged on {len(judging)} others")
    say(f"next: edge-wbc front {out}")
    return 0 if best.gate.passed else 1


def _cells(data: Path | None, frames: Path | None, model: Model) -> tuple[Path, list[Sample]]:
    """Where they lie, and all of them."""
    from calibration.calibrate import labelled
    from calibration.frames import frames_in, read_frames

    if data is not None:
        return data, labelled(data, model)
    assert frames is not None
    found = frames_in(frames)
    with progress("looking for cells", len(found)) as advance:
        samples = read_frames(found, model, advance)
    say(f"edge-wbc: {len(samples)} cells without labels: classes here are those that the fp32 graph names")
    return frames, samples


def _methods(tried: list[Tried]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="INT8 beside fp32, best first")
    for column in ("method", "same class", "95 %", "worst difference", "class that loses most", "engines alike", ""):
        table.add_column(column)
    for item in tried:
        gate = item.gate
        worst = gate.classes[gate.worst_class]
        table.add_row(
            item.method,
            f"{gate.agreement:.2%}",
            "–".join(f"{end:.1%}" for end in gate.agreement_interval),
            f"{gate.worst_difference:.3f}",
            f"{gate.worst_class}: {worst.right_before} → {worst.right_after} of {worst.crops}",
            ", ".join(f"{name} {share:.2%}" for name, share in item.same_label.items()),
            "passed" if gate.passed else "failed",
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _lint(graph: Path, as_json: bool) -> int:
    from calibration.lint import lint
    from calibration.view import DEQUANTIZE, QUANTIZE, View, read_graph

    model = read_graph(graph)
    found = lint(model)
    nodes = len(View(model).of_type(QUANTIZE, DEQUANTIZE))
    refused = sum(finding.refused for finding in found)
    if as_json:
        print_json({"graph": str(graph), "qdq_nodes": nodes, "findings": [asdict(finding) for finding in found]})
    elif found:
        _findings(found)
    kind = f"{nodes} Q/DQ nodes" if nodes else "not quantised"
    say(f"{graph}: {kind}; {refused} findings that TensorRT refuses, {len(found) - refused} that cost speed")
    say("rules from documentation and issues, each with its source; TensorRT itself was not run")
    return 1 if refused else 0


def _findings(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("rule", "", "node", "what is wrong, what to do", "source"):
        table.add_column(column, overflow="fold")
    for finding in found:
        severity = "refused" if finding.refused else "slower"
        table.add_row(finding.rule, severity, finding.node, finding.text, finding.source)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
