"""Delivery without input or output: each message takes effect once, in order, whatever the line does.

Go-back-N. `Sender` is the host's half and keeps what is not acknowledged; `receiver.Receiver` is the instrument's and
remembers only the stream and the last applied sequence number. Time is given, in seconds of any steady clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from firmware_bridge.errors import ProtocolError, QueueFullError
from firmware_bridge.messages import Ack, Nak, redelivered
from firmware_bridge.protocol import OVERHEAD, SEQ_MASK, Frame, encode_frame, seq_distance
from firmware_bridge.schema import NakReason, reason_name

RTO_FIRST_S = 0.025
"""Shortest retransmission timeout; from the protocol's design."""

RTO_LAST_S = 1.0
"""Where doubling ends; from the protocol's design."""

BITS_PER_BYTE = 10
"""A byte on a UART: start bit, eight bits, stop bit."""

_MOST_DOUBLINGS = 8  # 25 ms reach 1 s in six


@dataclass(slots=True)
class _Entry:
    kind: int
    payload: bytes
    sent_at: float = 0.0
    again: bool = False
    counted: bool = False


class Sender:
    """The host's half: a bounded queue, a window of bytes in flight, and when to send again.

    Call order: `connect`, then `enqueue`, `take`, `on_ack`, `on_nak` and `on_time` in any order. After a lost
    connection `connect` again; what is queued stays.
    """

    def __init__(self, baud: int, capacity: int = 4096) -> None:
        self._baud = baud
        self._capacity = capacity
        self._inflight: deque[_Entry] = deque()
        self._waiting: deque[_Entry] = deque()
        self._inflight_bytes = 0
        self._outstanding = 0  # how many from the first unacknowledged one on have been on the wire
        self._base = 1  # seq of the first unacknowledged message
        self._based = False
        self._connection = 0
        self._window = 0
        self._srtt: float | None = None
        self._rttvar = 0.0
        self._doublings = 0
        self._deadline: float | None = None
        self._mended_gap: int | None = None
        self._silent_since: float | None = None
        self.sent = 0
        """Messages put on the wire, each counted once."""
        self.acknowledged = 0
        self.retransmitted = 0
        self.naks = 0

    @property
    def pending(self) -> int:
        """Messages not acknowledged yet."""
        return len(self._inflight) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Messages that are to go out, for the first time or again."""
        return len(self._waiting)

    @property
    def outstanding(self) -> int:
        """Messages from the first unacknowledged one on that have been on the wire, or may have been."""
        return self._outstanding

    @property
    def largest_payload(self) -> int:
        """Bytes of the largest message that is not acknowledged."""
        return max((len(entry.payload) for entries in (self._inflight, self._waiting) for entry in entries), default=0)

    @property
    def full(self) -> bool:
        """Whether `enqueue` would be refused."""
        return self.pending >= self._capacity

    @property
    def ready(self) -> bool:
        """Whether `take` would return bytes."""
        return bool(self._waiting) and self._fits(self._waiting[0])

    @property
    def wire_time_s(self) -> float:
        """How long a full window takes on the wire."""
        return self._window * BITS_PER_BYTE / self._baud

    @property
    def timeout_s(self) -> float:
        """The retransmission timeout now: srtt + 4·rttvar + the window's wire time, from 25 ms, doubling to
        1 s.
        """
        first = max(RTO_FIRST_S, self.reply_s + self.wire_time_s)
        return max(first, min(RTO_LAST_S, first * 2.0**self._doublings))

    @property
    def reply_s(self) -> float:
        """How long an answer may take: srtt + 4·rttvar; 0 before any was measured."""
        return (self._srtt or 0.0) + 4 * self._rttvar

    def begin(self, base: int, outstanding: int) -> None:
        """Say, before `connect`, what seq the first unacknowledged message has, and how many from it on may have
        been on the wire under that number; what is queued is numbered from there.
        """
        self._go_back()
        self._base = base
        self._outstanding = outstanding
        self._based = True

    def doubt(self, count: int) -> None:
        """Flag the first unacknowledged messages: they may have taken effect already."""
        self._go_back()
        for entry in islice(self._waiting, count):
            entry.payload = redelivered(entry.kind, entry.payload)

    def suspend(self) -> None:
        """The connection is lost: what was in flight waits for the next one."""
        self._go_back()
        self._silent_since = None

    def connect(self, connection: int, last_applied_seq: int, window_bytes: int) -> None:
        """Begin, or go on after a lost connection, with what the instrument told in HELLO_ACK.

        :raises ProtocolError: the instrument's stream does not stand where this queue can go on.
        """
        if not self._based:
            self._based = True
            self._base = (last_applied_seq + 1) & SEQ_MASK
        covered = seq_distance(last_applied_seq, self._base) + 1
        if not 0 <= covered <= self._outstanding:
            raise ProtocolError(
                f"the instrument stands at {last_applied_seq}, the host at {self._base}; open a new link"
            )
        self._connection = connection
        self._window = window_bytes
        self._go_back()
        self._release(covered)
        self._doublings = 0
        self._mended_gap = None
        self._silent_since = None

    def enqueue(self, kind: int, payload: bytes) -> None:
        """Add a message at the end.

        :raises QueueFullError: the queue is full.
        """
        if self.full:
            raise QueueFullError(f"{self._capacity} messages wait for the instrument; wait for it or send less")
        self._waiting.append(_Entry(kind, payload))

    def take(self, now: float) -> bytes:
        """Return all that the window lets on the wire now, to be written at once."""
        frames: list[bytes] = []
        waiting, inflight = self._waiting, self._inflight
        while waiting and self._fits(waiting[0]):
            entry = waiting.popleft()
            entry.again = entry.counted or len(inflight) < self._outstanding
            self._outstanding = max(self._outstanding, len(inflight) + 1)
            self.retransmitted += entry.again
            self.sent += not entry.again
            entry.counted = True
            entry.sent_at = now
            seq = (self._base + len(inflight)) & SEQ_MASK
            frames.append(encode_frame(Frame(entry.kind, self._connection, seq, entry.payload)))
            inflight.append(entry)
            self._inflight_bytes += OVERHEAD + len(entry.payload)
        if frames:
            if self._deadline is None:
                self._deadline = now + self.timeout_s
            if self._silent_since is None:
                self._silent_since = now
        return b"".join(frames)

    def on_ack(self, ack: Ack, now: float) -> None:
        """Take a cumulative acknowledgement; an old one is without effect.

        :raises ProtocolError: it covers what was never sent.
        """
        covered = seq_distance(ack.seq, self._base) + 1
        self._answered(now)
        if covered < 0:
            return
        self._window = ack.window_bytes
        self._acknowledge(covered, now)

    def on_nak(self, nak: Nak, now: float) -> None:
        """Take a refusal. At a gap, go back at once, but once for each gap: the frames behind it are
        refused as well.

        :raises ProtocolError: the reason is not a gap, so sending again would not help.
        """
        self.naks += 1
        if nak.reason != NakReason.GAP:
            raise ProtocolError(
                f"the instrument refuses message {nak.expected_seq} (reason {reason_name(nak.reason)}); "
                "open the link again, and update the instrument's firmware if it still refuses"
            )
        covered = seq_distance(nak.expected_seq, self._base)
        self._answered(now)
        if covered < 0:
            return
        self._acknowledge(covered, now)
        if self._mended_gap != nak.expected_seq:
            self._mended_gap = nak.expected_seq
            self._go_back()

    def on_time(self, now: float) -> None:
        """Go back if the retransmission timeout has passed."""
        if self._deadline is not None and now >= self._deadline:
            self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
            self._mended_gap = None
            self._go_back()

    def wait_s(self, now: float) -> float | None:
        """Seconds until `on_time` is due, None when nothing is in flight."""
        return None if self._deadline is None else max(0.0, self._deadline - now)

    def silent_s(self, now: float) -> float:
        """Seconds that the instrument has left a sent message without any answer."""
        return 0.0 if self._silent_since is None else now - self._silent_since

    def _fits(self, entry: _Entry) -> bool:
        return not self._inflight or self._inflight_bytes + OVERHEAD + len(entry.payload) <= self._window

    def _answered(self, now: float) -> None:
        self._silent_since = now if self._outstanding else None

    def _acknowledge(self, count: int, now: float) -> None:
        if count > self._outstanding:
            raise ProtocolError("the instrument acknowledges what was never sent; restart it")
        if not count:
            return
        newest = self._inflight[count - 1] if count <= len(self._inflight) else None
        if newest is not None and not newest.again:
            self._measure(now - newest.sent_at)
        self._release(count)
        self._doublings = 0
        self._mended_gap = None
        self._deadline = now + self.timeout_s if self._inflight else None
        self._silent_since = now if self._outstanding else None

    def _release(self, count: int) -> None:
        for _ in range(count):
            if self._inflight:
                self._inflight_bytes -= OVERHEAD + len(self._inflight.popleft().payload)
            else:
                self._waiting.popleft()
        self._base = (self._base + count) & SEQ_MASK
        self._outstanding -= count
        self.acknowledged += count

    def _go_back(self) -> None:
        self._waiting.extendleft(reversed(self._inflight))
        self._inflight.clear()
        self._inflight_bytes = 0
        self._deadline = None

    def _measure(self, rtt: float) -> None:
        """Smooth the round trip as RFC 6298, section 2; resent messages are not measured (Karn)."""
        if self._srtt is None:
            self._srtt, self._rttvar = rtt, rtt / 2
        else:
            self._rttvar += (abs(self._srtt - rtt) - self._rttvar) / 4
            self._srtt += (rtt - self._srtt) / 8
