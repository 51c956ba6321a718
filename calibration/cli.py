"""The verb ``calibrate``: an INT8 graph from an fp32 model, or a graph held against what TensorRT takes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.errors import EnvironmentMissing, UsageError

if TYPE_CHECKING:
    from calibration.sensitivity import Layer
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
@click.option("--sensitivity", is_flag=True, help="Say layer by layer what floating point would gain.")
@click.option("--auto-mixed", is_flag=True, help="Leave as few layers in floating point as the gate needs.")
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
    sensitivity: bool,
    auto_mixed: bool,
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
    from calibration.calibrate import (
        cells_of,
        check,
        crops_for,
        trial_of,
        try_methods,
        warnings,
        with_floating,
        write_int8,
    )
    from calibration.observe import METHODS
    from calibration.quantize import quantisable_layers
    from calibration.sensitivity import auto_mixed as mix
    from calibration.sensitivity import sensitivity as measure
    from calibration.sensitivity import signal_to_noise
    from calibration.show import layers_table, methods_table
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
    truth = [cell.label for cell in cells.judging]
    calibrating, judging = crops[: len(cells.calibrating)], crops[len(cells.calibrating) :]
    with progress("calibrating", 2 * len(calibrating)) as advance:
        tried = try_methods(loaded, methods, calibrating, judging, truth, advance)
    best = tried[0]
    layers: list[Layer] = []
    noise: dict[str, dict[str, float]] = {}
    if sensitivity or (auto_mixed and not best.gate.passed):
        trial = trial_of(loaded, best, judging, truth)
        with progress("layer by layer", (len(quantisable_layers(trial.graph)) + 3) * len(judging)) as advance:
            layers = measure(trial, advance).layers
        noise = {best.method: {layer.name: layer.signal_to_noise_db for layer in layers}}
        for item in tried[1:] if sensitivity else ():
            with progress(f"error by layer, {item.method}", len(judging)) as advance:
                noise[item.method] = signal_to_noise(trial.graph, item.graph, judging, advance)
        if auto_mixed and not best.gate.passed:
            with progress("leaving layers in floating point", 2 * len(layers)) as advance:
                mixed = mix(trial, [layer.name for layer in layers], advance)
            best = with_floating(loaded, best, mixed, judging)
    if as_json:
        found = [{"method": item.method, **asdict(item.gate), "same_label_in": item.same_label} for item in tried]
        print_json(
            {
                "model": loaded.name,
                "calibrated_on": len(calibrating),
                "locked": cells.locked,
                "methods": found,
                "layers": [asdict(layer) for layer in layers],
                "signal_to_noise_db": noise,
                "floating": best.floating,
            }
        )
    else:
        methods_table(tried)
        if layers:
            layers_table(layers, noise)
    if best.floating:
        say(f"in floating point: {', '.join(best.floating)}; chosen on the crops that judge, so a little optimistic")
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
