"""The verb ``run``."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import click

from edge_wbc.cli.one_session import Asked, made, tell
from edge_wbc.cli.serve import HOST, PORT, guarding_options
from edge_wbc.cli.session import engine_options, exit_code, notice, open_engine_for, sink_uris, stopping
from edge_wbc.errors import UsageError


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
@click.option(
    "--serve",
    "serve_at",
    is_flag=False,
    flag_value=f"{HOST}:{PORT}",
    metavar="[HOST:PORT]",
    help=f"Watch, start and end sessions in a browser.  [default: {HOST}:{PORT}]",
)
@guarding_options
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
    serve_at: str | None,
    **guarding: Any,
) -> int:
    """Classify what SOURCE shows until it ends, or until Ctrl-C.

    On a terminal the differential is drawn as it grows, unless console: is among the sinks. With --serve sessions
    begin and end on the page.

    SOURCE is a file, a folder, a video, watch:FOLDER, v4l2:///dev/video0, csi://0, gst://PIPELINE, rtsp://…, or
    smear://?seed=1 (simulated).
    """
    from edge_wbc.cli.screen import screen
    from edge_wbc.sinks.base import open_sink
    from edge_wbc.supervisor import open_supervised

    if no_record and (record or label or notes):
        raise UsageError("--record, --label and --note need a recorded session; leave out --no-record")
    quota_bytes = round(record_quota * 1e9)
    asked = Asked(source, mode, limit, until_cells, label, notes, not no_record, record, quota_bytes, button, as_json)
    if serve_at is not None:
        if windowed:
            raise UsageError("--window and --serve both show the session; leave out one")
        from edge_wbc.cli.run_served import run_served, serving_at

        return run_served(asked, to, engine, model, serving_at(serve_at, **guarding))
    if any(guarding.values()):
        raise UsageError("--certificate, --key, --name and --behind-proxy are for --serve; add it")
    lines = as_json or any(uri.startswith("console:") for uri in to)
    watched = not lines and sys.stdout.isatty() and sys.stderr.isatty()
    sinks = [open_sink(uri) for uri in (to if watched else sink_uris(to, as_json))]
    opened = open_supervised(source, notice)
    with closing(open_engine_for(opened, engine, model)) as loaded:
        view = None
        if windowed:
            from edge_wbc.cli.window import View, window

            view = View()
        pipeline, recorder = made(asked, opened, loaded, sinks, notice, None if view is None else view.watch)
        title = f"{source} · {loaded.model.name} on {loaded.name} {loaded.precision}"
        with (
            stopping(pipeline.stop) as interrupted,
            nullcontext() if view is None else window(view, title, pipeline.status, notice),
            screen(title, pipeline.status, pipeline.slide) if watched else nullcontext(),
        ):
            outcome = pipeline.run()
    tell(asked, outcome, pipeline, recorder, until_cells)
    return exit_code(outcome, interrupted())
