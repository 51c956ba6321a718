"""The verb ``demo``: simulated slide → shipped model → simulated instrument."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.session import exit_code, new_session, notice, open_engine_for, stopping

if TYPE_CHECKING:
    from edge_wbc.types import Differential, Frame, FrameResult


@click.command()
@click.option(
    "--cells", type=click.IntRange(1, 10_000), default=200, show_default=True, help="White cells on the slide."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, another slide.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the field with the most classes here, cells outlined and named (PNG).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def demo(cells: int, seed: int, picture: Path | None, as_json: bool) -> int:
    """The whole thing on this machine, with nothing attached."""
    from edge_wbc.bench.instrument import simulated_instrument
    from edge_wbc.manifest import DEFAULT_MODEL
    from edge_wbc.pipeline import Pipeline
    from edge_wbc.sinks.base import open_sink
    from edge_wbc.sources.base import open_source
    from edge_wbc.vision.geometry import match

    uri = f"smear://?seed={seed}&cells={cells}"
    source = open_source(uri)
    known: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    richest: list[tuple[Frame, FrameResult]] = []
    with (
        closing(open_engine_for(source, "auto", DEFAULT_MODEL)) as engine,
        simulated_instrument() as instrument,
        progress("cells", cells) as advance,
    ):
        if not as_json:
            click.echo(
                f"simulated slide {uri} → {engine.model.name} on {engine.name} → instrument on {instrument.port}"
            )

        def watch(frame: Frame, result: FrameResult) -> None:
            truth = frame.truth or ()
            known.update(cell.label for cell in truth)
            for i, j in match([cell.box for cell in result.cells], [cell.box for cell in truth], at=0.3):
                agreed[truth[j].label] += result.predictions[i].label == truth[j].label
            if not richest or _variety(result) > _variety(richest[0][1]):
                richest[:] = [(frame, result)]
            advance(known.total())

        sink = open_sink(f"serial://{instrument.port}")
        session = new_session(uri, "field", engine)
        pipeline = Pipeline(source, engine, [sink], session, notice=notice, watch=watch)
        with stopping(pipeline.stop) as interrupted:
            outcome = pipeline.run()
        applied = instrument.stop()
    summary = outcome.summary
    if picture is not None and richest:
        _write_picture(picture, *richest[0])
    if as_json:
        simulated = {"known": dict(known), "agreed": dict(agreed)}
        print_json({**asdict(summary), "instrument": applied, "simulated": simulated})
    else:
        from edge_wbc.cli.show import differential_table, summary_lines

        differential_table(summary.differential, "Differential of a simulated slide")
        for line in summary_lines(summary):
            click.echo(line)
        click.echo(
            f"the network agrees with what was drawn in {agreed.total()} of {known.total()} cells "
            "(simulated cells: no measure of accuracy on real ones)"
        )
        click.echo(
            f"the instrument applied {applied.get('applied', 0)} results of {summary.cells}, "
            f"{applied.get('differentials', 0)} differential, doubled {applied.get('doubled', 0)}, "
            f"out of order {applied.get('out_of_order', 0)}"
        )
        say("next: edge-wbc run YOUR_IMAGES --to jsonl:out.jsonl   or   edge-wbc doctor")
    code = exit_code(outcome, interrupted())
    all_applied = applied.get("applied") == summary.cells and applied.get("labels") == _counts(summary.differential)
    if code == 0 and not all_applied:
        say("edge-wbc: the instrument did not apply every result; run `edge-wbc doctor` and report this")
        return 1
    return code


def _counts(differential: Differential) -> dict[str, int]:
    counts = {label: share.count for label, share in differential.shares.items()}
    return {label: count for label, count in {**counts, "unidentified": differential.unidentified}.items() if count}


def _variety(result: FrameResult) -> tuple[int, int]:
    return len({prediction.label for prediction in result.predictions}), len(result.cells)


def _write_picture(path: Path, frame: Frame, result: FrameResult) -> None:
    import cv2

    from edge_wbc.draw import draw_cells
    from edge_wbc.errors import OutputFailed

    captions = [(p.label, f"{p.label} {p.probability:.0%}") for p in result.predictions]
    drawn = draw_cells(frame.pixels, [cell.box for cell in result.cells], captions)
    _, data = cv2.imencode(".png", drawn)
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputFailed(f"{path}: can't be written ({error.strerror}); choose another place") from None
