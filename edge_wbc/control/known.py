"""The locked set: cells whose class is known, decided again in every run.

Where nobody has set one these are the shipped golden crops. Those are drawn, not photographed: they tell whether a
computer still decides as it did, and nothing about how good a model is on a real slide. A user's own set is a copy of
cells of a signed review, with the classes that were signed, in a file of its own beside the history. Its hash stands in
the history: a file that was changed is refused. Who can write both can change both.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_wbc import __version__
from edge_wbc.control.history import Row, append, rows
from edge_wbc.errors import InputRefused, reason
from edge_wbc.files import write_whole
from edge_wbc.golden import COUNT, golden
from edge_wbc.manifest import InputGroup
from edge_wbc.review.recorded import as_signed
from edge_wbc.review.review import Review
from edge_wbc.sessions.archive import crops
from edge_wbc.types import LABELS, Pixels

MOST_CELLS = 256
"""Of a set: 3 MB, and a fifth of a second for the network on two processors."""
LEAST_CELLS = 20
"""With fewer, agreement in all of them says no more than that 83 % are right (Clopper–Pearson)."""
GOLDEN = "golden"
"""What the drawn set is called where one is named."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which set holds, and since when."""

    row: int
    """Of the history: limits and drift begin anew with each choice. 0 where none was made."""
    at_utc: str
    who: str
    name: str
    """In words."""
    drawn: bool
    sha256: str
    """Of its file; empty for the drawn set."""
    file: str
    cells: int
    by_class: Mapping[str, int]
    signed_by: str = ""
    session_id: str = ""
    chain: str = ""
    """Head of the review's chain when its cells were copied."""


_DRAWN = Choice(0, "", "", f"golden crops ({COUNT} drawn cells)", True, "", "", COUNT, {})


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The cells, ready for a network."""

    choice: Choice
    sha256: str
    """Of crops and classes."""
    crops: Pixels
    """uint8 (N, size, size, 3) BGR."""
    labels: tuple[str, ...]


def choice(place: Path) -> Choice:
    """Which set holds in this place.

    :raises SessionError: the history can't be read.
    """
    made = rows(place, "set")
    return _choice(made[-1]) if made else _DRAWN


def known(place: Path, expected: InputGroup) -> Known:
    """The cells of the set that holds, as a network takes them.

    :raises InputRefused: the file is not there, was changed, or holds crops of another size.
    :raises SessionError: the history can't be read.
    """
    chosen = choice(place)
    if chosen.drawn:
        drawn = golden(expected.size_px, expected.margin)
        return _known(chosen, drawn.crops, drawn.labels)
    path = place / chosen.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputRefused(f"{path}: {reason(error)}; {_SET_ANEW}") from None
    if (found := hashlib.sha256(data).hexdigest()) != chosen.sha256:
        raise InputRefused(
            f"{path}: the locked set was changed (hash {found[:12]}…, not {chosen.sha256[:12]}…); {_SET_ANEW}"
        )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            pixels, labels = file["crops"], tuple(map(str, file["labels"]))
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputRefused(f"{path}: no set of cells ({error}); {_SET_ANEW}") from None
    if pixels.shape[1] != expected.size_px:
        raise InputRefused(
            f"the locked set has crops of {pixels.shape[1]} pixels, this model takes {expected.size_px}; "
            "set the cells of a session of this model by `edge-wbc control set`"
        )
    return _known(chosen, pixels, labels)


def choose_golden(place: Path, who: str) -> Choice:
    """Take the drawn set; limits and drift begin anew.

    :raises OutputFailed: it can't be written.
    """
    return _chosen(
        place, who, {"name": _DRAWN.name, "drawn": True, "sha256": "", "file": "", "cells": COUNT, "by_class": {}}
    )


def choose(place: Path, who: str, review: Review) -> Choice:
    """Copy the cells of a signed review with the classes that were signed; limits and drift begin anew.

    Of more than 256 they are taken in turn from each class, in the order in which they were counted.

    :raises InputRefused: not signed, changed since, or too few cells that have a class and a crop.
    :raises OutputFailed: it can't be written.
    """
    name = review.folder.name
    if review.signed is None:
        raise InputRefused(f"session {name} is not signed; review and sign it first")
    signed = review.signed.row
    if not as_signed(review.folder, signed.body):
        raise InputRefused(f"session {name}: its cells or crops are not those that were signed; take another session")
    classes = {number: label for number in review.cells if (label := review.class_of(number)) in LABELS}
    taken = {number: pixels.copy() for number, pixels in crops(review.recorded.head) if number in classes}
    numbers = _in_turn({number: classes[number] for number in taken})
    if len(numbers) < LEAST_CELLS:
        raise InputRefused(
            f"session {name} has {len(numbers)} cells with a class and a crop; a set needs {LEAST_CELLS}"
        )
    labels = [classes[number] for number in numbers]
    file = io.BytesIO()
    np.savez(file, crops=np.stack([taken[number] for number in numbers]), labels=labels, numbers=numbers)
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    path = place / f"control-set-{digest[:16]}.npz"
    write_whole(path, data, "make room or check the folder's rights, and set it again")
    told = {
        "name": f"{len(numbers)} cells of session {name}",
        "drawn": False,
        "sha256": digest,
        "file": path.name,
        "cells": len(numbers),
        "by_class": Counter(labels),
        "signed_by": signed.who,
        "session_id": name,
        "chain": review.head,
    }
    return _chosen(place, who, told)


_SET_ANEW = "set one again by `edge-wbc control set`"


def _chosen(place: Path, who: str, told: Mapping[str, Any]) -> Choice:
    row = append(place, "set", {**told, "who": who, "version": __version__})
    assert row is not None  # only sessions are there once
    return _choice(row)


def _choice(row: Row) -> Choice:
    names = asdict(_DRAWN).keys() - {"row", "at_utc"}
    return Choice(row.number, row.at_utc, **{name: row.body[name] for name in names if name in row.body})


def _in_turn(classes: Mapping[int, str]) -> list[int]:
    seen: Counter[str] = Counter()
    ranked = []
    for number in sorted(classes):
        label = classes[number]
        ranked.append((seen[label], LABELS.index(label), number))
        seen[label] += 1
    return sorted(number for *_, number in sorted(ranked)[:MOST_CELLS])


def _known(chosen: Choice, pixels: Pixels, labels: tuple[str, ...]) -> Known:
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes())
    digest.update("\n".join(labels).encode())
    return Known(chosen, digest.hexdigest(), np.ascontiguousarray(pixels), labels)
