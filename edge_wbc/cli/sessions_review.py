"""What people decided about a session, for the verbs of ``sessions``; and ``sessions verify``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_wbc.cli.common import as_json_option, one_line, print_json
from edge_wbc.cli.place import place_option

if TYPE_CHECKING:
    from edge_wbc.review.decisions import Decisions, Signature
    from edge_wbc.review.review import Review


@click.command()
@click.argument("session", metavar="ID")
@click.option("--head", metavar="HASH", help="The chain's head as a report shows it: is that report of this chain?")
@place_option
@as_json_option
def verify(session: str, head: str | None, place: Path | None, as_json: bool) -> int:
    """Check a session's review: exit code 0 if its chain holds, and what was recorded is what was signed.

    Without --head a chain that was written anew as a whole, or cut off, looks as good as the one before.
    """
    from edge_wbc.review.verify import verify as check
    from edge_wbc.sessions.archive import find
    from edge_wbc.sessions.schema import default_place

    folder = find(place or default_place(), session)
    found = check(folder, head)
    if as_json:
        print_json(
            {
                "session_id": folder.name,
                "holds": found.holds,
                "findings": found.findings,
                "notes": found.notes,
                "rows": found.rows,
                "head": found.head,
                "signatures": [_signature_record(one) for one in found.signatures],
            }
        )
        return 0 if found.holds else 1
    for line in found.findings:
        click.echo(one_line(line))
    for line in found.notes:
        click.echo(one_line(f"note: {line}"))
    for one in found.signatures:
        click.echo(signature_line(one))
    outcome = "holds" if found.holds else "does NOT hold"
    click.echo(f"session {folder.name}: the chain of {found.rows} rows {outcome}, head {found.head}")
    return 0 if found.holds else 1


def review_record(decided: Decisions) -> dict[str, Any] | None:
    """As ``--json`` tells it; None where nothing was decided."""
    if not decided.rows:
        return None
    return {
        "version": decided.version,
        "signed": decided.signed is not None,
        "signatures": [_signature_record(one) for one in decided.signatures],
        "rows": len(decided.rows),
        "head": decided.head,
    }


def differential_record(review: Review) -> dict[str, Any]:
    """What a review has made of the cells."""
    from edge_wbc.review.review import NOT_CLASSED

    return {
        "verified": asdict(review.verified),
        "not_classed": len(review.left(NOT_CLASSED)),
        "unexplained": dict(review.unexplained),
        "moved": {str(number): name for number, name in review.moved.items()},
    }


def review_word(decided: Decisions) -> str:
    """For a column of a table."""
    if not decided.rows:
        return ""
    if decided.signed is None:
        return f"version {decided.version} open"
    return f"version {decided.version} signed by {decided.signed.row.who}"


def review_lines(decided: Decisions) -> list[str]:
    lines = [signature_line(one) for one in decided.signatures]
    if decided.rows and decided.signed is None:
        lines.append(f"review: version {decided.version} is open")
    return lines


def signature_line(one: Signature) -> str:
    return one_line(f"review: version {one.version} signed by {one.row.who} at {one.row.at_utc}")


def _signature_record(one: Signature) -> dict[str, Any]:
    return {"version": one.version, "by": one.row.who, "at_utc": one.row.at_utc, "hash": one.row.hash}


def refuse_signed(folder: Path) -> None:
    """:raises SessionError: a version of it was signed, or nobody can tell."""
    from edge_wbc.errors import SessionError
    from edge_wbc.review.decisions import decisions

    advice = "`edge-wbc sessions remove --even-signed` removes it with its signatures"
    try:
        signatures = decisions(folder).signatures
    except SessionError as error:
        raise SessionError(f"{error}; {advice}") from None
    if signatures:
        row = signatures[-1].row
        raise SessionError(f"session {folder.name} was signed by {row.who} at {row.at_utc}; {advice}")
