"""The verbs ``sessions list`` and ``sessions show``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.common import aligned, as_json_option, one_line, print_json, say
from edge_wbc.cli.place import place_option
from edge_wbc.cli.sessions_review import differential_record, review_lines, review_record, review_word

if TYPE_CHECKING:
    from edge_wbc.review.decisions import Decisions
    from edge_wbc.sessions.archive import Head


@click.command("list")
@place_option
@as_json_option
def list_sessions(place: Path | None, as_json: bool) -> int:
    """Every session, oldest first."""
    from edge_wbc.errors import SessionError
    from edge_wbc.review.decisions import decisions
    from edge_wbc.sessions.archive import ENDS, heads
    from edge_wbc.sessions.schema import default_place

    place = place or default_place()
    good: list[tuple[Head, Decisions | None]] = []
    bad: list[SessionError] = []
    for one in heads(place):
        if isinstance(one, SessionError):
            bad.append(one)
            continue
        try:
            good.append((one, decisions(one.folder)))
        except SessionError as error:
            good.append((one, None))
            bad.append(error)
    if as_json:
        print_json(
            {
                "place": str(place),
                "sessions": [_head_record(one, decided) for one, decided in good],
                "unreadable": [str(one) for one in bad],
                "notice": RESEARCH_USE,
            }
        )
    elif good:
        reviews = ["unreadable" if decided is None else review_word(decided) for _, decided in good]
        rows = [("session", "label", "source", "frames", "cells", "MB", "ended", "review" * any(reviews))]
        rows += [
            (
                *(one.session.session_id + "*" * one.protected, _label(one, decided), one.session.source),
                *(str(one.frames), str(one.cells), f"{one.bytes / 1e6:.1f}"),
                *(one.ended if one.ended in ENDS else "error", review),
            )
            for (one, decided), review in zip(good, reviews, strict=True)
        ]
        for line in aligned(rows, right=(3, 4, 5)):
            click.echo(line)
    else:
        say(f"no session in {place}; `edge-wbc run` records one")
    for trouble in bad:
        say(f"edge-wbc: {trouble}")
    return 3 if bad else 0


@click.command()
@click.argument("session", metavar="ID")
@place_option
@as_json_option
def show(session: str, place: Path | None, as_json: bool) -> int:
    """Cells, refused frames, how it ended, the differential, counted anew from the cells, and its review."""
    from edge_wbc.errors import SessionError
    from edge_wbc.review.review import Review
    from edge_wbc.sessions.archive import find
    from edge_wbc.sessions.schema import default_place

    folder = find(place or default_place(), session)
    trouble = False
    try:
        review = Review(folder)
    except SessionError as error:
        review, trouble = Review(folder, ()), True  # raises again where it is what was recorded
        say(f"edge-wbc: {error}")
    recorded = review.recorded
    reviewed = bool(review.moved or review.signatures)
    if as_json:
        from edge_wbc.records import cell_records

        record = _head_record(recorded.head, None if trouble else review)
        if record["review"] is not None:
            record["review"] |= differential_record(review)
        print_json(
            {
                **record,
                "differential": asdict(recorded.differential),
                "refusals": [asdict(one) for one in recorded.refused],
                "cells": list(cell_records(recorded.cells)),
                "summary": recorded.head.summary,
                "notice": RESEARCH_USE,
            }
        )
        return 3 if trouble else 0
    from edge_wbc.cli.show import differential_table

    moved = review.moved
    rows = [("cell", "label", "probability", "frame", "origin", "moved to" * bool(moved))]
    rows += [
        (
            str(one.number),
            one.prediction.label,
            f"{one.prediction.probability:.3f}",
            str(one.frame.index),
            one_line(one.frame.origin),
            moved.get(one.number, ""),
        )
        for one in recorded.cells
    ]
    for line in aligned(rows, right=(0, 2, 3)):
        click.echo(line)
    if recorded.refused:
        reasons = Counter(one.reason for one in recorded.refused)
        click.echo(f"\n{len(recorded.refused)} frames refused")
        for reason, count in reasons.most_common():
            click.echo(f"{count:>4}  {one_line(reason)}")
    click.echo()
    for line in (*_words(recorded.head, review.label), *review_lines(review)):
        click.echo(one_line(line))
    differential_table(recorded.differential, "Preliminary differential, the network's" if reviewed else "Differential")
    if reviewed:
        differential_table(review.verified, "Verified differential")
        for pile, count in review.unexplained.items():
            click.echo(f"{count} cell{'s are' if count > 1 else ' is'} {pile}, and nobody has said why they stay so")
    return 3 if trouble else 0


def _label(head: Head, decided: Decisions | None) -> str:
    """As last written."""
    return head.label if decided is None or decided.new_label is None else decided.new_label


def _head_record(head: Head, decided: Decisions | None) -> dict[str, Any]:
    from edge_wbc.sessions.mosaic import path_of

    return {
        **asdict(head.session),
        "label": _label(head, decided),
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
        "review": None if decided is None else review_record(decided),
    }


def _words(head: Head, label: str) -> list[str]:
    from edge_wbc.sessions.archive import ENDS
    from edge_wbc.sessions.mosaic import path_of

    session = head.session
    lines = [f"session {session.session_id}: {label}".rstrip(": ")]
    lines += [f"note: {note}" for note in head.notes]
    lines.append(
        f"{one_line(session.source)} in {session.mode} mode, {session.model} on {session.engine}, "
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
