"""What a bad wire does to bytes: how long they take, and what becomes of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

BITS_PER_BYTE = 10
TICK_S = 0.001
"""A paced wire delivers what has arrived in so long together, as an adapter on USB at full speed does."""
LOOK_S = 0.005
_LONGEST_PIECE = 40
_KINDS = ("drop", "flip", "double", "delay")


@dataclass(frozen=True)
class Faults:
    """What the wire does to bytes. The chances are for each piece of 1 to 40 bytes."""

    drop: float = 0.0
    flip: float = 0.0
    """One bit of the piece."""
    double: float = 0.0
    delay: float = 0.0
    """By up to ``delay_s``: the piece is overtaken by those behind it."""
    delay_s: float = 0.03
    baud: int | None = None
    """Each way, ten bits to a byte; None: bytes take no time."""
    ring_bytes: int | None = None
    """So many wait for a board that does not read, and more are lost; None: all wait."""

    @property
    def any(self) -> float:
        """Chance that anything happens to a piece."""
        return 1.0 - (1.0 - self.drop) * (1.0 - self.flip) * (1.0 - self.double) * (1.0 - self.delay)


NO_FAULTS = Faults()


class Line:
    """One direction's wire: bytes arrive one after another, each ``10 / baud`` seconds after the one before."""

    def __init__(self, baud: int | None) -> None:
        self._byte_s = BITS_PER_BYTE / baud if baud else 0.0
        self._bytes = bytearray()
        self._free = 0.0  # when the first byte that has not arrived was begun

    def put(self, data: bytes, now: float) -> None:
        if not self._bytes:
            self._free = max(self._free, now)
        self._bytes += data

    def arrived(self, now: float) -> bytes:
        """Take what has arrived by now."""
        count = len(self._bytes)
        if self._byte_s:
            count = min(count, int((now - self._free) / self._byte_s))
            self._free += count * self._byte_s
        data = bytes(self._bytes[:count])
        del self._bytes[:count]
        return data

    def due(self, now: float) -> float:
        """Seconds until it is worth while to ask what has arrived."""
        if not self._bytes:
            return LOOK_S
        return max(TICK_S, self._free + self._byte_s - now) if self._byte_s else 0.0

    def clear(self) -> None:
        self._bytes.clear()


class Pieces:
    """Spoils pieces of 1 to 40 bytes of one direction, whether their bytes come one by one or together."""

    def __init__(self, faults: Faults, source: random.Random, done: Counter[str]) -> None:
        self._faults = faults
        self._any = faults.any
        self._source = source
        self._done = done
        self._left = 0  # bytes of the present piece that have not come yet
        self._fate: frozenset[str] = frozenset()
        self._flipped_at = 0
        self._late_s = 0.0
        self._piece = bytearray()

    def spoil(self, data: bytes) -> list[tuple[float, bytes]]:
        """Return what becomes of bytes, and how many seconds later than they should it goes on the wire."""
        if not self._any:
            return [(0.0, data)]
        given: list[tuple[float, bytes]] = []
        whole = at = 0
        while at < len(data):
            if not self._left:
                self._begin()
            start, at = at, min(len(data), at + self._left)
            self._left -= at - start
            if self._fate:
                given.append((0.0, data[whole:start]))
                given += self._spoilt(bytearray(data[start:at]))
                whole = at
        given.append((0.0, data[whole:]))
        return [(late_s, part) for late_s, part in given if part]

    def _begin(self) -> None:
        chance = self._source.random
        self._left = size = 1 + int(chance() * _LONGEST_PIECE)
        self._fate = frozenset()
        if chance() >= self._any:
            return
        while not self._fate:
            self._fate = frozenset(kind for kind in _KINDS if chance() < getattr(self._faults, kind))
        self._done.update(self._fate)
        self._flipped_at = int(chance() * size)
        self._late_s = chance() * self._faults.delay_s
        self._piece.clear()

    def _spoilt(self, part: bytearray) -> list[tuple[float, bytes]]:
        at = self._flipped_at - len(self._piece)
        if "flip" in self._fate and 0 <= at < len(part):
            part[at] ^= 1 << self._source.randrange(8)
        self._piece += part
        if "drop" in self._fate:
            return []
        ended = "double" in self._fate and not self._left
        late_s = self._late_s if "delay" in self._fate else 0.0
        return [(late_s, bytes(part)), *([(late_s, bytes(self._piece))] if ended else [])]
