"""Results to files: one JSON object a line, or CSV with a line a cell."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_wbc.errors import OutputFailed, UsageError, reason
from edge_wbc.records import cell_records, end_record, frame_record, refused_record, session_record
from edge_wbc.types import LABELS, CountedCell, Differential, FrameResult, Refused, Session, Summary
from edge_wbc.uri import Uri


class _File:
    """A text file that is written through at once: what was written survives the process."""

    def __init__(self, uri: str, path: Path) -> None:
        self.uri = uri
        self._path = path
        self._raw: io.FileIO | None = None
        self._lines = 0
        self._head = ""

    def open(self, session: Session) -> None:
        try:
            self._raw = io.FileIO(self._path, "w")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise OutputFailed(f"{self._path}: can't be written ({reason(error)}); choose another place") from None

    def begin(self, head: str) -> None:
        """Keep the first line until there is a second: a full disk then fails this sink alone, not the session."""
        self._head = head

    def write(self, text: str, lines: int) -> None:
        assert self._raw is not None
        # Names of files need not be UTF-8; \udcXX stands for a byte of theirs that is not, in JSON as in CSV.
        data = memoryview((self._head + text).encode(errors="backslashreplace"))
        lines += bool(self._head)
        self._head = ""
        try:
            while data:
                data = data[self._raw.write(data) :]
        except OSError as error:
            raise OutputFailed(
                f"{self._path}: writing stopped after {self._lines} lines ({reason(error)}); "
                "make room and run again, other outputs are complete"
            ) from None
        self._lines += lines

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()

    def report(self) -> Mapping[str, Any]:
        return {"path": str(self._path), "lines": self._lines}


class JsonlSink(_File):
    """``session``, ``frame`` and ``cell`` lines; the last ``session`` line holds the summary."""

    def open(self, session: Session) -> None:
        super().open(session)
        self._session = session
        self.begin(_jsonl(session_record(session)))

    def frame(self, result: FrameResult) -> None:
        self.lines_of(frame_record(result, self._session), *cell_records(result.counted))

    def last(self, counted: Sequence[CountedCell]) -> None:
        self.lines_of(*cell_records(counted))

    def refused(self, refused: Refused) -> None:
        self.lines_of(refused_record(refused))

    def finish(self, differential: Differential, summary: Summary) -> None:
        self.lines_of(end_record(self._session, summary))

    def lines_of(self, *records: Mapping[str, Any]) -> None:
        """Write a line each."""
        self.write(_jsonl(*records), len(records))


class CsvSink(_File):
    """A header and a line a cell; frames without cells leave no line."""

    _FIELDS = ("origin", "frame", "time_ns", "cell", "xmin", "ymin", "width", "height", "score", "label", "probability")

    def open(self, session: Session) -> None:
        super().open(session)
        self.begin(_csv([[*self._FIELDS, *LABELS]]))

    def frame(self, result: FrameResult) -> None:
        self.last(result.counted)

    def last(self, counted: Sequence[CountedCell]) -> None:
        rows = [
            [one.frame.origin, record["frame"], record["time_ns"], record["cell"], *record["box"]]
            + [record["score"], record["label"], record["probability"]]
            + [record["probabilities"].get(name, "") for name in LABELS]
            for one, record in zip(counted, cell_records(counted), strict=True)
        ]
        self.write(_csv(rows), len(rows))

    def refused(self, refused: Refused) -> None:
        pass

    def finish(self, differential: Differential, summary: Summary) -> None:
        self.write("", 0)


def open_jsonl(uri: Uri) -> JsonlSink:
    return JsonlSink(uri.text, _path(uri))


def open_csv(uri: Uri) -> CsvSink:
    return CsvSink(uri.text, _path(uri))


def _path(uri: Uri) -> Path:
    uri.allow()
    if not uri.path:
        raise UsageError(f"{uri.text}: names no file; write {uri.scheme}:PATH")
    return Path(uri.path)


def _jsonl(*records: Mapping[str, Any]) -> str:
    dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    return "".join(dump(record) + "\n" for record in records)


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
