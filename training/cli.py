"""The verbs ``train`` and ``evaluate``."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.session import model_options
from edge_wbc.errors import EnvironmentMissing

if TYPE_CHECKING:
    from edge_wbc.engines.base import Engine
    from training.evaluate import Scored
    from training.figures import Figures

    Evaluated: TypeAlias = tuple[list[Scored], Figures]


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with kaggle/, bccd/, pbc/, chula/, or with one folder a class; or a file that --pack wrote.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Weights to write, .safetensors.  [default: named after the model]",
)
@click.option(
    "--model",
    type=click.Choice(["leukonet", "leukonet-4"]),
    help="leukonet: nine classes, on everything. leukonet-4: the paper's four, on its images.  [default: leukonet]",
)
@click.option("--from", "start", help="Go on from a shipped model, or a weights file, with a few cells of your own.")
@click.option(
    "--size",
    type=click.Choice(["64", "96", "128"]),
    help="Side of the crop in pixels.  [default: 64; 96 for leukonet-4]",
)
@click.option("--widths", help="Channels of the three stages, multiples of 32.  [default: 64,96,128]")
@click.option("--blocks", help="Residual blocks of the three stages.  [default: 1,2,2]")
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps.  [default: what the recipe says]")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--pack",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what a run needs as one file of at most 50 MB, for --data elsewhere, and stop.",
)
@click.option("--smoke", is_flag=True, help="A few steps on a few images, to see that everything works.")
@click.option("--json", "as_json", is_flag=True, help="Print what was trained as one JSON object.")
def train(size: str | None, **options: Any) -> int:
    """Fit leukonet to labelled cells; locked groups stay out.

    Interrupted, the same command goes on where it stopped.
    """
    try:
        _need_torch("training")
        from training.order import Order
        from training.run_train import run

        return run(Order(size=None if size is None else int(size), **options))
    except KeyboardInterrupt:
        say("edge-wbc: interrupted; start the same command again")
        return 130


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@model_options
@click.option("--locked", is_flag=True, help="Only the groups that nothing shipped was trained on.")
@click.option("--page", type=click.Path(path_type=Path), help="Also write everything as one HTML page with plots.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def evaluate(data: Path, mode: str, model: str, engine: str, locked: bool, page: Path | None, as_json: bool) -> int:
    """Score a model on DATA: a folder of class folders, or one laid out as for training."""
    from edge_wbc.engines.base import open_engine
    from edge_wbc.manifest import load_model
    from edge_wbc.types import NOT_A_CELL
    from training.datasets import locked_groups, read_all, split
    from training.evaluate import by_part, score
    from training.figures import figures, trained_on
    from training.negatives import read_negatives

    if page is not None:
        from training.page import check_page

        check_page(page)
    samples = read_all(data)
    if locked:
        samples = split(samples + read_negatives(data), locked_groups())[1]
    loaded = open_engine(engine, load_model(model))
    manifest = loaded.model.manifest
    with progress("evaluating", len(samples)) as advance:
        scored = score(samples, loaded, mode, advance)
    seen = [] if locked else trained_on(manifest.training, samples)
    cells = [item for item in scored if item.sample.label != NOT_A_CELL] if locked else scored
    parts = by_part(scored)
    whole = figures(cells, manifest.labels.unidentified_below)
    by_source = {name: figures(part, manifest.labels.unidentified_below) for name, part in parts.items()}
    if as_json:
        print_json(
            {
                "model": loaded.model.name,
                "graph_sha256": manifest.graph.sha256,
                "engine": f"{loaded.name} {loaded.precision}",
                "mode": mode,
                "trained_on": seen,
                **whole.json,
                "by_source": {name: part.json for name, part in by_source.items()},
                "notice": RESEARCH_USE,
            }
        )
    else:
        from training.show import report_table, summary_lines

        for name, part in by_source.items():
            report_table(part, f"{name}, {mode} mode")
        if len(by_source) > 1:
            say(f"all {whole.report.images} images: " + "; ".join(summary_lines(whole)))
    warning = (
        f"the model was trained on most cells of {', '.join(seen)}; give --locked to leave them out" if seen else ""
    )
    if warning:
        say(f"edge-wbc: {warning}")
    for path in whole.report.unreadable:
        say(f"edge-wbc: {path}: can't be read, counted as an error; copy it again or take it out")
    if page is not None:
        pairs = {name: (parts[name], by_source[name]) for name in parts}
        _write_page(page, loaded, data, mode, warning, (cells, whole), pairs)
        say(f"wrote {page}; next: open it in a browser")
    return 3 if whole.report.unreadable else 0


def _write_page(
    path: Path,
    engine: Engine,
    data: Path,
    mode: str,
    warning: str,
    whole: Evaluated,
    sources: dict[str, Evaluated],
) -> None:
    from training.evaluate import by_photograph
    from training.page import Origin, Part, page, write_page
    from training.thumbnails import thumbnails

    manifest = engine.model.manifest
    origin = Origin(
        model=engine.model.name,
        graph_sha256=manifest.graph.sha256,
        engine=f"{engine.name} {engine.precision}",
        mode=mode,
        threshold=manifest.labels.unidentified_below,
        data=str(data),
        command=shlex.join(["edge-wbc", *sys.argv[1:]]),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        warning=warning and f"{warning[0].upper()}{warning[1:]}.",
    )
    parts = [
        Part(name, figures, by_photograph(scored), thumbnails(scored, engine, mode))
        for name, (scored, figures) in sources.items()
    ]
    write_page(path, page(origin, Part("all cells", whole[1], by_photograph(whole[0])), parts))


@click.command()
@click.argument("name", metavar="STUDY")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Laid out as for training.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("studies"), show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Networks trained at a time.")
@click.option("--smoke", is_flag=True, help="Two steps a run on every 40th cell, to see that everything works.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def study(name: str, data: Path, out: Path, jobs: int, smoke: bool, as_json: bool) -> None:
    """Train and try the networks of STUDY: folds, random, sources, shots, slides, classes or levers.

    What is finished is kept in --out: started again, a study goes on where it was.
    """
    _need_torch("training")
    from training.datasets import folds, locked_groups, read_all
    from training.negatives import read_negatives
    from training.run_studies import carry_out, prepare
    from training.studies import runs_of
    from training.summary import show_summary, summarise

    samples = read_all(data) + read_negatives(data)
    if smoke:  # apart: its few crops and two-step networks must never be taken for those of the study
        samples, out = samples[::40], out / "smoke"
    runs = runs_of(name, samples, folds(), locked_groups())
    out.mkdir(parents=True, exist_ok=True)
    for size in sorted({run.architecture.size for run in runs}):
        with progress(f"cutting crops of {size} pixels", len(samples)) as advance:
            prepare(out, samples, size, advance)
    say(f"{len(runs)} networks to train, {jobs} at a time")
    carry_out(runs, samples, out, jobs, 2 if smoke else None, say)
    summary = summarise(name, runs, out)
    if as_json:
        print_json(summary)
    else:
        show_summary(name, summary)


def _need_torch(what: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise EnvironmentMissing(f"{what} needs PyTorch; pip install 'edge-wbc[train]'") from None
