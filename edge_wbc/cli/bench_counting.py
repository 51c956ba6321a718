"""The verb ``bench counting``."""

from __future__ import annotations

from dataclasses import asdict

import click

from edge_wbc.cli.common import print_json, progress, say


@click.command()
@click.option("--cells", type=click.IntRange(1), default=1000, show_default=True, help="White cells on a slide.")
@click.option("--seeds", type=click.IntRange(1), default=4, show_default=True, help="Slides.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--path", default="wander", show_default=True, help="How the stage moves; see smear://.")
@click.option("--faults", default="", help="Of microscope and camera, with commas between, or all; see smear://.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="See one frame of so many.")
@click.option("--model", default="leukonet", show_default=True, help="Its classes, and what --engine runs.")
@click.option("--engine", default=None, help="Classify by this engine.  [default: the truth]")
@click.option("--smoke", is_flag=True, help="Two small slides.")
@click.option("--json", "as_json", is_flag=True)
def counting(
    cells: int,
    seeds: int,
    first_seed: int,
    path: str,
    faults: str,
    every: int,
    model: str,
    engine: str | None,
    smoke: bool,
    as_json: bool,
) -> int:
    """Count simulated slides under a moving stage: which cells are counted once, twice, not at all.

    Exit code 1: fewer than 99 % of the cells in view and in focus were counted once, or more than 1 % twice.
    """
    from edge_wbc.bench.counting import Job, measure
    from edge_wbc.sources.smear_faults import FAULTS
    from edge_wbc.sources.smear_paths import PATHS

    if path not in PATHS:
        raise click.UsageError(f"--path {path!r} is not one of {', '.join(PATHS)}; write for example --path wander")
    named = frozenset(FAULTS if faults == "all" else filter(None, faults.split(",")))
    if unknown := named - set(FAULTS):
        raise click.UsageError(
            f"--faults {min(unknown)!r} is none of {', '.join(FAULTS)}; write for example focus,drop"
        )
    if smoke:
        cells, seeds = min(cells, 8), min(seeds, 2)
    jobs = [Job(first_seed + i, cells, path, every, model, engine, named) for i in range(seeds)]
    with progress("slides", len(jobs)) as advance:
        slides = measure(jobs, advance)
    in_view = sum(slide.in_view for slide in slides)
    once, doubled = sum(slide.once for slide in slides), sum(slide.doubled for slide in slides)
    passed = once >= 0.99 * in_view and doubled <= 0.01 * in_view
    pairs = [good for slide in slides for good in slide.inside_interval.values()]
    if as_json:
        figures = {"in_view": in_view, "once": once, "doubled": doubled, "covered": sum(pairs), "pairs": len(pairs)}
        print_json({**figures, "passed": passed, "slides": [asdict(slide) for slide in slides]})
        return 0 if passed else 1
    by = "the truth" if engine is None else f"{model} on {engine}"
    drawn = f"{seeds} slides of {cells} cells, path {path}, faults {faults or 'none'}"
    say(f"{drawn}, one frame of {every}, classified by {by}")
    missed, not_cells = sum(slide.missed for slide in slides), sum(slide.not_cells for slide in slides)
    say(
        f"{in_view} cells were wholly in view and in focus: {once} counted once ({100 * once / max(1, in_view):.2f} %),"
    )
    say(f"{doubled} more than once, {missed} not at all; {not_cells} counted that are no cells")
    share = 100 * sum(pairs) / len(pairs)
    say(f"generating rate within the reported 95 % interval: {sum(pairs)} of {len(pairs)} ({share:.1f} %)")
    slowest = max(slide.see_ms["p99"] for slide in slides)
    say(f"largest error of a place {max(slide.off_px for slide in slides):.1f} px; tracking p99 {slowest:.1f} ms")
    return 0 if passed else 1
