"""What signed sessions teach: their cells as a person left them, each with its group, and the list of them.

One look a cell, the sharpest. Several would show the same cell again, and `train` turns, shifts and recolours it
anyway: docs/teach.md has what that costs.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath

import cv2

from edge_wbc.errors import ModelError, SessionError, SourceError, reason
from edge_wbc.manifest import load_model
from edge_wbc.review.recorded import as_signed
from edge_wbc.review.review import PILES, Review
from edge_wbc.sessions.archive import Head, crops
from edge_wbc.sessions.export import no_crops
from edge_wbc.types import LABELS

LIST = "groups.csv"
"""Beside the class folders."""
NO_CROP = "without a crop"


@dataclass(frozen=True, slots=True)
class Lesson:
    """One reviewed cell: a row of the list, whose columns are these."""

    file: str
    """Below the folder, with a forward slash."""
    label: str
    """As the person left it."""
    session: str
    field: int
    """The frame that shows it."""
    cell: int
    slide: str
    """Sessions of one slide have the same: made of the session's label, which may name a person and stays behind; of
    a session without a label its id."""
    said: str
    """The network's class."""
    decided_by: str
    """Who moved the cell; of one that nobody moved, who signed."""
    version: int
    """Of the review that was signed."""
    head: str
    """Of the review's chain, a hash."""
    crop_px: int
    margin: float | None
    """Side of the crop in lengths of the box's longer side; None: the graph is no longer where it was."""
    graph_sha256: str
    """Of the network that the crop was cut for."""


COLUMNS = tuple(column.name for column in fields(Lesson))


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a signed session teaches."""

    head: Head
    rows: tuple[Lesson, ...]
    """In the order of the cells."""
    left_out: Mapping[str, int]
    """Cells that stay out: ``unidentified``, ``not classed``, ``without a crop``."""


def lessons(review: Review) -> Lessons:
    """What a session teaches, once it is signed.

    :raises SessionError: not signed, changed since it was, or without crops.
    """
    head, signed = review.recorded.head, review.signed
    if signed is None:
        state = "is running; end it, then" if review.running else "is not signed;"
        raise SessionError(f"session {head.session.session_id} {state} review and sign it in `edge-wbc serve`")
    if not as_signed(review.folder, signed.row.body):
        raise SessionError(
            f"session {head.session.session_id}: its cells or crops were changed after it was signed; record it again"
        )
    there = {number for number, _ in crops(head)}
    if review.cells and not there:
        raise SessionError(no_crops(head))
    margin, slide = _margin(head), _slide(review)
    left_out: Counter[str] = Counter()
    rows = []
    for number, one in review.cells.items():
        label = review.class_of(number)
        if label in PILES or number not in there:
            left_out[label if label in PILES else NO_CROP] += 1
            continue
        moved = review.moved_by(number)
        rows.append(
            Lesson(
                file=f"{label}/{head.session.session_id}_{number:06}.png",
                label=label,
                session=head.session.session_id,
                field=one.frame.index,
                cell=number,
                slide=slide,
                said=one.prediction.label,
                decided_by=(moved or signed.row).who,
                version=signed.version,
                head=review.head,
                crop_px=head.size_px,
                margin=margin,
                graph_sha256=head.graph_sha256,
            )
        )
    return Lessons(head, tuple(rows), {name: left_out[name] for name in (*PILES, NO_CROP)})


def images(taught: Lessons) -> Iterator[tuple[Lesson, bytes]]:
    """Each cell with its PNG, read and made one at a time.

    :raises SessionError: the session can't be read.
    """
    rows = {one.cell: one for one in taught.rows}
    for number, pixels in crops(taught.head):
        if number in rows:
            yield rows[number], cv2.imencode(".png", pixels)[1].tobytes()


def as_csv(rows: Iterable[Lesson]) -> bytes:
    """The list, UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in rows:
        writer.writerow("" if value is None else value for value in astuple(one))
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_list(folder: Path) -> list[Lesson]:
    """The cells of a folder that `teach` wrote.

    :raises SourceError: its list can't be read, or is another one.
    """
    path = folder / LIST
    try:
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8", "surrogateescape"))))
        if not rows or tuple(rows[0]) != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        return [_lesson(dict(zip(COLUMNS, row, strict=True))) for row in rows[1:]]
    except (OSError, ValueError, csv.Error) as error:
        said = reason(error) if isinstance(error, (OSError, ValueError)) else str(error)
        raise SourceError(f"{path}: no list of taught cells ({said}); teach the sessions to a new folder") from None


def _lesson(row: Mapping[str, str]) -> Lesson:
    """:raises ValueError: no such row."""
    one = Lesson(
        **{name: row[name] for name in ("file", "label", "session", "slide", "said", "decided_by", "head")},
        field=int(row["field"]),
        cell=int(row["cell"]),
        version=int(row["version"]),
        crop_px=int(row["crop_px"]),
        margin=float(row["margin"]) if row["margin"] else None,
        graph_sha256=row["graph_sha256"],
    )
    name = PurePosixPath(one.file).name
    if one.label not in LABELS or one.file != f"{one.label}/{name}" or not name.endswith(".png"):
        raise ValueError(f"cell {one.cell} of {one.session} in {one.file}")
    return one


def _margin(head: Head) -> float | None:
    try:
        manifest = load_model(head.graph).manifest
    except ModelError:
        return None
    return manifest.input.margin if manifest.graph.sha256 == head.graph_sha256 else None


def _slide(review: Review) -> str:
    label = review.label.strip()
    if not label:
        return review.recorded.head.session.session_id
    return f"slide-{hashlib.sha256(label.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
