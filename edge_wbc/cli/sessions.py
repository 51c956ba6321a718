"""The verb ``sessions``: what was recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.sessions_report import report

if TYPE_CHECKING:
    from edge_wbc.sessions.archive import Contents, Head
    from edge_wbc.types import Prediction

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

ENDS = {
    "source": "the source ended",
    "limit": "so many frames were asked for",
    "cells": "enough cells were counted",
    "asked": "the instrument ended it",
    "stopped": "it was stopped",
    "interrupted": "the recording broke off: it was killed, or the disk was full",
    "running": "it is running",
}
"""What ended a session, for people; anything else is an error's line."""


@click.group()
def sessions() -> None:
    """List, show, export, replay and remove recorded sessions.

    A session is named by its id, the beginning of its id, or `last`.
    """


def place_option(command: Decorated) -> Decorated:
    return click.option(
        "--record",
        "place",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Where the sessions are, as for `edge-wbc run`; the user's data folder by default.",
    )(command)


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@sessions.command("list")
@place_option
@as_json_option
def list_sessions(place: Path | None, as_json: bool) -> int:
    """Every session, oldest first."""
    from edge_wbc.errors import SessionError
    from edge_wbc.sessions.archive import heads
    from edge_wbc.sessions.schema import default_place

    place = place or default_place()
    found = list(heads(place))
    good = [one for one in found if not isinstance(one, SessionError)]
    bad = [one for one in found if isinstance(one, SessionError)]
    if as_json:
        print_json(
            {
                "place": str(place),
                "sessions": [_head_record(one) for one in good],
                "unreadable": [str(one) for one in bad],
                "notice": RESEARCH_USE,
            }
        )
    elif good:
        rows = [("session", "label", "source", "frames", "cells", "MB", "ended")]
        rows += [
            (
                *(one.session.session_id + "*" * one.protected, one.label, one.session.source),
                *(str(one.frames), str(one.cells), f"{one.bytes / 1e6:.1f}"),
                one.ended if one.ended in ENDS else "error",
            )
            for one in good
        ]
        for line in _aligned(rows, right=(3, 4, 5)):
            click.echo(line)
    else:
        say(f"no session in {place}; `edge-wbc run` records one")
    for error in bad:
        say(f"edge-wbc: {error}")
    return 3 if bad else 0


@sessions.command()
@click.argument("session", metavar="ID")
@place_option
@as_json_option
def show(session: str, place: Path | None, as_json: bool) -> int:
    """Cells, refused frames, how it ended, and the differential, counted anew from the cells."""
    recorded = _contents(session, place)
    if as_json:
        from edge_wbc.records import cell_records

        print_json(
            {
                **_head_record(recorded.head),
                "differential": asdict(recorded.differential),
                "refusals": [asdict(one) for one in recorded.refused],
                "cells": list(cell_records(recorded.cells)),
                "summary": recorded.head.summary,
                "notice": RESEARCH_USE,
            }
        )
        return 0
    from edge_wbc.cli.show import differential_table

    rows = [("cell", "label", "probability", "frame", "origin")]
    rows += [
        (
            str(one.number),
            one.prediction.label,
            f"{one.prediction.probability:.3f}",
            str(one.frame.index),
            _shown(one.frame.origin),
        )
        for one in recorded.cells
    ]
    for line in _aligned(rows, right=(0, 2, 3)):
        click.echo(line)
    if recorded.refused:
        reasons = Counter(one.reason for one in recorded.refused)
        click.echo(f"\n{len(recorded.refused)} frames refused")
        for reason, count in reasons.most_common():
            click.echo(f"{count:>4}  {_shown(reason)}")
    click.echo()
    for line in _words(recorded.head):
        click.echo(line)
    differential_table(recorded.differential, "Differential")
    return 0


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


sessions.add_command(report)


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
@place_option
def remove(session: str, place: Path | None) -> int:
    """Remove a session with everything in it."""
    from edge_wbc.sessions.archive import remove as delete

    folder = _folder(session, place)
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


def _head_record(head: Head) -> dict[str, Any]:
    from edge_wbc.sessions.mosaic import path_of

    return {
        **asdict(head.session),
        "label": head.label,
        "notes": list(head.notes),
        "frames": head.frames,
        "refused": head.refused,
        "counted": head.cells,
        "ended": head.ended,
        "ended_utc": head.ended_utc,
        "protected": head.protected,
        "crops_removed_utc": head.crops_removed_utc,
        "graph_sha256": head.graph_sha256,
        "path": str(head.folder),
        "mosaic": None if (picture := path_of(head.folder)) is None else str(picture),
        "bytes": head.bytes,
    }


def _words(head: Head) -> list[str]:
    from edge_wbc.sessions.mosaic import path_of

    session = head.session
    lines = [f"session {session.session_id}: {head.label}".rstrip(": ")]
    lines += [f"note: {note}" for note in head.notes]
    lines.append(
        f"{_shown(session.source)} in {session.mode} mode, {session.model} on {session.engine}, "
        f"edge-wbc {session.version}"
    )
    ended = head.ended_utc or "nothing counted"
    lines.append(f"{session.started_utc} to {ended}: {ENDS.get(head.ended, head.ended)}")
    lines.append(
        f"{head.frames} frames, {head.refused} refused, {head.cells} cells, {head.bytes / 1e6:.1f} MB in {head.folder}"
    )
    if (picture := path_of(head.folder)) is not None:
        lines.append(
            f"mosaic: {picture}; with numbered cells: sessions export {session.session_id} --to mosaic:PATH.png"
        )
    if head.crops_removed_utc:
        lines.append(f"its crops were removed on {head.crops_removed_utc[:10]} to keep the quota")
    if head.protected:
        lines.append("protected: its crops are kept")
    return lines


def _decision(prediction: Prediction) -> str:
    return f"{prediction.label} {prediction.probability:.6f}"


def _aligned(rows: Sequence[tuple[str, ...]], right: Sequence[int]) -> list[str]:
    """Columns of equal width, two spaces between them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            _shown(value).rjust(width) if i in right else _shown(value).ljust(width)
            for i, (value, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _shown(text: str) -> str:
    """Names of files need not be UTF-8, and a label may hold a line break."""
    return " ".join(text.encode(errors="backslashreplace").decode().splitlines())
