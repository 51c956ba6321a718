"""Where messages wait until they are acknowledged: what a store promises, and one in memory.

Every message has a position, counted from 1 and never used twice. A stream's sequence numbers are positions
minus where the stream started, so a new stream renumbers what waits without touching it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from firmware_bridge.errors import LinkError, QueueFullError
from firmware_bridge.messages import Message, decode_message
from firmware_bridge.protocol import SEQ_MASK


def random_id(size: int) -> int:
    """Return a random number of so many bytes that is not 0."""
    return int.from_bytes(os.urandom(size), "little") or 1


@dataclass(frozen=True, slots=True)
class Row:
    """One message that waits. ``doubted``: it may have taken effect already."""

    position: int
    kind: int
    payload: bytes
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream on the instrument, and whom it was last spoken with.

    ``start`` is the position that has seq 0. ``boot_id`` is None until an instrument has answered.
    """

    stream_id: int
    start: int
    boot_id: int | None = None
    unique_id: bytes = b""

    def seq(self, position: int) -> int:
        """Return the sequence number of a position."""
        return (position - self.start) & SEQ_MASK


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message of which nobody can know whether it took effect.

    ``repeated``: it was sent again, flagged (by an instrument that forgot it); otherwise the instrument
    counted it before it took effect, and it was not. ``delivered``: acknowledged since.
    """

    position: int
    kind: int
    payload: bytes
    repeated: bool
    boot_before: int | None
    boot_after: int
    noticed_unix_ns: int
    delivered: bool = False

    @property
    def message(self) -> Message:
        """The message itself.

        :raises ProtocolError: it is of another version.
        """
        return decode_message(self.kind, self.payload)


@dataclass(frozen=True, slots=True)
class Resumption:
    """What an instrument's greeting means for the messages that wait; made by `resume.decide`.

    ``acknowledged``: the position up to which they have taken effect. ``repeated``: the position up to which
    those left are in doubt and go out again. ``withheld``: the position that is in doubt and does not.
    """

    stream: Stream
    acknowledged: int
    repeated: int = 0
    withheld: int | None = None


def doubts_of(resumption: Resumption, before: Stream, rows: Sequence[Row]) -> Iterator[Doubt]:
    """Give the doubts that a resumption raises over the rows that were waiting; each is repeated under doubt once."""
    assert resumption.stream.boot_id is not None
    now = time.time_ns()
    for row in rows:
        repeated = resumption.acknowledged < row.position <= resumption.repeated
        if (repeated and not row.doubted) or row.position == resumption.withheld:
            yield Doubt(
                row.position,
                row.kind,
                row.payload,
                repeated,
                before.boot_id,
                resumption.stream.boot_id,
                now,
                delivered=not repeated,
            )


class Store(Protocol):
    """Messages from `put` to `acknowledge`. `put`, `flush`, `doubts` are for any thread, the rest for the link's."""

    changed: threading.Condition
    """Notified whenever any figure below changes."""
    watch: Callable[[], None]
    """Called, without a lock, when `sendable` has grown."""
    stream: Stream
    last: int
    """Position of the newest message."""
    acknowledged: int
    """Position up to which every message is acknowledged."""
    maybe_sent: int
    """Position up to which bytes may have gone out in an earlier run."""

    @property
    def error(self) -> LinkError | None:
        """What the store has failed of."""
        ...

    @property
    def sendable(self) -> int:
        """Position up to which `read` gives messages."""
        ...

    def put(self, kind: int, payload: bytes) -> int:
        """Take a message and return its position.

        :raises LinkError: it was not taken.
        """
        ...

    def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the messages behind a position that may be sent."""
        ...

    def acknowledge(self, position: int) -> None:
        """Forget everything up to this position."""
        ...

    def begin_sending(self) -> None:
        """From now on bytes may go out, of what was read first of all; returns when that is remembered."""
        ...

    def end_sending(self) -> None:
        """No bytes go out until `begin_sending`."""
        ...

    def adopt(self, resumption: Resumption) -> Sequence[Doubt]:
        """Go on as decided, and return what is newly in doubt; returns when that is safe."""
        ...

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything put so far is safe; False when time ran out."""
        ...

    def doubts(self) -> Sequence[Doubt]:
        """Return everything that was ever in doubt, oldest first."""
        ...

    def fail(self) -> None:
        """Nothing will be delivered any more: let nobody wait in `put`."""
        ...

    def close(self, sent: int | None = None) -> None:
        """End it; ``sent`` is the position up to which bytes have gone out."""
        ...


class MemoryStore:
    """A store that ends with the process. `put` waits while it is full."""

    error: LinkError | None = None

    def __init__(self, capacity: int = 4096) -> None:
        self.changed = threading.Condition()
        self.watch: Callable[[], None] = lambda: None
        self.stream = Stream(random_id(4), 0)
        self.last = self.acknowledged = self.maybe_sent = 0
        self._rows: deque[Row] = deque()
        self._doubts: list[Doubt] = []
        self._capacity = capacity
        self._closed = False

    @property
    def sendable(self) -> int:
        return self.last

    def put(self, kind: int, payload: bytes) -> int:
        with self.changed:
            self.changed.wait_for(lambda: len(self._rows) < self._capacity or self._closed)
            if self._closed:
                raise QueueFullError("the queue is closed; open the link again")
            self.last += 1
            position = self.last
            self._rows.append(Row(position, kind, payload))
        self.watch()
        return position

    def read(self, after: int, limit: int) -> Sequence[Row]:
        with self.changed:
            first = max(0, after - self.acknowledged)
            return list(islice(self._rows, first, first + limit))

    def acknowledge(self, position: int) -> None:
        with self.changed:
            while self._rows and self._rows[0].position <= position:
                row = self._rows.popleft()
                if row.doubted:
                    self._delivered(row.position)
            self.acknowledged = position
            self.changed.notify_all()

    def adopt(self, resumption: Resumption) -> Sequence[Doubt]:
        with self.changed:
            fresh = list(doubts_of(resumption, self.stream, self._rows))
            self._doubts += fresh
            doubted = {doubt.position for doubt in fresh}
            self._rows = deque(replace(row, doubted=True) if row.position in doubted else row for row in self._rows)
            self.stream = resumption.stream
        self.acknowledge(resumption.acknowledged)
        return fresh

    def begin_sending(self) -> None:
        return

    def end_sending(self) -> None:
        return

    def flush(self, timeout_s: float | None = None) -> bool:
        return True

    def doubts(self) -> Sequence[Doubt]:
        with self.changed:
            return list(self._doubts)

    def close(self, sent: int | None = None) -> None:
        self.fail()

    def fail(self) -> None:
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def _delivered(self, position: int) -> None:
        for number, doubt in enumerate(self._doubts):
            if doubt.position == position:
                self._doubts[number] = replace(doubt, delivered=True)
