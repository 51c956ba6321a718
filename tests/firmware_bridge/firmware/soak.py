"""The link under every fault at once: real firmware, a bad wire, unplugs, resets, hangs, hosts killed with SIGKILL.

``make soak`` runs the full size: 100,000 results to five emulated boards, 1,000,000 to the host build, and a board
that forgets at each reset. It prints a row a board and what was asked for, and fails where a result was lost, doubled,
changed or out of order, by the board's own record. ``SOAK="--results 2000 --host-results 5000"`` is less; ``--smoke``
is what CI runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from firmware_bridge.outbox_file import connect, read_doubts
from tests.firmware_bridge.firmware.bench import EMULATED_BOARDS, make, make_boards, missing_tools
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import Boot, Ledger, NoRecordError, Shown, results, shown
from tests.firmware_bridge.firmware.relay import Faults
from tests.firmware_bridge.firmware.sending_host import state

WIRE = Faults(drop=0.002, flip=0.04, double=0.002, delay=0.002)
"""0.2 % of the bytes each: a piece has 20 on average, of which one bit of one is flipped."""
FAST = 4_000_000
"""What hosts are told of a wire that takes no time: with a time-out for 115200 baud they would mostly wait."""
EVENTS = ("unplug", "reset", "kill", "hang")
RESULTS_AN_EVENT, FORGETFUL_RESULTS_AN_EVENT = 300, 60
"""On average; the second where the board forgets at a reset."""
CLOSE = 0.2
"""Chance that the next event comes while the link is still recovering from the one before."""
STALLED_S = 60.0
_LOOK_S = 0.01
_REPLUG_S = 0.02
_HANG_S = 0.1

CRC_FAILED, CUTS = 20_000, 2_000
"""What a full run has at least: frames that failed their CRC; unplugs, resets and kills."""
BOARD_RESULTS, HOST_RESULTS, HOST_BUILDS, FORGETFUL_RESULTS = 20_000, 1_000_000, 8, 5_000


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

    def __init__(self, board: Board, folder: Path, count: int, source: random.Random) -> None:
        self.board = board
        self.boots: list[Boot] = []
        """Of a board that forgets: what it had applied before each reset."""
        self.run = Soaked(board.name, count)
        self._outbox = folder / "outbox.sqlite"
        self._told, self._errors = folder / "told", folder / "errors"
        self._count = count
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
        between = FORGETFUL_RESULTS_AN_EVENT if self.board.forgets else RESULTS_AN_EVENT
        return applied + self._source.uniform(0, 2) * between / (1 - CLOSE)

    def _applied(self) -> int:
        """How many results the board has applied; one that forgets, how many were acknowledged."""
        if self.board.forgets:
            return state(self._outbox)[1]
        try:
            return self.board.record().applied
        except NoRecordError:
            return 0

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
    progress: Callable[[int], None] = lambda applied: None,
) -> Soaked:
    """Deliver ``count`` results to one board through every fault.

    :param progress: is told how many have been applied.
    :raises AssertionError: the board's record is not what was sent, or nothing went on for a minute.
    """
    began = time.monotonic()
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill loses nothing that the system was given
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir=place) as folder,
        Board(name, build, faults=wire, seed=seed) as board,
    ):
        soaking = Soak(board, Path(folder), count, random.Random(seed))
        soaking.deliver(progress)
        done = soaking.finish()
        done.seconds = time.monotonic() - began
        return done


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=BOARD_RESULTS, help="to each emulated board")
    parser.add_argument("--host-results", type=int, default=HOST_RESULTS, help="to the host builds together")
    parser.add_argument("--host-builds", type=int, default=HOST_BUILDS, help="that run side by side")
    parser.add_argument("--boards", default=",".join(EMULATED_BOARDS), help="emulated ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few hundred results to two boards")
    given = parser.parse_args()
    boards = ["microbit"] if given.smoke else [name for name in given.boards.split(",") if name]
    sizes = [(name, 200 if given.smoke else given.results, False) for name in boards]
    builds = 1 if given.smoke else given.host_builds
    in_all = 400 if given.smoke else given.host_results
    sizes += [("host", in_all // builds + (n < in_all % builds), False) for n in range(builds) if in_all]
    sizes.append(("host", 300 if given.smoke else FORGETFUL_RESULTS, True))
    if missing := missing_tools(*boards, "host"):
        parser.error(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="soak-build-") as folder, _bar() as bar:
        keeps, forgets = Path(folder, "keeps"), Path(folder, "forgets")
        make_boards(keeps, *boards, "host")
        make(forgets, "STORE=ram", "host")
        runs = []
        with ThreadPoolExecutor(len(sizes)) as pool:
            for n, (name, count, forgetful) in enumerate(sizes):
                task = bar.add_task(f"{name}, forgets" if forgetful else name, total=count)
                told = partial(_tell, bar, task)
                build = forgets if forgetful else keeps
                runs.append(pool.submit(soak, name, build, count, given.seed + n, progress=told))
        done = [run.result() for run in runs]
    return _judge(done)


def _bar() -> Progress:
    """A bar a board, on a terminal only."""
    columns = (TextColumn("{task.description:>20}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, transient=True, disable=not sys.stdout.isatty())


def _tell(bar: Progress, task: TaskID, applied: int) -> None:
    bar.update(task, completed=applied)


def _judge(done: list[Soaked]) -> int:
    """Print what happened and what was asked for; 1 if a full run falls short of it."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    kinds = ("flip", "drop", "double", "delay", *EVENTS)
    table = Table(title="None lost, none doubled, none changed, order kept: by each board's own record")
    for column in ("board", "results", "s", *kinds, "failed CRC", "sent again"):
        table.add_column(column, justify="right" if column != "board" else "left")

    def row(title: str, runs: list[Soaked], seconds: str) -> None:
        count = sum((run.done for run in runs), Counter[str]())
        figures = (sum(run.results for run in runs), *(count[kind] for kind in kinds))
        last = (sum(run.crc_failed for run in runs), sum(run.hosts["retransmitted"] for run in runs))
        cells = [f"{figure:,}" for figure in (*figures, *last)]
        table.add_row(title, cells[0], seconds, *cells[1:])

    kept = [run for run in done if run.shown is None]
    emulated, host = [run for run in kept if run.board != "host"], [run for run in kept if run.board == "host"]
    for run in emulated:
        row(run.board, [run], f"{run.seconds:.0f}")
    for title, runs in ((f"host, {len(host)} at a time", host), ("all", kept)):
        row(title, runs, f"{max((run.seconds for run in runs), default=0):.0f}")
    console.print(table)
    for run in done:
        if (seen := run.shown) is not None:
            console.print(
                f"{run.board} built to forget at each reset, {run.results} results, {seen.boots} boots with results: "
                f"{seen.in_doubt} in doubt, {seen.doubled} doubled, {seen.lost} lost, "
                f"{seen.hidden} of them not in doubt"
            )
    bars = (
        ("results to emulated boards", sum(run.results for run in emulated), len(EMULATED_BOARDS) * BOARD_RESULTS),
        ("results to host builds under ASan and UBSan", sum(run.results for run in host), HOST_RESULTS),
        ("frames that failed their CRC", sum(run.crc_failed for run in kept), CRC_FAILED),
        ("unplugs, resets and kills", sum(run.done[kind] for run in kept for kind in EVENTS[:3]), CUTS),
    )
    for title, reached, wanted in bars:
        console.print(f"{title}: {reached:,} of {wanted:,}: {'met' if reached >= wanted else 'not met'}")
    full = all(reached >= wanted for _, reached, wanted in bars[:2])
    return int(full and not all(reached >= wanted for _, reached, wanted in bars))


if __name__ == "__main__":
    sys.exit(main())
