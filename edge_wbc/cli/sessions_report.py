"""``sessions report``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_wbc.cli.common import say
from edge_wbc.cli.place import place_option


@click.command()
@click.argument("session", metavar="ID")
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="PATH.html, PATH.pdf, PATH.csv or PATH.json.",
)
@place_option
def report(session: str, to: Path, place: Path | None) -> int:
    """The verified and the preliminary differential with all that belongs to them, to be filed: signed or not yet."""
    from edge_wbc.report.forms import form_of, report_of, write
    from edge_wbc.review.review import Review
    from edge_wbc.sessions.archive import find
    from edge_wbc.sessions.schema import default_place

    form_of(to)
    made = report_of(Review(find(place or default_place(), session)))
    write(made, to)
    say(f"session {made.recorded.session_id}: {made.status}; written to {to}")
    return 0
