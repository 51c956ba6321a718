"""Results as lines on standard output, for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from edge_wbc.errors import OutputFailed, reason
from edge_wbc.types import CountedCell, Differential, FrameResult, Refused, Session, Summary
from edge_wbc.uri import Uri


class ConsoleSink:
    """A line a cell: frame, class, probability, place."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._cells = 0
        self._heading = ""

    def open(self, session: Session) -> None:
        self._heading = f"# {session.model} on {session.engine}, {session.mode} mode. Research use only."

    def frame(self, result: FrameResult) -> None:
        if self._heading:
            self._print(self._heading)
            self._heading = ""
        self.last(result.counted)

    def last(self, counted: Sequence[CountedCell]) -> None:
        for one in counted:
            name = PurePath(one.frame.origin).name if "://" not in one.frame.origin else ""
            box, prediction = one.cell.box, one.prediction
            self._print(
                f"{one.frame.index:>6}  {prediction.label:<20} {prediction.probability:6.1%}  "
                f"{box.width:>4}×{box.height:<4} at {box.xmin:>5},{box.ymin:<5} {name}".rstrip()
            )
            self._cells += 1

    def refused(self, refused: Refused) -> None:
        pass

    def finish(self, differential: Differential, summary: Summary) -> None:
        pass

    def close(self) -> None:
        pass

    def report(self) -> Mapping[str, Any]:
        return {"cells": self._cells}

    def _print(self, line: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        shown = line.encode(encoding, "backslashreplace").decode(encoding)  # a Latin-1 terminal, a name not in UTF-8
        try:
            sys.stdout.write(shown + "\n")
            sys.stdout.flush()
        except OSError as error:
            raise OutputFailed(f"standard output: {reason(error)}; other outputs are complete") from None


def open_console(uri: Uri) -> ConsoleSink:
    uri.allow()
    return ConsoleSink(uri.text)
