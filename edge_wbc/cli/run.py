"""The verb ``run``."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import print_json, say
from edge_wbc.cli.session import (
    engine_options,
    exit_code,
    mode_of,
    new_session,
    notice,
    open_engine_for,
    sink_uris,
    stopping,
)
from edge_wbc.errors import UsageError

if TYPE_CHECKING:
    from edge_wbc.types import Summary


@click.command()
@click.argument("source")
@engine_options
@click.option(
    "--mode",
    type=click.Choice(["slide", "field", "cell"]),
    help="slide: each cell counts once, in however many frames it is. field: every cell of every frame counts. "
    "cell: a frame shows exactly one.  [default: slide for cameras and videos, field for images]",
)
@click.option(
    "--to",
    "to",
    multiple=True,
    metavar="SINK",
    help="console:, jsonl:PATH, csv:PATH, video:PATH.mp4, serial:///dev/ttyACM0. Repeatable.",
)
@click.option("--limit", type=click.IntRange(1), metavar="FRAMES", help="Stop after so many frames.")
@click.option("--until-cells", type=click.IntRange(1), metavar="N", help="End when N leukocytes are counted.")
@click.option("--label", default="", help="What the session is of; recorded with it.")
@click.option("--note", "notes", multiple=True, metavar="TEXT", help="Recorded with the session. Repeatable.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Record the session in a folder of its own in DIR, not in the user's data folder.",
)
@click.option("--no-record", is_flag=True, help="Record nothing.")
@click.option(
    "--record-quota",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="GB",
    help="Of all sessions in one place: the oldest lose their crops beyond it.",
)
@click.option("--window", "windowed", is_flag=True, help="Show frames, cells and differential in a window; q ends it.")
@click.option("--button", is_flag=True, help="The instrument's button starts the session, and ends it.")
@click.option("--json", "as_json", is_flag=True, help="Print the session's summary as one JSON object.")
def run(
    source: str,
    mode: str | None,
    model: str,
    engine: str,
    to: tuple[str, ...],
    limit: int | None,
    until_cells: int | None,
    label: str,
    notes: tuple[str, ...],
    record: Path | None,
    no_record: bool,
    record_quota: float,
    windowed: bool,
    button: bool,
    as_json: bool,
) -> int:
    """Classify what SOURCE shows until it ends, or until Ctrl-C.

    On a terminal the differential is drawn as it grows, unless console: is among the sinks.

    SOURCE is a file, a folder, a video, watch:FOLDER, v4l2:///dev/video0, csi://0, gst://PIPELINE, rtsp://…, or
    smear://?seed=1 (simulated).
    """
    from edge_wbc.cli.screen import screen
    from edge_wbc.pipeline import Pipeline
    from edge_wbc.sessions.recorder import Recorder
    from edge_wbc.sessions.schema import default_place
    from edge_wbc.sinks.base import open_sink
    from edge_wbc.supervisor import open_supervised

    if no_record and (record or label or notes):
        raise UsageError("--record, --label and --note need a recorded session; leave out --no-record")
    lines = as_json or any(uri.startswith("console:") for uri in to)
    watched = not lines and sys.stdout.isatty() and sys.stderr.isatty()
    sinks = [open_sink(uri) for uri in (to if watched else sink_uris(to, as_json))]
    opened = open_supervised(source, notice)
    with closing(open_engine_for(opened, engine, model)) as loaded:
        session = new_session(source, mode or mode_of(opened), loaded)
        recorder = None
        if not no_record:
            recorder = Recorder(
                record or default_place(),
                session.session_id,
                loaded.model,
                loaded.name,
                label=label,
                notes=notes,
                quota_bytes=round(record_quota * 1e9),
            )
            sinks.append(recorder)
        view = None
        if windowed:
            from edge_wbc.cli.window import View, window

            view = View()
        pipeline = Pipeline(
            opened,
            loaded,
            sinks,
            session,
            limit=limit,
            until=until_cells,
            button=button,
            notice=notice,
            watch=None if view is None else view.watch,
        )
        if recorder is not None:
            recorder.mosaic = pipeline.mosaic
        title = f"{source} · {session.model} on {session.engine}"
        with (
            stopping(pipeline.stop) as interrupted,
            nullcontext() if view is None else window(view, title, pipeline.status, notice),
            screen(title, pipeline.status, pipeline.slide) if watched else nullcontext(),
        ):
            outcome = pipeline.run()
    if as_json:
        print_json({**asdict(outcome.summary), "notice": RESEARCH_USE})
    else:
        from edge_wbc.cli.show import differential_table, slide_line, summary_lines

        differential_table(outcome.summary.differential, "Differential")
        for line in summary_lines(outcome.summary):
            say(line)
        if (slide := pipeline.slide()) is not None:
            say(slide_line(slide))
        if recorder is not None and recorder.folder.is_dir():
            say(
                f"next: edge-wbc sessions show {session.session_id}"
                + (f" --record {quote(str(record))}" if record else "")
            )
    if until_cells is not None:
        say(_reached(until_cells, outcome.summary))
    return exit_code(outcome, interrupted())


def _reached(until: int, summary: Summary) -> str:
    """How the count stands to what was asked for."""
    total = summary.differential.total
    if total < until:
        return f"--until-cells {until}: {total} leukocytes counted, {until - total} too few"
    more = f", {total - until} more than asked: all of the last frame's count" if total > until else ""
    return f"--until-cells {until}: {total} leukocytes counted{more}"
