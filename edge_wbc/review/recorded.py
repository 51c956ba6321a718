"""SHA-256 of what was recorded of a session: what a signature is under.

``session_sha256``  the row of ``session``, but what may change later (``protected``, ``crops_removed_utc``), and the
                    refused frames
``cells_sha256``    every cell
``crops_sha256``    the crops of the cells, with what the network said of each look

Each is over lines of JSON, a line a row: the row's values in the order of their columns in `sessions.schema`; bytes are
``{"bytes": hexadecimal}``. A crop's pixels follow its line as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from edge_wbc.sessions.schema import opened

DIGESTS: Final = ("session_sha256", "cells_sha256", "crops_sha256")

_SESSION = (
    "SELECT session_id, source, mode, model, engine, started_utc, started_ns, started_unix_ns, version, label, notes, "
    "engine_name, graph, graph_sha256, manifest_sha256, size_px, temperature, unidentified_below, labels, frames, "
    "refused, ended, ended_utc, summary FROM session"
)
_REFUSED = "SELECT frame, origin, reason FROM refused ORDER BY rowid"
_CELLS = (
    "SELECT number, frame, origin, time_ns, utc, xmin, ymin, width, height, score, label, probability, probabilities, "
    "sightings, x, y FROM cells ORDER BY number"
)
_CROPS = "SELECT CAST(pixels AS BLOB), cell FROM crops ORDER BY cell"
_SIGHTINGS = "SELECT CAST(crop AS BLOB), cell, weight, probabilities FROM sightings ORDER BY cell, rowid"


def digests(folder: Path) -> dict[str, str]:
    """The three of a session.

    :raises SessionError: it can't be read.
    """
    with opened(folder) as connection:
        connection.execute("BEGIN")
        session, cells, crops = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        for query in (_SESSION, _REFUSED):
            for row in connection.execute(query):
                session.update(_line(row))
        for row in connection.execute(_CELLS):
            cells.update(_line(row))
        for query in (_CROPS, _SIGHTINGS):
            for pixels, *row in connection.execute(query):
                crops.update(_line(row))
                crops.update(pixels)
    return {name: made.hexdigest() for name, made in zip(DIGESTS, (session, cells, crops), strict=True)}


def as_signed(folder: Path, signed: Mapping[str, Any]) -> bool:
    """Whether what is recorded is what a signature is under.

    :param signed: the body of its row.
    :raises SessionError: it can't be read.
    """
    return all(signed.get(name) == digest for name, digest in digests(folder).items())


def crops_gone(folder: Path) -> bool:
    """Whether the quota has removed a session's crops, or it is so that it can have.

    :raises SessionError: it can't be read.
    """
    query = "SELECT EXISTS (SELECT 1 FROM crops) OR EXISTS (SELECT 1 FROM sightings), crops_removed_utc FROM session"
    with opened(folder) as connection:
        some, removed_utc = connection.execute(query).fetchone()
    return not some and removed_utc is not None


def _line(row: Iterable[Any]) -> bytes:
    values = [{"bytes": value.hex()} if isinstance(value, bytes) else value for value in row]
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"
