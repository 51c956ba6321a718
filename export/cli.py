"""The verbs ``export``, ``verify`` and ``front``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import click

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.errors import EnvironmentMissing, UsageError

if TYPE_CHECKING:
    from edge_wbc.manifest import Model
    from edge_wbc.types import Pixels
    from export.front import Front, Interval
    from training.datasets import Sample


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
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="Make a graph of this precision, too, as `calibrate` does by default; needs --data.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was verified, or calibrated, as one JSON object.")
def export(weights_file: Path, out: Path | None, data: Path | None, precision: str, as_json: bool) -> int:
    """Turn WEIGHTS into an ONNX graph with everything inside, verified, its manifest beside it."""
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise EnvironmentMissing("export needs PyTorch and onnx; pip install 'edge-wbc[train,export]'") from None
    from calibration import run as calibration
    from edge_wbc.golden import golden_crops
    from export.decision import NOT_FITTED, cross_fitted_ece, decide_on
    from export.graph import write_graph
    from training import weights
    from training.figures import trained_on
    from training.leukonet import logits_of

    out = out or weights_file.with_suffix(".onnx")
    if out.suffix != ".onnx" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a file that ends in .onnx, in a folder that exists")
    if precision != "fp32" and data is None:
        raise UsageError(f"--precision {precision} needs --data: real cells to choose ranges on and to judge by")
    network, labels, record = weights.load(weights_file)
    size = network.architecture.size
    if data is None:
        samples: list[Sample] = []
        crops, crops_from = golden_crops(size), "simulated cells"
        decision, cross_fitted = NOT_FITTED, None
    else:
        crops, samples, crops_from = _locked_crops(data, labels, size)
        logits = logits_of(network, crops)
        learnt = trained_on(record, samples)  # another source's stain would set temperature and threshold for all
        own = [i for i, sample in enumerate(samples) if not learnt or sample.source in learnt]
        decision = decide_on(logits[own], [samples[i] for i in own], labels)
        cross_fitted = cross_fitted_ece(logits[own], [samples[i] for i in own], labels)
    description = f"leukonet, {len(labels)} classes of blood cells"
    model, parity = write_graph(out, network, labels, record, decision, crops, crops_from, description)
    if samples:
        _write_metrics(model, samples, cross_fitted or {})
    if as_json and precision == "fp32":
        print_json({"graph": str(out), **asdict(parity), **asdict(decision)})
    worst = max(parity.worst_difference.values())
    say(f"wrote {out}: {parity.crops} crops of {crops_from}, worst difference {worst:.1e}, gate {parity.gate:g}")
    if data is None:
        say("temperature and threshold were not fitted; give --data for figures on real cells")
    else:
        say(f"unidentified below {decision.unidentified_below:g}: {decision.threshold_from}")
    if precision != "fp32":
        lowered = out.with_stem(f"{out.stem}-{precision}")
        return calibration.run(
            calibration.Order(str(out), data=data, out=lowered, precision=precision, as_json=as_json)
        )
    say(f"next: edge-wbc classify PATH --model {out}")
    return 0


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--model", default="leukonet", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def verify(data: Path, model: str, as_json: bool) -> int:
    """Hold every engine against the reference, ONNX Runtime, on every labelled cell in DATA."""
    from edge_wbc.engines.base import LEAST_SAME_LABEL
    from edge_wbc.manifest import load_model
    from export.verify import LARGEST_DIFFERENCE, compare_engines
    from training.datasets import read_all

    samples = read_all(data)
    loaded = load_model(model)
    precision = loaded.manifest.graph.precision
    with progress("verifying", len(samples)) as advance:
        comparisons = compare_engines(loaded, samples, advance)
    gate = LARGEST_DIFFERENCE if precision == "fp32" else LEAST_SAME_LABEL
    if as_json:
        print_json({"gate": gate, "engines": {name: asdict(c) for name, c in comparisons.items()}})
    for name, found in comparisons.items():
        say(
            f"{name} {found.precision}, {precision} graph: {found.crops} crops, worst difference "
            f"{found.worst_difference:.1e}, {found.same_label} with the same label "
            f"(gate {f'{gate:g} at most' if precision == 'fp32' else f'{gate:.1%} of them'})"
        )
    return 0 if all(found.passed(precision) for found in comparisons.values()) else 1


@click.command()
@click.argument("graphs", metavar="[GRAPH]...", nargs=-1)
@click.option("--engine", default="auto", show_default=True, help="The engine of all of them.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Draw accuracy against latency here (SVG or PNG)."
)
@click.option("--smoke", is_flag=True, help="One short round, to see that everything works; nothing is judged.")
@click.option("--json", "as_json", is_flag=True, help="Print everything measured as one JSON object.")
def front(graphs: tuple[str, ...], engine: str, rounds: int, out: Path | None, smoke: bool, as_json: bool) -> int:
    """Time the default model and each GRAPH (a shipped model, or a .onnx file) beside published small networks.

    MobileNetV3-Small, EfficientNet-B0 and ResNet-18 at 224×224, weights drawn at random: their speed is theirs, their
    accuracy is nobody's. One thread, one crop a call, in turn. Fails where the default model is slower than
    MobileNetV3-Small.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise EnvironmentMissing("front needs onnx; pip install 'edge-wbc[export]'") from None
    from edge_wbc.bench.machine import identify, in_words, look
    from edge_wbc.engines.base import engine_name
    from export.front import THREADS, TURN_S, measure, slower_than_reference

    if out is not None:
        _refuse_picture(out)
    engine = engine_name(engine)
    rounds = 1 if smoke else rounds
    machine, before = identify(), look()
    with progress("rounds", rounds) as advance:
        found = measure(graphs, engine, rounds, 0.0 if smoke else TURN_S, advance)
    slower = None if smoke else slower_than_reference(found)
    conditions = f"{found.engine}, precision hint {found.precision}, {THREADS} thread, one crop a call, {rounds} rounds"
    if as_json:
        measured = {"threads": THREADS, "batch": 1, "rounds": rounds, **asdict(found)}
        where = {"machine": asdict(machine), "before": asdict(before)}
        print_json({**where, **measured, "passed": None if smoke else slower is None})
    else:
        _front_tables(found)
    for item in found.beside:
        low, high = item.ratio_interval
        say(f"{item.name} takes {item.ratio:.2f} ({low:.2f} to {high:.2f}) of the time of {item.other}")
    say(in_words(machine, before))
    say(conditions)
    say("ms: median of the rounds; ratio: to MobileNetV3-Small in the same round, median; 95 %: bootstrap over rounds")
    say("peers: drawn weights, never trained, their last layer cut to the default model's number of classes")
    if out is not None:
        from export.picture import LEAST_IMAGES, draw_front

        left_out = draw_front(found.rows, f"{machine.name}: {conditions}", out)
        say(f"wrote {out}")
        if left_out:
            say(f"not drawn, fewer than {LEAST_IMAGES} images: {', '.join(left_out)}")
    if slower:
        say(f"edge-wbc: {slower}")
    return 1 if slower else 0


def _refuse_picture(out: Path) -> None:
    """Now, rather than when all is measured.

    :raises UsageError: ``out`` can't take a picture.
    :raises EnvironmentMissing: matplotlib is not installed.
    """
    from training.plots import require_matplotlib

    try:
        with TemporaryFile(dir=out.parent):
            takes_files = True
    except OSError:
        takes_files = False
    if out.suffix not in (".svg", ".png") or not takes_files:
        raise UsageError(f"--out {out}: name a file that ends in .svg or .png, in a folder that takes files")
    require_matplotlib("--out needs")


def _front_tables(found: Front) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    times = Table(title="Time of one crop")
    for column in ("", "graph", "crop px", "parameters", "MACs", "ms", "95 %", "ratio", "95 %"):
        times.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in sorted(found.rows, key=lambda row: row.ms):
        size = row.precision, str(row.size_px), f"{row.parameters / 1e6:.2f} M", f"{row.macs / 1e6:.0f} M"
        ratio = f"{row.ratio:.2f}", _range(row.ratio_interval)
        times.add_row(row.name, *size, f"{row.ms:.2f}", _range(row.ms_interval), *ratio)
    console.print(times)
    scored = [row for row in found.rows if row.accuracy]
    sources = sorted({source for row in scored for source in row.accuracy})
    if sources:
        accuracy = Table(
            "", *sources, title="Accuracy / balanced accuracy on locked groups, % of n, as the manifests say"
        )
        for row in scored:
            parts = [row.accuracy.get(source) for source in sources]
            cells = [
                f"{100 * part.accuracy:.1f} / {100 * part.balanced_accuracy:.1f} of {part.images}" if part else "–"
                for part in parts
            ]
            accuracy.add_row(row.name, *cells)
        console.print(accuracy)


def _range(interval: Interval) -> str:
    return f"{interval[0]:.2f}–{interval[1]:.2f}"


def _locked_crops(data: Path, labels: tuple[str, ...], size: int) -> tuple[Pixels, list[Sample], str]:
    from training.crops import run_time_crops
    from training.datasets import locked_groups, read_all, split
    from training.negatives import read_negatives

    locked = split(read_all(data) + read_negatives(data), locked_groups())[1]
    samples = [sample for sample in locked if sample.label in labels]
    if not samples:
        raise UsageError(f"--data {data}: holds no locked group; leave --data out to verify on simulated cells")
    with progress("cutting crops", len(samples)) as advance:
        return run_time_crops(samples, advance, size), samples, "locked groups of real images"


def _write_metrics(model: Model, samples: Sequence[Sample], cross_fitted: dict[str, float]) -> None:
    """Score the finished graph on the locked groups and add the figures to its manifest."""
    from edge_wbc.engines.base import REFERENCE, open_engine
    from edge_wbc.manifest import manifest_path, write_manifest
    from training.evaluate import by_part, score, stored
    from training.reliability import reliability, risk_coverage

    engine = open_engine(REFERENCE, model)
    with progress("scoring", len(samples)) as advance:
        scored = score(samples, engine, "cell", advance)
    metrics: dict[str, Any] = {
        "on": "locked groups, cell mode; pbc is split by image, so its figures are optimistic; the temperature "
        "was fitted on the cells of ece, and for ece_cross_fitted on the other half of the groups",
    }
    for name, part in by_part(scored).items():
        metrics[name] = stored(part)
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
