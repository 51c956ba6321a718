"""The verb ``bench bound``."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import print_json, progress, say

if TYPE_CHECKING:
    from edge_wbc.bench.bound import Bound

FRAMES_A_RUN = 720


@click.command()
@click.argument("frames", required=False, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--mode",
    type=click.Choice(["field", "slide"]),
    default="field",
    show_default=True,
    help="slide: the frames follow a slide, in the order of their names, and are tracked.",
)
@click.option("--model", default="leukonet", show_default=True, help="A shipped model, or a .onnx file.")
@click.option("--engine", default="auto", show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--smoke", is_flag=True, help="One short round, to see that everything works.")
@click.option("--json", "as_json", is_flag=True)
def bound(frames: Path | None, mode: str, model: str, engine: str, rounds: int, smoke: bool, as_json: bool) -> int:
    """How near the pipeline comes to the rate that its stages' own processor time allows on these processors.

    FRAMES is a folder; simulated fields where none is given, a wandering stage's frames with --mode slide. Results go
    to a JSONL file.

    Exit code 1: less than 85 % of that rate (not judged with --smoke), or the pipeline and the stages one after
    another did not decide the same.
    """
    from edge_wbc.bench.apart import processes
    from edge_wbc.bench.beside_loop import lay_out
    from edge_wbc.bench.bound import measure
    from edge_wbc.bench.drawn import draw
    from edge_wbc.cli.session import new_session
    from edge_wbc.engines.base import open_engine, usable_processors
    from edge_wbc.manifest import load_model
    from edge_wbc.sinks.base import Sink, open_sink
    from edge_wbc.sources.files import ImageFiles, open_images

    wanted = 24 if smoke else FRAMES_A_RUN
    rounds = 1 if smoke else rounds
    processors = usable_processors()
    with tempfile.TemporaryDirectory(prefix="edge-wbc-bench-") as scratch:
        uri = f"smear://?seed=1&cells={12 if smoke else 120}" + ("&path=wander" if mode == "slide" else "")
        given = draw(uri, Path(scratch, "drawn"), wanted) if frames is None else list(open_images([frames]).paths)
        links = Path(scratch, "frames")
        links.mkdir()
        lay_out(given[:wanted], links, 1 if mode == "slide" else -(-wanted // len(given)))

        def source() -> ImageFiles:
            opened = open_images([links])
            opened.continuous = mode == "slide"
            return opened

        def sink() -> Sink:
            return open_sink(f"jsonl:{scratch}/cells.jsonl")

        loaded = load_model(model)
        with (
            closing(open_engine(engine, loaded, 1)) as alone,
            closing(open_engine(engine, loaded, max(1, processors - 1))) as running,
            progress("rounds", rounds + 1) as advance,
        ):
            session = new_session(str(frames or uri), mode, running)
            with processes(source().paths, model, engine, session, Path(scratch), processors) as apart:
                found = measure(
                    source, alone, running, session, sink, apart, processors=processors, rounds=rounds, advance=advance
                )
    passed = found.passed or (smoke and all(one.same for one in found.rounds))
    if as_json:
        least, ratio, most = found.ratios
        figures = {"alone_ms": found.alone_ms, "ratio": ratio, "ratio_range": [least, most], "passed": passed}
        print_json({**figures, **asdict(found), "mode": mode, "model": session.model, "engine": session.engine})
    else:
        _table(found, f"{found.frames} frames of {session.source}, {mode}, {session.model} on {session.engine}")
    return 0 if passed else 1


def _table(found: Bound, title: str) -> None:
    from statistics import median

    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in ("stage", "ms a frame", "share", ""):
        table.add_column(column, justify="left" if column in ("stage", "") else "right", no_wrap=True)
    whole = sum(found.alone_ms.values())
    for name, spent in found.alone_ms.items():
        table.add_row(name, f"{spent:.3f}", f"{spent / whole:.0%}", "█" * round(40 * spent / whole))
    table.add_row("all", f"{whole:.3f}", "100%", "")
    Console().print(table)
    least, ratio, most = found.ratios
    allowed = median(1000 * found.processors / sum(one.alone_ms.values()) for one in found.rounds)
    say(f"allowed by {found.processors} processors: {allowed:.0f} frames/s; the pipeline: {_median(found, 'fps'):.0f}")
    say(f"ratio, of the same round: {ratio:.3f} ({least:.3f}–{most:.3f}), {len(found.rounds)} rounds")
    say(
        f"{found.processors} processes that hand nothing over: {_median(found, 'apart_fps'):.0f} frames/s; "
        f"the pipeline has {_median(found, 'of_apart'):.3f} of that"
    )
    spent = _median(found, "pipeline_ms")
    say(f"processor time of the pipeline: {spent:.3f} ms a frame, {spent / whole:.2f} times the stages'")
    say(
        f"it had {_median(found, 'processors_used'):.2f} processors; what other programs take is missing from the ratio"
    )
    if not all(one.same for one in found.rounds):
        say("edge-wbc: the pipeline and the stages one after another did not decide the same; please report it")


def _median(found: Bound, name: str) -> float:
    from statistics import median

    return float(median(getattr(one, name) for one in found.rounds))
