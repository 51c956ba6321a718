"""The instrument's clock seen from the host's."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from firmware_bridge.messages import TimeSync
from firmware_bridge.protocol import seq_distance

_KEPT = 8
_ROUNDING_S = 0.002  # of the instrument's two readings in ms


class _Sample(NamedTuple):
    way_s: float
    """How long question and answer were under way together."""
    host: float
    instrument_ms: int


class InstrumentClock:
    """Turns the instrument's milliseconds, which wrap around, into the host's time.

    As in NTP (RFC 5905, section 10), of the last eight measurements the one with the shortest way counts.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=_KEPT)

    def measured(self, answer: TimeSync, now: float) -> None:
        """Take an answer that arrives now, in seconds of the clock that asked."""
        asked = answer.host_sent_ns / 1e9
        held_ms = seq_distance(answer.sent_ms, answer.received_ms)
        way_s = now - asked - held_ms / 1000
        if held_ms >= 0 and way_s > -_ROUNDING_S:
            self._samples.append(_Sample(way_s, (asked + now) / 2, answer.received_ms + held_ms // 2))

    def host_time(self, instrument_ms: int) -> float | None:
        """Return the host's time in seconds at which the instrument's clock stood so; None before any measurement."""
        if not self._samples:
            return None
        best = min(self._samples)
        return best.host + seq_distance(instrument_ms, best.instrument_ms) / 1000
