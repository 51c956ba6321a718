"""Records a session as it runs: every counted cell with its crop, every refused frame, how it ended.

SQLite in WAL mode with synchronous=FULL. One thread writes what has come together in the last moment in one commit, so
that a kill at any time costs at most that moment, and neither the pipeline nor other sinks wait for the disk.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_wbc.errors import OutputFailed
from edge_wbc.manifest import MODELS, Model, manifest_path, sha256
from edge_wbc.records import utc_text
from edge_wbc.sessions.mosaic import keep
from edge_wbc.sessions.room import QUOTA_BYTES, make_room
from edge_wbc.sessions.schema import DATABASE, connect, lock, make, said, text_for
from edge_wbc.types import CountedCell, Differential, FrameResult, Refused, Session, Summary
from edge_wbc.vision.mosaic import Mosaic
from edge_wbc.vision.slide_map import SlideMap

COMMIT_S = 0.2
"""Cells wait so long for a commit: what a kill may cost."""
COUNT_S = 2.0
"""The same for frames without cells, which are only counted: a camera on an empty slide must not wear out a card."""
GROUP = 256
"""So many cells are committed at once without waiting: 3 MB of crops."""
MOST_WAITING = 4 * GROUP
"""Cells that may wait for the disk; when it is slower, the pipeline waits."""
LEAVE_S = 1.0
"""How long a disk that hangs is waited for when the session is over."""
LOOK_BYTES = 64_000_000
"""The quota is looked at again after so many bytes of crops."""

_CELL = f"INSERT INTO cells VALUES ({', '.join('?' * 16)})"


class Recorder:
    """A sink that writes ``PLACE/SESSION_ID/session.sqlite``. The folder stays away if nothing was seen."""

    def __init__(
        self,
        place: Path,
        session_id: str,
        model: Model,
        engine: str,
        *,
        label: str = "",
        notes: Sequence[str] = (),
        quota_bytes: int = QUOTA_BYTES,
    ) -> None:
        """
        :param engine: by its name, as a replay opens it again.
        :param quota_bytes: of all sessions in this place; see `room.make_room`.
        """
        self.uri = f"session:{session_id}"
        self.folder = place / session_id
        self._place = place
        self._circumstances = _circumstances(model, engine, label, notes)
        self._quota = quota_bytes
        self._changed = threading.Condition()
        self._cells: list[CountedCell] = []
        self._refused: list[Refused] = []
        self._frames = 0
        self._relabelled = False
        self._due = math.inf
        self._closing = False
        self._end: Summary | None = None
        self._error: Exception | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self.mosaic: Callable[[], tuple[Mosaic, SlideMap] | None] = lambda: None
        """Asked once the session has ended: what was seen of the slide."""
        self._mosaic_failed = ""
        self._thread = threading.Thread(target=self._write, name=f"edge-wbc recorder {session_id}", daemon=True)
        self._written = 0
        self._without_crops = 0
        self._since_look = 0
        self._full = False

    def open(self, session: Session) -> None:
        """:raises OutputFailed: the place can't be written."""
        self._session = session
        self.uri, self.folder = f"session:{session.session_id}", self._place / session.session_id
        try:
            self.folder.mkdir(parents=True)
            self._lock = lock(self.folder)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise OutputFailed(
                f"{self.folder}: can't be written ({said(error)}); --record another place, or --no-record"
            ) from None
        self._look_for_room()
        self._thread.start()

    def frame(self, result: FrameResult) -> None:
        self._put(result.counted, (), 1)

    def refused(self, refused: Refused) -> None:
        self._put((), (refused,), 0)

    def last(self, counted: Sequence[CountedCell]) -> None:
        self._put(counted, (), 0)

    def finish(self, differential: Differential, summary: Summary) -> None:
        self._end = summary
        self._close(None)
        if self._error is not None:
            raise self._error
        if self._connection is not None and not self._full and (seen := self.mosaic()) is not None:
            try:
                keep(self.folder, *seen)
            except OSError as error:
                self._mosaic_failed = said(error)

    def label(self, text: str) -> None:
        """Say what the session is of, before it begins or while it runs; from any thread."""
        with self._changed:
            self._circumstances["label"] = text
            self._relabelled, self._due = True, min(self._due, time.monotonic() + COMMIT_S)
            self._changed.notify_all()

    def close(self) -> None:
        if self._thread.ident is not None:
            self._close(LEAVE_S)
        if self._lock is not None and not self._thread.is_alive():
            os.close(self._lock)
            self._lock = None
            if self._connection is None and self._error is None:
                self._remove()

    def report(self) -> Mapping[str, Any]:
        report: dict[str, Any] = {"path": str(self.folder), "cells": self._written}
        notices = []
        if self._mosaic_failed:
            notices.append(f"{self.folder}: no mosaic ({self._mosaic_failed}); the session is complete without it")
        if self._without_crops:
            notices.append(
                f"{self._place}: full to its quota of {self._quota / 1e9:g} GB; {self._without_crops} cells were "
                "recorded without crops; `edge-wbc sessions remove` old ones, or raise --record-quota"
            )
        return report | {"notices": notices} if notices else report

    def _put(self, cells: Sequence[CountedCell], refused: Sequence[Refused], frames: int) -> None:
        with self._changed:
            while len(self._cells) >= MOST_WAITING and self._error is None:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            self._cells.extend(cells)
            self._refused.extend(refused)
            self._frames += frames
            if not (cells or refused or frames):
                return
            due = time.monotonic() + (COMMIT_S if cells or refused else COUNT_S)
            if due < self._due or len(self._cells) >= GROUP:
                self._due = min(due, self._due)
                self._changed.notify_all()

    def _close(self, timeout_s: float | None) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _write(self) -> None:
        try:
            try:
                while self._commit():
                    pass
            finally:
                if self._connection is not None:
                    self._connection.close()
        except (sqlite3.Error, OSError) as error:
            self._fail(
                OutputFailed(
                    f"{self.folder / DATABASE}: recording stopped after {self._written} cells ({said(error)}); "
                    "make room and run again, other outputs are complete"
                )
            )
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            self._cells.clear()
            self._changed.notify_all()

    def _ready(self) -> bool:
        return self._closing or len(self._cells) >= GROUP or time.monotonic() >= self._due

    def _commit(self) -> bool:
        """Wait until something is to be written, and write all there is; False after the last commit."""
        with self._changed:
            while not self._ready():
                self._changed.wait(None if self._due == math.inf else self._due - time.monotonic())
            cells, self._cells = self._cells, []
            refused, self._refused = self._refused, []
            frames, self._frames = self._frames, 0
            closing, self._due = self._closing, math.inf
            label = self._circumstances["label"] if self._relabelled and self._connection is not None else None
            self._relabelled = False
            self._changed.notify_all()
        if cells or refused or frames or (closing and self._connection is not None):
            self._transact(cells, refused, frames, self._end if closing else None)
        if label is not None and self._connection is not None:
            self._connection.execute("UPDATE session SET label = ?", (text_for(label),))
        if self._since_look >= LOOK_BYTES:
            self._look_for_room()
        return not closing

    def _transact(
        self, cells: Sequence[CountedCell], refused: Sequence[Refused], frames: int, end: Summary | None
    ) -> None:
        connection = self._connection or self._begun()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_CELL, self._rows(cells))
        if self._full:
            self._without_crops += len(cells)
        else:
            alone = [(one.number, one.sightings[0].crop.tobytes()) for one in cells if len(one.sightings) == 1]
            several = [row for one in cells if len(one.sightings) > 1 for row in _sightings(one)]
            connection.executemany("INSERT INTO crops VALUES (?, ?)", alone)
            connection.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?)", several)
            self._since_look += sum(len(pixels) for _, pixels, *_ in (*alone, *several))
        connection.executemany(
            "INSERT INTO refused VALUES (?, ?, ?)",
            [(one.index, text_for(one.origin), text_for(one.reason)) for one in refused],
        )
        connection.execute("UPDATE session SET frames = frames + ?, refused = refused + ?", (frames, len(refused)))
        if end is not None:
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            connection.execute(
                "UPDATE session SET ended = ?, ended_utc = ?, summary = ?",
                (text_for(end.ended), now, _json(asdict(end))),
            )
        connection.execute("COMMIT")
        self._written += len(cells)
        if end is not None:
            self._alone(connection)

    def _begun(self) -> sqlite3.Connection:
        """Make the database, with the session's row."""
        self._connection = connection = connect(self.folder / DATABASE, new=True)
        connection.execute("PRAGMA journal_mode=WAL")
        row = {name: text_for(value) for name, value in (asdict(self._session) | self._circumstances).items()}
        connection.execute("BEGIN IMMEDIATE")
        make(connection)
        connection.execute(
            f"INSERT INTO session ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )
        connection.execute("COMMIT")
        return connection

    def _rows(self, cells: Sequence[CountedCell]) -> list[tuple[Any, ...]]:
        return [
            (
                *(one.number, one.frame.index, text_for(one.frame.origin), one.frame.time_ns),
                utc_text(one.frame.time_ns, self._session),
                *one.cell.box,
                *(one.cell.score, one.prediction.label, one.prediction.probability),
                _json(dict(one.prediction.probabilities)),
                len(one.sightings),
                *(one.place or (None, None)),
            )
            for one in cells
        ]

    def _alone(self, connection: sqlite3.Connection) -> None:
        """One file, readable from a medium that can't be written; a program that reads it now may prevent that."""
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=DELETE")

    def _look_for_room(self) -> None:
        self._since_look = 0
        self._full = make_room(self._place, self._quota) > self._quota

    def _remove(self) -> None:
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()


def _sightings(one: CountedCell) -> list[tuple[Any, ...]]:
    return [
        (one.number, sighting.crop.tobytes(), sighting.weight, _json(dict(sighting.prediction.probabilities)))
        for sighting in one.sightings
    ]


def _circumstances(model: Model, engine: str, label: str, notes: Sequence[str]) -> dict[str, Any]:
    """What a replay needs, and what the user says about the session."""
    manifest = model.manifest
    return {
        "label": label,
        "notes": _json(list(notes)),
        "engine_name": engine,
        "graph": model.graph.stem if model.graph.parent == MODELS else str(model.graph.absolute()),
        "graph_sha256": manifest.graph.sha256,
        "manifest_sha256": sha256(manifest_path(model.graph)),
        "size_px": manifest.input.size_px,
        "temperature": manifest.graph.temperature,
        "unidentified_below": manifest.labels.unidentified_below,
        "labels": manifest.labels.model_dump_json(),
    }


_json = json.JSONEncoder(separators=(",", ":")).encode
