"""The bad wire between a host and a board's real firmware."""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import socket
import struct
import termios
import threading
import time
import tty
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.firmware_bridge.firmware.wire import LOOK_S, NO_FAULTS, TICK_S, Faults, Line, Pieces

_MOST_BACKLOG = 1 << 16
_AT_ONCE = 32
"""Bytes that a board with a ring of limited size is given before it has taken those before."""


class Relay:
    """Owns the host's pseudo-terminal and speaks to the emulator by a Unix socket; a thread carries the bytes.

    The emulator stays connected while the host's side is unplugged; what it sends meanwhile is lost.
    """

    def __init__(self, directory: Path, faults: Faults = NO_FAULTS, seed: int = 0) -> None:
        self.port = str(directory / "port")
        """A symbolic link that leads to the port, whichever it is after a replug."""
        self.wire = str(directory / "wire")
        self.faults = faults
        self.done = Counter[str]()
        """Faults made, by kind; ``overrun`` in bytes, the others in pieces."""
        source = random.Random(seed)
        self._hosts, self._boards = (Pieces(faults, source, self.done) for _ in range(2))
        self._lock = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.wire)
        self._listening.listen(1)
        self._board: socket.socket | None = None
        self._master = self._slave = -1
        self._held: list[tuple[float, int, bool, bytes]] = []
        self._to_board, self._to_host = Line(faults.baud), Line(faults.baud)
        self._backlog = bytearray()
        self._count = 0
        self._stop = False
        self.plug()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def plug(self) -> None:
        """A new pseudo-terminal under the same link."""
        with self._lock:
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            with suppress(FileNotFoundError):
                os.unlink(self.port)
            os.symlink(os.ttyname(self._slave), self.port)

    def unplug(self) -> None:
        """The host's port vanishes, with everything under way."""
        with self._lock:
            os.unlink(self.port)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1
            self._lose()

    def board_was_replaced(self) -> None:
        """Take the next connection to the wire as the board's."""
        with self._lock:
            self._drop_board()
            self._lose()

    def hand_over(self, data: bytes, within_s: float) -> bool:
        """Give the board these bytes; return whether it has read them all within that time."""
        with self._lock:
            assert self._board is not None
            self._board.sendall(data)
            deadline = time.monotonic() + within_s
            while time.monotonic() < deadline:
                if not self._unread():
                    return True
                time.sleep(0.0005)
        return False

    def close(self) -> None:
        self._stop = True
        self._thread.join(5)
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._drop_board()
        self._listening.close()

    def _drop_board(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def _lose(self) -> None:
        self._held.clear()
        self._to_board.clear()
        self._to_host.clear()
        self._backlog.clear()

    def _unread(self) -> int:
        """Memory that bytes take which the board has not read; 0 if it has read all."""
        assert self._board is not None
        (unread,) = struct.unpack("i", fcntl.ioctl(self._board, termios.TIOCOUTQ, bytes(4)))
        return int(unread)

    def _run(self) -> None:
        while not self._stop:
            with self._lock:
                reading: list[int | socket.socket] = [self._board or self._listening]
                if self._master >= 0:
                    reading.append(self._master)
                writing: list[socket.socket] = []
                now = time.monotonic()
                wait_s = min(LOOK_S, self._to_board.due(now), self._to_host.due(now))
                if self._held:
                    wait_s = min(wait_s, max(0.0, self._held[0][0] - now))
                if self._board is not None and self._backlog:
                    if self.faults.ring_bytes is None:
                        writing.append(self._board)
                    else:
                        wait_s = min(wait_s, TICK_S)
            with suppress(OSError):
                select.select(reading, writing, [], wait_s)
            with self._lock:
                self._carry()

    def _carry(self) -> None:
        now = time.monotonic()
        if self._master >= 0:
            with suppress(BlockingIOError, OSError):
                self._take(True, os.read(self._master, 4096), now)
        if self._board is None:
            self._accept()
        else:
            try:
                data = self._board.recv(4096)
            except BlockingIOError:
                pass
            except OSError:
                self._drop_board()
            else:
                self._take(False, data, now)
                if not data:
                    self._drop_board()
        while self._held and self._held[0][0] <= now:
            _, _, to_board, data = heapq.heappop(self._held)
            (self._to_board if to_board else self._to_host).put(data, now)
        arrived = self._to_host.arrived(now)
        if arrived and self._master >= 0:
            with suppress(BlockingIOError, OSError):
                os.write(self._master, arrived)
        self._give_to_board(self._to_board.arrived(now))

    def _accept(self) -> None:
        if select.select([self._listening], [], [], 0)[0]:
            self._board, _ = self._listening.accept()
            self._board.setblocking(False)

    def _give_to_board(self, arrived: bytes) -> None:
        most = self.faults.ring_bytes or _MOST_BACKLOG
        room = most - len(self._backlog)
        self._backlog += arrived[:room]
        if self.faults.ring_bytes is not None:
            self.done["overrun"] += max(0, len(arrived) - room)
        if self._board is None or not self._backlog:
            return
        with suppress(BlockingIOError, OSError):
            if self.faults.ring_bytes is None:
                del self._backlog[: self._board.send(self._backlog)]
            elif not self._unread():
                del self._backlog[: self._board.send(self._backlog[:_AT_ONCE])]

    def _take(self, to_board: bool, data: bytes, now: float) -> None:
        """Put what was read on the wire, with faults."""
        line, pieces = (self._to_board, self._hosts) if to_board else (self._to_host, self._boards)
        for late_s, part in pieces.spoil(data):
            if late_s:
                self._count += 1
                heapq.heappush(self._held, (now + late_s, self._count, to_board, part))
            else:
                line.put(part, now)
