"""``bench pipeline``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.results import Row

FRAMES_IN_MEMORY = 120
"""Of a camera: 110 MB at 640×480."""
FRAMES_A_START = 480
"""Of a session whose memory is looked at."""


@click.command()
@click.option(
    "--frames", type=click.Path(path_type=Path, file_okay=False), help="Folder of frames.  [default: simulated fields]"
)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("leukonet", "leukonet-int8"),
    show_default=True,
    help="A shipped model, or a .onnx file; may be given again.",
)
@click.option("--engine", default="auto", show_default=True)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(1, 1000),
    multiple=True,
    metavar="FPS",
    help="Of the camera; may be given again.  [default: a quarter and half of what offline reached]",
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Of a scenario, in all rounds."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the result, for `bench compare`.")
@click.option("--smoke", is_flag=True, help="One short round of the last model.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def pipeline(
    frames: Path | None,
    models: tuple[str, ...],
    engine: str,
    rates: tuple[float, ...],
    rounds: int,
    seconds: float,
    out: Path | None,
    smoke: bool,
    as_json: bool,
) -> int:
    """The whole pipeline, from a frame's capture to the instrument's acknowledgement, stage by stage with every wait.

    Scenarios as MLPerf has them: single-stream, offline, and a camera at a fixed rate. Beside them a cold start, memory
    and `--help`, each in processes of their own.

    Exit code 1: something failed, its row says what; or a bar was missed (not judged with --smoke).
    """
    import cv2

    from edge_wbc.bench.beside_loop import lay_out
    from edge_wbc.bench.cold_start import help_row, session_rows
    from edge_wbc.bench.drawn import draw
    from edge_wbc.bench.machine import identify
    from edge_wbc.bench.pipeline_table import tell
    from edge_wbc.bench.results import result
    from edge_wbc.bench.scenarios import BAUD, EARLY_S
    from edge_wbc.bench.trust import Watch, too_few
    from edge_wbc.bench.whole import measure, passed
    from edge_wbc.cli.bench_out import hand_out
    from edge_wbc.cli.session import new_session
    from edge_wbc.engines.base import engine_name, usable_processors
    from edge_wbc.manifest import load_model
    from edge_wbc.sources.files import open_images

    engine = engine_name(engine)
    loaded = [load_model(model) for model in models]
    starts = 1 if smoke else rounds
    if smoke:
        loaded, rounds, seconds = loaded[-1:], 1, 0.3
    watch = Watch()
    rows: list[Row] = []
    step = 0
    with (
        tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as scratch,
        progress("rounds", 2 * rounds * len(loaded)) as advance,
    ):
        if frames is not None:
            paths = list(open_images([frames]).paths)
        else:
            paths = draw("smear://?seed=1&cells=120", Path(scratch, "drawn"), 24 if smoke else None)
        read = (cv2.imread(str(path)) for path in paths[: 24 if smoke else FRAMES_IN_MEMORY])
        pictures = [picture for picture in read if picture is not None]
        if not pictures:
            raise click.UsageError(f"no frame of {frames} can be read")
        links = Path(scratch, "frames")
        links.mkdir()
        count = lay_out(paths[:24] if smoke else paths, links, 1 if smoke else -(-FRAMES_A_START // len(paths)))

        def done() -> None:
            nonlocal step
            step += 1
            advance(step)
            watch.round()

        for model in loaded:
            found = measure(
                model,
                engine,
                usable_processors(),
                lambda opened: new_session("memory:", "field", opened),
                paths,
                pictures,
                rates=rates,
                rounds=rounds,
                turn_s=seconds / rounds,
                done=done,
            )
            told = {name: found[0].what[name] for name in ("model", "engine")}
            rows += [*found, *session_rows(links, count, model, engine, found[0].accuracy, told, starts)]
        rows.append(help_row(starts))
    doubts = watch.end()
    doubts += too_few(rounds, {row.name: row.summary.count for row in rows if row.summary and row.parts})
    settings: dict[str, str | int | float | None] = {
        "engine": engine,
        "frames": "simulated fields" if frames is None else f"{len(paths)} files",
        "frame size": "{1}x{0}".format(*pictures[0].shape),
        "rates": " ".join(f"{rate:g}" for rate in rates) or "a quarter and half of offline",
        "rounds": rounds,
        "seconds": seconds,
        "not kept s": EARLY_S,
        "baud": BAUD,
        "garbage": "collected before each run, and during it as in a session",
    }
    content = result(
        "pipeline",
        smoke=smoke,
        machine=identify(),
        looks=(watch.before, watch.after),
        settings=settings,
        rows=rows,
        doubts=doubts,
    )
    hand_out(content, out, as_json, lambda found: tell(found, say))
    return 1 if any(row.error or (passed(row) is False and not smoke) for row in rows) else 0
