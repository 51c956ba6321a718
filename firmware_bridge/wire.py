"""One direction of a serial line, without a port: bytes come out as late as they would at a baud rate."""

from __future__ import annotations

from collections import deque

from firmware_bridge.delivery import BITS_PER_BYTE

FIFO_BYTES = 64
"""What a UART takes ahead of the line; the rest waits in whoever writes, as in a terminal's buffer."""


class Wire:
    """Takes bytes, and gives each message of them when its last byte has come through. Time is given, in seconds."""

    def __init__(self, baud: int | None) -> None:
        """:param baud: bit/s, ten for a byte; None for a line that takes no time."""
        self._byte_s = 0.0 if baud is None else BITS_PER_BYTE / baud
        self._free_at = 0.0
        self._way: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    @property
    def takes(self) -> bool:
        """Whether there is room ahead of the line."""
        return self._bytes < FIFO_BYTES

    def put(self, data: bytes, now: float) -> None:
        """Begin to carry bytes; messages end with 0."""
        self._free_at = max(self._free_at, now)
        while data:
            part, data = data[: (end := data.find(b"\0") + 1 or len(data))], data[end:]
            self._free_at += len(part) * self._byte_s
            self._way.append((self._free_at, part))
            self._bytes += len(part)

    def take(self, now: float) -> bytes:
        """What has come through."""
        through = bytearray()
        while self._way and self._way[0][0] <= now:
            through += self._way.popleft()[1]
        self._bytes -= len(through)
        return bytes(through)

    def wait_s(self, now: float) -> float | None:
        """Seconds until `take` gives something; None while nothing is under way."""
        return max(0.0, self._way[0][0] - now) if self._way else None
