"""The contract of a sink, and the table of sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from edge_wbc.types import CountedCell, Differential, FrameResult, Refused, Session, Summary
from edge_wbc.uri import load, parse, table_with_plugins


class Sink(Protocol):
    """Where results go.

    With ``pictures = True`` a sink is given the pixels of every frame with its result.

    Call order, always from one thread: ``open`` → any number of ``frame`` / ``refused`` → ``last``, if cells are left →
    ``finish`` → ``close``.
    ``close`` is called in any case, also after an error. Each may raise ``OutputFailed``; the sink is then given
    nothing more, and the rest of the session goes on.
    """

    uri: str

    def open(self, session: Session) -> None: ...

    def frame(self, result: FrameResult) -> None: ...

    def refused(self, refused: Refused) -> None: ...

    def last(self, counted: Sequence[CountedCell]) -> None:
        """Take the cells that were counted after the last frame."""
        ...

    def finish(self, differential: Differential, summary: Summary) -> None:
        """Deliver the differential and everything still waiting; returns when it is safe."""
        ...

    def close(self) -> None: ...

    def report(self) -> Mapping[str, Any]:
        """What was delivered, for the summary. Callable at any time. ``notices``: lines that the user must see."""
        ...


@runtime_checkable
class EventSink(Sink, Protocol):
    """A sink at whose other end things happen: an instrument with a button."""

    hear: Callable[[str], None]
    """Called, from a thread of the sink's, with what happened, such as ``button``; set before ``open``."""


SINKS: dict[str, str] = {
    "console": "edge_wbc.sinks.console:open_console",
    "jsonl": "edge_wbc.sinks.files:open_jsonl",
    "csv": "edge_wbc.sinks.files:open_csv",
    "video": "edge_wbc.sinks.video:open_video",
    "serial": "edge_wbc.sinks.instrument:open_serial",
    "socket": "edge_wbc.sinks.instrument:open_serial",
    "rfc2217": "edge_wbc.sinks.instrument:open_serial",
}
"""Scheme → ``module:function(Uri) -> Sink``, imported when asked for. Other packages add
theirs by the entry-point group ``edge_wbc.sinks``."""


def open_sink(text: str) -> Sink:
    """Make a sink from its URI. Nothing is opened yet: that happens in ``Sink.open``.

    :raises UsageError: unknown scheme or option.
    """
    table = table_with_plugins(SINKS, "edge_wbc.sinks")
    uri = parse(text, table)
    return cast(Sink, load(table[uri.scheme])(uri))
