"""The verb ``export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.errors import EnvironmentMissing, UsageError

if TYPE_CHECKING:
    from edge_wbc.manifest import Model
    from edge_wbc.types import Pixels
    from training.datasets import Sample

SIMULATED_CROPS = 64


@click.command()
@click.argument("weights_file", metavar="WEIGHTS", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The graph.  [default: WEIGHTS with .onnx]"
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Real cells, laid out as for training: locked groups verify the graph and set temperature and threshold.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was verified as one JSON object.")
def export(weights_file: Path, out: Path | None, data: Path | None, as_json: bool) -> None:
    """Turn WEIGHTS into an ONNX graph with everything inside, verified, its manifest beside it."""
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise EnvironmentMissing("export needs PyTorch and onnx; pip install 'edge-wbc[train,export]'") from None
    from export.decision import NOT_FITTED, cross_fitted_ece, decide_on
    from export.graph import logits_of, write_graph
    from training import weights

    out = out or weights_file.with_suffix(".onnx")
    if out.suffix != ".onnx" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a file that ends in .onnx, in a folder that exists")
    network, labels, record = weights.load(weights_file)
    if data is None:
        samples: list[Sample] = []
        crops, crops_from = _simulated_crops(), "simulated cells"
        decision, cross_fitted = NOT_FITTED, None
    else:
        crops, samples, crops_from = _locked_crops(data, labels)
        logits = logits_of(network, crops)
        decision = decide_on(logits, samples, labels)
        cross_fitted = cross_fitted_ece(logits, samples, labels)
    description = f"leukonet, {len(labels)} classes of blood cells"
    model, parity = write_graph(out, network, labels, record, decision, crops, crops_from, description)
    if samples:
        _write_metrics(model, samples, cross_fitted or {})
    if as_json:
        print_json({"graph": str(out), **asdict(parity), **asdict(decision)})
    worst = max(parity.worst_difference.values())
    say(f"wrote {out}: {parity.crops} crops of {crops_from}, worst difference {worst:.1e}, gate {parity.gate:g}")
    if data is None:
        say("temperature and threshold were not fitted; give --data for figures on real cells")
    else:
        say(f"unidentified below {decision.unidentified_below:g}: {decision.threshold_from}")
    say(f"next: edge-wbc classify PATH --model {out}")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--model", default="leukonet", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def verify(data: Path, model: str, as_json: bool) -> int:
    """Hold every engine against the reference, ONNX Runtime, on every labelled cell in DATA."""
    from edge_wbc.manifest import load_model
    from export.verify import LARGEST_DIFFERENCE, compare_engines
    from training.datasets import read_all

    samples = read_all(data)
    with progress("verifying", len(samples)) as advance:
        comparisons = compare_engines(load_model(model), samples, advance)
    if as_json:
        print_json({"gate": LARGEST_DIFFERENCE, "engines": {name: asdict(c) for name, c in comparisons.items()}})
    for name, found in comparisons.items():
        say(
            f"{name} {found.precision}: {found.crops} crops, worst difference {found.worst_difference:.1e} "
            f"(gate {LARGEST_DIFFERENCE:g}), {found.same_label} with the same label"
        )
    return 0 if all(found.worst_difference <= LARGEST_DIFFERENCE for found in comparisons.values()) else 1


def _locked_crops(data: Path, labels: tuple[str, ...]) -> tuple[Pixels, list[Sample], str]:
    from training.crops import run_time_crops
    from training.datasets import locked_groups, read_all, split
    from training.negatives import read_negatives

    locked = split(read_all(data) + read_negatives(data), locked_groups())[1]
    samples = [sample for sample in locked if sample.label in labels]
    if not samples:
        raise UsageError(f"--data {data}: holds no locked group; leave --data out to verify on simulated cells")
    with progress("cutting crops", len(samples)) as advance:
        return run_time_crops(samples, advance), samples, "locked groups of real images"


def _simulated_crops() -> Pixels:
    import numpy as np

    from edge_wbc.sources.base import open_source
    from edge_wbc.types import Frame
    from edge_wbc.vision.crop import crop
    from training.leukonet import CROP_PX

    frames = open_source(f"smear://?seed=1&cells={SIMULATED_CROPS}").frames()
    shown = [frame for frame in frames if isinstance(frame, Frame)]
    return np.stack([crop(frame.pixels, cell.box, CROP_PX) for frame in shown for cell in frame.truth or ()])


def _write_metrics(model: Model, samples: Sequence[Sample], cross_fitted: dict[str, float]) -> None:
    """Score the finished graph on the locked groups and add the figures to its manifest."""
    from edge_wbc.engines.base import open_engine
    from edge_wbc.manifest import manifest_path, write_manifest
    from training.evaluate import by_part, report, score
    from training.reliability import reliability, risk_coverage

    engine = open_engine("onnxruntime", model)
    with progress("scoring", len(samples)) as advance:
        scored = score(samples, engine, "cell", advance)
    metrics: dict[str, Any] = {
        "on": "locked groups, cell mode; pbc is split by image, so its figures are optimistic; the temperature "
        "was fitted on the cells of ece, and for ece_cross_fitted on the other half of the groups",
    }
    for name, part in by_part(scored).items():
        metrics[name] = asdict(report(part))
        del metrics[name]["unreadable"], metrics[name]["worst"]
        if calibration := reliability(part):
            metrics[name] |= {
                "ece": calibration.ece,
                "ece_cross_fitted": cross_fitted.get(name),
                "ece_by_chance": calibration.by_chance,
                "ece_by_chance_clustered": calibration.by_chance_clustered,
            }
        if curve := risk_coverage(part, model.manifest.labels.unidentified_below):
            metrics[name] |= {"rejected": curve.model.rejected, "error_on_rest": curve.model.error}
    write_manifest(manifest_path(model.graph), model.manifest.model_copy(update={"metrics": metrics}))
