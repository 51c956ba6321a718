"""The verb ``sessions``: what was recorded."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_wbc.cli.common import as_json_option, print_json, progress, say
from edge_wbc.cli.place import place_option
from edge_wbc.cli.sessions_report import report
from edge_wbc.cli.sessions_review import refuse_signed, verify
from edge_wbc.cli.sessions_show import list_sessions, show
from edge_wbc.cli.sessions_teach import teach

if TYPE_CHECKING:
    from edge_wbc.sessions.archive import Contents
    from edge_wbc.types import Prediction


@click.group()
def sessions() -> None:
    """List, show, report, teach, export, replay, verify and remove recorded sessions.

    A session is named by its id, the beginning of its id, or `last`.
    """


sessions.add_command(list_sessions)
sessions.add_command(show)
sessions.add_command(verify)
sessions.add_command(report)
sessions.add_command(teach)


@sessions.command()
@click.argument("session", metavar="ID")
@click.option(
    "--to",
    required=True,
    metavar="FORM:PATH",
    help="csv:PATH, jsonl:PATH, folder:DIR for the crops by class, or mosaic:PATH.png.",
)
@place_option
def export(session: str, to: str, place: Path | None) -> int:
    """Cells as a table or as JSON lines, their crops, or the slide with them outlined and numbered."""
    from edge_wbc.sessions.export import export as write

    recorded = _contents(session, place)
    written = write(recorded, to)
    say(f"{written} of {len(recorded.cells)} cells of session {recorded.head.session.session_id} written to {to}")
    return 0


@sessions.command()
@click.argument("session", metavar="ID")
@click.option("--model", help="The graph it was recorded with, if that lies elsewhere now.")
@click.option("--engine", help="Another engine than it was recorded with.")
@place_option
@as_json_option
def replay(session: str, model: str | None, engine: str | None, place: Path | None, as_json: bool) -> int:
    """Decide the recorded crops again and compare: exit code 0 if every decision is the same to the last digit."""
    from edge_wbc.engines.base import open_engine
    from edge_wbc.manifest import load_model
    from edge_wbc.sessions.replay import check_graph
    from edge_wbc.sessions.replay import replay as decide_again

    recorded = _contents(session, place)
    head = recorded.head
    loaded = load_model(model or head.graph)
    check_graph(loaded, head)
    with (
        closing(open_engine(engine or head.engine_name, loaded)) as opened,
        progress("replaying", len(recorded.cells)) as advance,
    ):
        outcome = decide_again(recorded, opened, advance)
        with_engine = f"{opened.name} {opened.precision}"
    if as_json:
        print_json({"session_id": head.session.session_id, "engine": with_engine, **asdict(outcome)})
    else:
        for one in outcome.different:
            click.echo(
                f"cell {one.number}: {_decision(one.recorded)}, now {_decision(one.replayed)}; "
                f"a probability differs by {one.most:.6f}"
            )
        click.echo(
            f"session {head.session.session_id} on {with_engine} (recorded on {head.session.engine}): "
            f"{outcome.same} cells decided the same, {len(outcome.different)} differently, "
            f"{outcome.left_out} could not be decided again"
        )
    return 1 if outcome.different or outcome.left_out else 0


@sessions.command()
@click.argument("session", metavar="ID")
@click.option("--off", is_flag=True, help="Protect it no longer.")
@place_option
def protect(session: str, off: bool, place: Path | None) -> int:
    """Keep a session's crops whatever the quota says."""
    from edge_wbc.sessions.archive import protect as keep

    folder = _folder(session, place)
    keep(folder, not off)
    say(f"session {folder.name} is {'no longer ' * off}protected")
    return 0


@sessions.command()
@click.argument("session", metavar="ID")
@click.option("--even-signed", is_flag=True, help="Also one of which a review was signed.")
@place_option
def remove(session: str, even_signed: bool, place: Path | None) -> int:
    """Remove a session with everything in it."""
    from edge_wbc.sessions.archive import remove as delete

    folder = _folder(session, place)
    if not even_signed:
        refuse_signed(folder)
    freed = delete(folder)
    say(f"session {folder.name} removed, {freed / 1e6:.1f} MB freed")
    return 0


def _folder(session: str, place: Path | None) -> Path:
    from edge_wbc.sessions.archive import find
    from edge_wbc.sessions.schema import default_place

    return find(place or default_place(), session)


def _contents(session: str, place: Path | None) -> Contents:
    from edge_wbc.sessions.archive import contents

    return contents(_folder(session, place))


def _decision(prediction: Prediction) -> str:
    return f"{prediction.label} {prediction.probability:.6f}"
