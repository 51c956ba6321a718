"""The verb ``calibrate``, from its options to a graph of lower precision, or to TensorRT's calibration cache."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from calibration.cache import cache_text, cached_tensors
from calibration.calibrate import (
    Cells,
    Tried,
    answers,
    cells_of,
    check,
    crops_for,
    infer,
    judge_graph,
    labelled,
    try_methods,
    warnings,
)
from calibration.frames import frames_in, read_frames
from calibration.half import halve, weights
from calibration.headroom import overflow
from calibration.lint import lint
from calibration.observe import METHODS, observe, range_of
from calibration.peers import TOOLS, Peer, beside
from calibration.quantize import floating_operators, quantisable_layers, read_float_graph
from calibration.record import how_int8, write_lowered
from calibration.sensitivity import Layer, Trial, auto_mixed, sensitivity, signal_to_noise
from calibration.show import half_table, layers_table, methods_table, peers_table
from calibration.view import read_graph
from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.engines.base import REFERENCE
from edge_wbc.errors import UsageError
from edge_wbc.files import write_whole
from edge_wbc.manifest import Model, load_model
from edge_wbc.types import Pixels
from training.datasets import Sample

CACHE_METHOD = "entropy"
"""What TensorRT's own calibrator of that name does."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line; None: not said."""

    model: str
    data: Path | None = None
    frames: Path | None = None
    out: Path | None = None
    count: int = 512
    seed: int = 1
    method: str | None = None
    precision: str = "int8"
    cache: str | None = None
    sensitivity: bool = False
    auto_mixed: bool = False
    peers: bool = False
    force: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Given:
    """The model, and the crops of the cells that calibrate and of those that judge: uint8 (N, S, S, 3) BGR."""

    model: Model
    root: Path
    cells: Cells
    calibrating: Pixels
    judging: Pixels

    @property
    def truth(self) -> list[str]:
        """The labels of the cells that judge."""
        return [cell.label for cell in self.cells.judging]


def run(order: Order) -> int:
    """Do it.

    :returns: the exit code.
    :raises EdgeWbcError: as documented of each part.
    """
    model = load_model(order.model)
    out = order.out or Path(
        f"{model.graph.stem}.cache" if order.cache else f"{model.graph.stem}-{order.precision}.onnx"
    )
    methods = [order.method] if order.method else [CACHE_METHOD] if order.cache else list(METHODS)
    if (order.data is None) == (order.frames is None):
        raise UsageError("give --data, labelled cells to calibrate on and judge by, or --frames, or --lint GRAPH")
    if (order.cache or order.precision == "fp16") and (order.sensitivity or order.auto_mixed or order.peers):
        raise UsageError(
            "--sensitivity, --auto-mixed and --peers are of INT8 graphs; leave --cache and --precision fp16 out"
        )
    if order.precision == "fp16" and (order.cache or order.method):
        raise UsageError("FP16 has no ranges; leave --method and --cache out")
    check(model, methods, out, None if order.cache else ".onnx")
    if order.cache:
        cache_text({}, order.cache)  # a version that has no cache is told now
        return _cache(order, _given(order, model), out, methods[0])
    if order.precision == "fp16":
        return _half(order, _given(order, model), out)
    return _int8(order, _given(order, model), out, methods)


def _given(order: Order, model: Model) -> _Given:
    if order.data is not None:
        root, samples = order.data, labelled(order.data, model)
    else:
        assert order.frames is not None
        root, samples = order.frames, _of_frames(order.frames, model)
    cells = cells_of(samples, order.count, order.seed)
    for line in warnings(cells, order.count):
        say(f"edge-wbc: {line}")
    used = [*cells.calibrating, *cells.judging]
    with progress("cutting crops", len(used)) as advance:
        crops = crops_for(used, model, advance)
    return _Given(model, root, cells, crops[: len(cells.calibrating)], crops[len(cells.calibrating) :])


def _of_frames(folder: Path, model: Model) -> list[Sample]:
    found = frames_in(folder)
    with progress("looking for cells", len(found)) as advance:
        samples = read_frames(found, model, advance)
    say(f"edge-wbc: {len(samples)} cells without labels: classes here are those that the fp32 graph names")
    return samples


def _int8(order: Order, given: _Given, out: Path, methods: list[str]) -> int:
    with progress("calibrating", 2 * len(given.calibrating)) as advance:
        tried = try_methods(given.model, methods, given.calibrating, given.judging, given.truth, advance)
    best = tried[0]
    floats = read_float_graph(given.model.graph)
    mixing = order.auto_mixed and not best.gate.passed
    layers: list[Layer] = []
    noise: dict[str, dict[str, float]] = {}
    if order.sensitivity or mixing:
        trial = Trial(floats, best.ranges, given.judging, given.truth, given.model.manifest.labels.names)
        with progress("layer by layer", (len(quantisable_layers(floats)) + 3) * len(given.judging)) as advance:
            layers = sensitivity(trial, advance).layers
        if order.sensitivity:
            noise = _noise(trial, tried, layers)
        if mixing:
            best = _mixed(given, trial, best, layers)
    peers: list[Peer] = []
    if order.peers:
        with progress("other tools", len(TOOLS)) as advance:
            peers = beside(given.model, given.calibrating, given.judging, given.truth, advance)
    if order.as_json:
        print_json(
            {
                "model": given.model.name,
                "calibrated_on": len(given.calibrating),
                "locked": given.cells.locked,
                "methods": [
                    {"method": item.method, **asdict(item.gate), "same_label_in": item.same_label} for item in tried
                ],
                "layers": [asdict(layer) for layer in layers],
                "signal_to_noise_db": noise,
                "floating": best.floating,
                "peers": [
                    {"tool": peer.tool, **asdict(peer.gate), "findings": [asdict(item) for item in peer.findings]}
                    for peer in peers
                ],
            }
        )
    else:
        methods_table(tried)
        if noise:
            layers_table(layers, noise)
        if peers:
            peers_table([Peer(f"edge-wbc, {best.method}", best.gate, lint(best.graph)), *peers])
    if left := floating_operators(floats, set(best.floating)):
        say(f"in floating point: {', '.join(left)}")
    if best.floating:
        say(f"{', '.join(best.floating)} chosen on the crops that judge, so a little optimistic")
    if _fails(order, best.gate.failures()):
        return 1
    how = how_int8(best, given.cells, given.root, order.seed)
    write_lowered(out, given.model, "int8", best, given.cells, how)
    say(f"wrote {out}, ranges by {best.method} from {len(given.calibrating)} crops")
    say(f"next: edge-wbc front {out}")
    return 0 if best.gate.passed else 1


def _mixed(given: _Given, trial: Trial, best: Tried, layers: list[Layer]) -> Tried:
    """The method's graph with the layers in floating point that were found to be needed."""
    with progress("leaving layers in floating point", 2 * len(layers)) as advance:
        mixed = auto_mixed(trial, [layer.name for layer in layers], advance)
    after, alike = answers(given.model, mixed.graph, given.judging)
    found = mixed.tested
    return replace(
        best, graph=mixed.graph, gate=found.gate, same_label=alike, probabilities=after, floating=found.floating
    )


def _noise(trial: Trial, tried: list[Tried], layers: list[Layer]) -> dict[str, dict[str, float]]:
    """Signal to noise in dB, by method, then layer; the method that ``layers`` is of, first."""
    noise = {tried[0].method: {layer.name: layer.signal_to_noise_db for layer in layers}}
    for item in tried[1:]:
        with progress(f"error by layer, {item.method}", len(trial.crops)) as advance:
            noise[item.method] = signal_to_noise(trial.graph, item.graph, trial.crops, advance)
    return noise


def _half(order: Order, given: _Given, out: Path) -> int:
    floats = read_graph(given.model.graph)
    crops = np.concatenate([given.calibrating, given.judging])
    with progress("looking for overflow", len(crops)) as advance:
        held = overflow(floats, crops, advance)
    before = infer(REFERENCE, given.model, given.judging)
    judged = judge_graph(given.model, halve(floats), before, given.judging, given.truth)
    lost = weights(floats)
    least = min(held, key=lambda item: item.headroom)
    how = {
        "largest_activation": least.largest,
        "at": least.node,
        "headroom": least.headroom,
        "most_subnormal": max(item.subnormal for item in held),
        "weights_zeroed": sum(item.zeroed for item in lost),
        "weights_subnormal": sum(item.subnormal for item in lost),
    }
    if order.as_json:
        shown = {**asdict(judged.gate), "same_label_in": judged.same_label}
        print_json({"model": given.model.name, **shown, "calibration": how, "locked": given.cells.locked})
    else:
        half_table(judged, how)
    say("on a processor the engines round the weights but mostly not the activations; FP16 hardware was not run")
    failures = [*judged.gate.failures(), *(item.finding for item in held if item.finding)]
    if _fails(order, failures):
        return 1
    write_lowered(out, given.model, "fp16", judged, given.cells, how)
    say(f"wrote {out}; judged on {len(given.judging)} crops")
    return 1 if failures else 0


def _cache(order: Order, given: _Given, out: Path, method: str) -> int:
    floats = read_float_graph(given.model.graph)
    tensors = cached_tensors(floats)
    with progress("calibrating", 2 * len(given.calibrating)) as advance:
        held = observe(floats, tensors, given.calibrating, advance)
    ranges = {name: range_of(histogram, method) for name, histogram in held.items()}
    assert order.cache is not None
    write_whole(out, cache_text(ranges, order.cache).encode(), "make room, then start the same command again")
    if order.as_json:
        print_json({"model": given.model.name, "cache": str(out), "method": method, "ranges": ranges})
    say(f"wrote {out} for TensorRT {order.cache}, {len(ranges)} tensors, ranges by {method}")
    say("TensorRT itself was not run, and nothing here runs a cache: judge the engine that is built with it")
    return 0


def _fails(order: Order, failures: list[str]) -> bool:
    """Say why nothing is written, unless it is all the same."""
    if failures and not order.force:
        say(f"edge-wbc: nothing was written: {'; '.join(failures)}; --force writes it all the same")
    return bool(failures) and not order.force
