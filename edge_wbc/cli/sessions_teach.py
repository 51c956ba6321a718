"""The verb ``sessions teach``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from shlex import quote

import click

from edge_wbc.cli.common import print_json, progress, say
from edge_wbc.cli.place import place_option


@click.command()
@click.argument("names", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="A new folder, or one that sessions were taught to before.",
)
@place_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def teach(names: tuple[str, ...], folder: Path, place: Path | None, as_json: bool) -> int:
    """The reviewed cells of signed sessions as a folder to train on, one folder a class.

    Each cell once, its sharpest look. Sessions that were taught to DIR before are brought up to date, and nothing comes
    twice.
    """
    from edge_wbc.review.lessons import lessons
    from edge_wbc.review.review import Review
    from edge_wbc.review.teach import teach as write
    from edge_wbc.sessions.archive import find
    from edge_wbc.sessions.schema import default_place

    found = dict.fromkeys(find(place or default_place(), name) for name in names)
    given = [lessons(Review(path)) for path in found]
    with progress("teaching", sum(len(one.rows) for one in given)) as advance:
        written = write(given, folder, advance)
    left_out = {name: sum(one.left_out[name] for one in given) for name in given[0].left_out}
    classes = Counter(row.label for one in given for row in one.rows)
    corrected = sum(row.label != row.said for one in given for row in one.rows)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "sessions": [one.head.session.session_id for one in given],
                "classes": dict(classes),
                "corrected": corrected,
                "left_out": left_out,
                "new": written.new,
                "gone": written.gone,
                "cells": written.cells,
            }
        )
    out = ", ".join(f"{count} {what}" for what, count in left_out.items())
    say(
        f"{sum(classes.values())} cells of {len(given)} session{'s' * (len(given) > 1)} in {folder}, {written.new} of "
        f"them new, {corrected} corrected by a person; left out: {out}"
    )
    if written.gone:
        say(f"{written.gone} images were taken away: a newer version of a review says otherwise")
    model = given[-1].head.session.model.split()[0].removesuffix("-int8").removesuffix("-fp16")
    say(f"{written.cells} cells in it now; next: edge-wbc train --from {model} --data {quote(str(folder))}")
    return 0
