"""Results to an instrument on a serial port, each a row in an outbox until it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import firmware_bridge as bridge
from edge_wbc.errors import EnvironmentMissing, OutputFailed, UsageError
from edge_wbc.records import utc_ns
from edge_wbc.types import CountedCell, Differential, FrameResult, Refused, Session, Summary
from edge_wbc.uri import Uri

STALL_S = 10.0
"""At the end of a session the instrument may take as long as it needs, but acknowledge something in this time."""
LOST_S = 5.0
"""Without an outbox an instrument that is gone so long has failed; with one the session goes on."""
FASTEST_BAUD = 4_000_000
"""The fastest Linux has a name for."""


class InstrumentSink:
    """Every cell as CELL_RESULT, the differential at the end as DIFFERENTIAL, each acknowledged.

    With an outbox nothing waits for disk or wire before ``finish``, and what an instrument has not acknowledged then
    is delivered when the next session opens.
    """

    def __init__(self, uri: str, port: str, baud: int, outbox: str | None) -> None:
        """:param outbox: a path, ``none`` for memory alone, None for the port's own place."""
        self.uri = uri
        self.hear: Callable[[str], None] = lambda event: None
        """Called from the link's thread with the name of each event of the instrument."""
        self.acknowledged: Callable[[int], None] | None = None
        """Called from the link's thread with how many results are acknowledged, those of the outbox's past included;
        set before ``open``."""
        self._port = port
        self._baud = baud
        self._place = outbox
        self._outbox: Path | None = None
        self._link: bridge.Instrument | None = None

    def open(self, session: Session) -> None:
        self._session = session
        if self._place is None:
            self._outbox = bridge.default_outbox(self._port)
        elif self._place not in ("", "none"):
            self._outbox = Path(self._place)
        try:
            self._link = bridge.Instrument.open(
                self._port,
                baud=self._baud,
                outbox=self._outbox,
                reconnect_s=LOST_S if self._outbox is None else None,
                on_event=self._told,
                on_acknowledged=self.acknowledged,
            )
        except bridge.LinkError as error:
            raise EnvironmentMissing(str(error)) from None

    def frame(self, result: FrameResult) -> None:
        self.last(result.counted)

    def last(self, counted: Sequence[CountedCell]) -> None:
        for one in counted:
            time_ns, prediction = utc_ns(one.frame.time_ns, self._session), one.prediction
            result = bridge.CellResult(one.number, time_ns, prediction.label, prediction.probability, one.cell.box)
            self._send(result)

    def refused(self, refused: Refused) -> None:
        pass

    def finish(self, differential: Differential, summary: Summary) -> None:
        counts = {label: share.count for label, share in differential.shares.items()}
        self._send(bridge.Differential(counts, differential.total, differential.unidentified))
        assert self._link is not None
        left, before = 1, 0
        while left and left != before:
            try:
                left, before = self._link.drain(STALL_S), left
            except bridge.LinkError as error:
                raise self._failed(error) from None
        if left:
            trouble = self._link.trouble
            why = f"{trouble}: " if trouble is not None else ""
            rest = "are left" if self._outbox is None else f"wait in {self._outbox} for the next session"
            raise OutputFailed(
                f"{self._port}: {why}nothing acknowledged for {STALL_S:g} s, {left} results {rest}; "
                "check the instrument and run again"
            )

    def close(self) -> None:
        if self._link is None:
            return
        try:
            self._link.close()
        except bridge.LinkError as error:
            raise OutputFailed(str(error)) from None

    def report(self) -> Mapping[str, Any]:
        if self._link is None:
            return {}
        counters = asdict(self._link.counters)
        if self._outbox is not None:
            counters["outbox"] = str(self._outbox)
        if (trouble := self._link.trouble) is not None:
            counters["trouble"] = str(trouble)
        if counters["in_doubt"]:
            counters["notices"] = [
                f"{self._port}: {counters['in_doubt']} results may have taken effect twice or not at all, because the "
                "instrument or its cable was interrupted; see `edge-wbc instrument log`"
            ]
        return counters

    def _told(self, event: bridge.Event) -> None:
        if isinstance(event, bridge.Reported) and event.event.value:  # 0: released
            self.hear(event.event.name)

    def _send(self, message: bridge.CellResult | bridge.Differential) -> None:
        assert self._link is not None
        try:
            self._link.send(message)
        except bridge.LinkError as error:
            raise self._failed(error) from None

    def _failed(self, error: bridge.LinkError) -> OutputFailed:
        counters = self.report()
        return OutputFailed(
            f"{error} ({counters['acknowledged']} of {counters['sent']} results were acknowledged; "
            "other outputs are complete)"
        )


def open_serial(uri: Uri) -> InstrumentSink:
    """``serial:///dev/ttyACM0?baud=115200&outbox=PATH``; ``outbox=none`` keeps results in memory only.
    ``socket://HOST:PORT`` and ``rfc2217://HOST:PORT`` reach a port across a network.

    :raises UsageError: no port named.
    """
    uri.allow("baud", "outbox")
    if not uri.path:
        raise UsageError(f"{uri.text}: names no port; write for example serial:///dev/ttyACM0")
    baud = uri.option("baud", int, 115200)
    if not 0 < baud <= FASTEST_BAUD:
        raise UsageError(f"{uri.text}: baud={baud} is not from 1 to {FASTEST_BAUD}; write for example baud=115200")
    port = uri.path if uri.scheme == "serial" else f"{uri.scheme}://{uri.path}"
    return InstrumentSink(uri.text, port, baud, uri.options.get("outbox"))
