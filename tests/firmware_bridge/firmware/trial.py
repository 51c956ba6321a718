"""One board under every fault at once: a bad wire, unplugs, resets, hangs, and hosts killed with SIGKILL."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from firmware_bridge.outbox_file import connect, read_doubts
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import Boot, Ledger, NoRecordError, Shown, results, shown
from tests.firmware_bridge.firmware.sending_host import state
from tests.firmware_bridge.firmware.wire import Faults

WIRE = Faults(drop=0.002, flip=0.04, double=0.002, delay=0.002)
"""0.2 % of the bytes each: a piece has 20 on average, of which one bit of one is flipped."""
FAST = 4_000_000
"""What hosts are told of a wire that takes no time: with a time-out for 115200 baud they would mostly wait."""
EVENTS = ("unplug", "reset", "kill", "hang")
RESULTS_AN_EVENT, OFTEN = 300, 60
"""On average; the second where the board forgets at a reset, and in a short run."""
CLOSE = 0.2
"""Chance that the next event comes while the link is still recovering from the one before."""
STALLED_S = 60.0
_LOOK_S = 0.01
_REPLUG_S = 0.02
_HANG_S = 0.1


@dataclass
class Soaked:
    """One board's run."""

    board: str
    results: int
    seconds: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    """Faults and events, by kind."""
    crc_failed: int = 0
    """Frames that failed their CRC at the board or at a host; a killed host's last moments are not counted."""
    hosts: Counter[str] = field(default_factory=Counter)
    """Sums of the hosts' counters."""
    shown: Shown | None = None
    """Of a board that forgets: what was in doubt."""


class Soak:
    """One board, the host that is to deliver to it, and what happens to both."""

    def __init__(self, board: Board, folder: Path, count: int, between: int, source: random.Random) -> None:
        self.board = board
        self.boots: list[Boot] = []
        """Of a board that forgets: what it had applied before each reset."""
        self.run = Soaked(board.name, count)
        self._outbox = folder / "outbox.sqlite"
        self._told, self._errors = folder / "told", folder / "errors"
        self._count = count
        self._between = between
        self._source = source
        self._events = cycle(source.sample(EVENTS, len(EVENTS)))
        self._next = self._after(0)
        self._host: subprocess.Popen[bytes]

    def deliver(self, progress: Callable[[int], None]) -> None:
        """Start hosts until one has delivered all, and disturb them.

        :raises AssertionError: a host failed, or nothing went on for a minute.
        """
        moved, last = time.monotonic(), -1
        while True:
            killed = False
            with self._one_host() as host:
                while host.poll() is None:
                    time.sleep(_LOOK_S)
                    if (now := self._applied()) != last:
                        moved, last = time.monotonic(), now
                        progress(now)
                    assert time.monotonic() - moved < STALLED_S, f"{self.board.name}: stuck at {now} of {self._count}"
                    if now >= self._next:
                        self._next = self._after(now)
                        killed = self._disturb(next(self._events)) or killed
            assert killed or host.returncode in (0, 1), self._errors.read_text()
            if host.returncode == 0:
                return

    def finish(self) -> Soaked:
        """Hold the board's record against what was sent.

        :raises AssertionError: it is not what was sent.
        """
        self.run.crc_failed += self.board.crc_errors() + self.run.hosts["crc_errors"]
        self.run.done.update(self.board.relay.done)
        connection = connect(self._outbox, read_only=True)
        doubts = read_doubts(connection, self._count)
        connection.close()
        if self.board.forgets:
            self._remember()
            self.run.shown = shown(self._count, self.boots, doubts)
            assert not self.run.shown.hidden, f"lost or doubled, and not in doubt: {self.run.shown}"
        else:
            assert not doubts, f"{len(doubts)} in doubt on a board that remembers: has another program used its port?"
            ledger = Ledger()
            ledger.add(results(self._count))
            ledger.check(self.board.record())
        return self.run

    @contextmanager
    def _one_host(self) -> Iterator[subprocess.Popen[bytes]]:
        module = f"{__package__}.sending_host"
        baud = str(self.board.relay.faults.baud or FAST)
        command = [sys.executable, "-m", module, self.board.port, baud, str(self._outbox), str(self._count)]
        with self._told.open("wb") as told, self._errors.open("wb") as errors:
            self._host = subprocess.Popen(command, stdout=told, stderr=errors)
        try:
            yield self._host
        finally:
            self._host.kill()
            self._host.wait()
        whole = self._told.read_text().rpartition("\n")[0].splitlines()
        if whole:
            self.run.hosts.update(json.loads(whole[-1]))

    def _after(self, applied: int) -> float:
        if self._source.random() < CLOSE:
            return applied
        return applied + self._source.uniform(0, 2) * self._between / (1 - CLOSE)

    def _applied(self) -> int:
        """How many results the board has applied; one that forgets, since all its starts."""
        before = sum(boot.record.applied for boot in self.boots)
        try:
            return before + self.board.record().applied
        except NoRecordError:
            return before

    def _disturb(self, event: str) -> bool:
        """Do it; True if it killed the host."""
        board = self.board
        self.run.done[event] += 1
        if event == "unplug":
            board.relay.unplug()
            time.sleep(_REPLUG_S)
            board.relay.plug()
        elif event == "reset":
            self._reset()
        elif event == "hang":
            board.hang(True)
            time.sleep(_HANG_S)
            board.hang(False)
        else:
            self._host.kill()
            if board.forgets:  # a power cut: the board had applied what nobody lived to hear of
                time.sleep(_REPLUG_S)
                self._reset()
        return event == "kill"

    def _reset(self) -> None:
        board = self.board
        board.hang(True)
        self.run.crc_failed += board.crc_errors()
        if board.forgets:
            self._remember()
        board.reset()
        board.hang(False)

    def _remember(self) -> None:
        """Note what a board that forgets has applied since it started."""
        try:
            record = self.board.record()
        except NoRecordError:
            return
        stream = state(self._outbox)[2]
        assert stream.stream_id == record.stream_id, "the outbox is on another stream than the board"
        self.boots.append(Boot(self.board.boots, stream.start, record))


def soak(
    name: str,
    build: Path,
    count: int,
    seed: int,
    wire: Faults = WIRE,
    between: int = RESULTS_AN_EVENT,
    progress: Callable[[int], None] = lambda applied: None,
) -> Soaked:
    """Deliver ``count`` results to one board through every fault.

    :param between: results from one event to the next, on average.
    :param progress: is told how many have been applied.
    :raises AssertionError: the board's record is not what was sent, or nothing went on for a minute.
    """
    began = time.monotonic()
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill loses nothing that the system was given
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir=place) as folder,
        Board(name, build, faults=wire, seed=seed) as board,
    ):
        soaking = Soak(board, Path(folder), count, between, random.Random(seed))
        soaking.deliver(progress)
        done = soaking.finish()
        done.seconds = time.monotonic() - began
        return done
