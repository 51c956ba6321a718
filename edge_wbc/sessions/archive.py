"""Recorded sessions, read again: found by name, listed, taken apart into the values they were made of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_wbc.differential import Tally
from edge_wbc.errors import SessionError
from edge_wbc.manifest import LabelsGroup
from edge_wbc.records import utc_text
from edge_wbc.sessions.mosaic import forget
from edge_wbc.sessions.room import size
from edge_wbc.sessions.schema import DATABASE, LOCK, REVIEW, folders, held, opened, reading, running, text_of
from edge_wbc.types import (
    Box,
    Cell,
    CountedCell,
    Differential,
    FrameRef,
    Pixels,
    Place,
    Prediction,
    Refused,
    Session,
    Sighting,
)

INTERRUPTED = "interrupted"
"""How a session ended that has no end: it was killed, or its disk was full."""
RUNNING = "running"
ENDS = {
    "source": "the source ended",
    "limit": "so many frames were asked for",
    "cells": "enough cells were counted",
    "asked": "it was told to end",
    "stopped": "it was stopped",
    INTERRUPTED: "the recording broke off: it was killed, or the disk was full",
    RUNNING: "it is running",
}
"""What ended a session, for people; anything else is an error's line."""


@dataclass(frozen=True, slots=True)
class Head:
    """A recorded session without its cells."""

    folder: Path
    session: Session
    label: str
    notes: tuple[str, ...]
    engine_name: str
    graph: str
    """A shipped model's name, or the path of a graph, as it was then."""
    graph_sha256: str
    manifest_sha256: str
    size_px: int
    temperature: float
    unidentified_below: float
    labels: LabelsGroup
    frames: int
    refused: int
    cells: int
    ended: str
    """As `Summary.ended`, or ``running`` or ``interrupted``."""
    ended_utc: str | None
    """Of an interrupted session the time of its last cell, if it has one."""
    summary: dict[str, Any] | None
    protected: bool
    crops_removed_utc: str | None
    bytes: int


def find(place: Path, name: str) -> Path:
    """The folder of the session with this id, the only one whose id begins so, or the ``last`` one.

    :raises SessionError: none, or several.
    """
    found = folders(place)
    if name == "last" and found:
        return found[-1]
    matching = [folder for folder in found if folder.name.startswith(name)]
    exact = [folder for folder in matching if folder.name == name]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    if matching:
        some = ", ".join(folder.name for folder in matching[:3])
        raise SessionError(f"{name!r} is the beginning of {len(matching)} sessions ({some}…); write more of it")
    raise SessionError(f"no session {name!r} in {place}; see `edge-wbc sessions list`")


def heads(place: Path) -> Iterator[Head | SessionError]:
    """Every session, oldest first; in the place of one that can't be read what is wrong with it."""
    for folder in folders(place):
        try:
            yield head(folder)
        except SessionError as error:
            yield error


def head(folder: Path) -> Head:
    """:raises SessionError: the session can't be read."""
    is_running = running(folder)  # first: one that ends meanwhile has an end then
    with opened(folder) as connection:
        return _head(folder, connection, is_running)


def _head(folder: Path, connection: sqlite3.Connection, is_running: bool) -> Head:
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT * FROM session").fetchone()
    if row is None:
        raise SessionError(f"{folder / DATABASE}: nothing was recorded before it ended; `edge-wbc sessions remove` it")
    connection.row_factory = None
    (cells, last_ns) = connection.execute("SELECT count(*), max(time_ns) FROM cells").fetchone()
    session = Session(*(text_of(row[name]) for name in Session.__slots__))
    ended, ended_utc = text_of(row["ended"]), row["ended_utc"]
    if ended is None:
        ended = RUNNING if is_running else INTERRUPTED
        ended_utc = None if last_ns is None else utc_text(last_ns, session)
    return Head(
        folder=folder,
        session=session,
        label=text_of(row["label"]),
        notes=tuple(json.loads(row["notes"])),
        engine_name=row["engine_name"],
        graph=text_of(row["graph"]),
        graph_sha256=row["graph_sha256"],
        manifest_sha256=row["manifest_sha256"],
        size_px=row["size_px"],
        temperature=row["temperature"],
        unidentified_below=row["unidentified_below"],
        labels=LabelsGroup.model_validate_json(row["labels"]),
        frames=row["frames"],
        refused=row["refused"],
        cells=cells,
        ended=ended,
        ended_utc=ended_utc,
        summary=None if row["summary"] is None else json.loads(row["summary"]),
        protected=bool(row["protected"]),
        crops_removed_utc=row["crops_removed_utc"],
        bytes=size(folder),
    )


@dataclass(frozen=True, slots=True)
class Contents:
    """A recorded session as a whole, without its crops."""

    head: Head
    cells: tuple[CountedCell, ...]
    """Each with as many ``sightings`` as it had, which are empty: no crop, (0, 0, 3), and the cell's own prediction."""
    refused: tuple[Refused, ...]
    differential: Differential
    """Counted anew from the cells."""


def contents(folder: Path, known: Contents | None = None) -> Contents:
    """
    :param known: what was read of it while it was running: cells that are in it are not read again.
    :raises SessionError: the session can't be read.
    """
    is_running = running(folder)
    with opened(folder) as connection:
        connection.execute("BEGIN")  # one state of a session that may be running
        read = _head(folder, connection, is_running)
        before = () if known is None else known.cells
        last = before[-1].number if before else -1
        news = connection.execute("SELECT * FROM cells WHERE number > ? ORDER BY number", (last,))
        cells = (*before, *(_cell(row) for row in news))
        rows = connection.execute("SELECT * FROM refused ORDER BY rowid")
        refused = tuple(Refused(index, text_of(origin), text_of(reason)) for index, origin, reason in rows)
    if known is not None and len(cells) == len(before):
        return Contents(read, before, refused, known.differential)
    tally = Tally(read.labels)
    tally.add(one.prediction.label for one in cells)
    return Contents(read, cells, refused, tally.differential())


_NO_CROP = np.empty((0, 0, 3), np.uint8)


def _cell(row: Sequence[Any]) -> CountedCell:
    number, frame, origin, time_ns, _, *box, score, label, probability, probabilities, sightings, x, y = row
    prediction = Prediction(label, probability, json.loads(probabilities))
    return CountedCell(
        number,
        FrameRef(frame, time_ns, text_of(origin)),
        Cell(Box(*box), score),
        prediction,
        (Sighting(prediction, _NO_CROP),) * sightings,
        None if x is None else Place(x, y),
    )


def crops(read: Head) -> Iterator[tuple[int, Pixels]]:
    """Number and crop of each cell, of several the sharpest, in order, read a few at a time: uint8 (size, size, 3) BGR.

    :raises SessionError: the session can't be read.
    """
    sharpest = "SELECT cell, crop, max(weight) FROM sightings GROUP BY cell"
    query = f"SELECT cell, pixels FROM crops UNION ALL SELECT cell, crop FROM ({sharpest}) ORDER BY cell"
    for number, pixels, *_ in _crops(read, query):
        yield number, pixels


def sightings(read: Head) -> Iterator[tuple[int, Pixels, float, Mapping[str, float]]]:
    """Of cells decided from several sightings, each one: number, crop, weight, and what the network said of it.

    :raises SessionError: the session can't be read.
    """
    query = "SELECT cell, crop, weight, probabilities FROM sightings ORDER BY cell, rowid"
    for number, pixels, weight, said in _crops(read, query):
        yield number, pixels, weight, json.loads(said)


def _crops(read: Head, query: str) -> Iterator[tuple[Any, ...]]:
    """Rows whose second column is a crop."""
    shape = (read.size_px, read.size_px, 3)
    with opened(read.folder) as connection:
        for number, pixels, *rest in connection.execute(query):
            yield number, np.frombuffer(pixels, np.uint8).reshape(shape), *rest


def protect(folder: Path, protected: bool) -> None:
    """Keep a session's crops whatever the quota says, or no longer.

    :raises SessionError: it is running, or can't be written.
    """
    with held(folder), opened(folder, write=True) as connection:
        connection.execute("UPDATE session SET protected = ?", (protected,))


def remove(folder: Path) -> int:
    """Remove a session with everything in it, and return how many bytes that frees.

    :raises SessionError: it is running, or can't be removed.
    """
    with held(folder), reading(folder):
        freed = size(folder)
        forget(folder)
        for file in (*folder.glob(f"{DATABASE}*"), *folder.glob(f"{REVIEW}*"), folder / LOCK):
            file.unlink()
        folder.rmdir()
    return freed
