"""How fast the link is, on real firmware: ``make rates``, or ``python -m tests.firmware_bridge.firmware.rates``.

Results a second without and with a wire of 115200 baud, how long one result takes on an idle link, how soon results
arrive again after a replug, and how soon a burst is on a slow disk. Exits with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firmware_bridge import Disconnected, Instrument
from tests.faults import faults_library
from tests.firmware_bridge.firmware.bench import (
    EMULATED_BOARDS,
    QEMU_BOARDS,
    make_boards,
    missing_tools,
)
from tests.firmware_bridge.firmware.board import Board
from tests.firmware_bridge.firmware.ledger import Ledger, results
from tests.firmware_bridge.firmware.wire import BITS_PER_BYTE, NO_FAULTS, Faults

BAUD = 115200
FRAME_BYTES = 38
CAPACITY = BAUD / BITS_PER_BYTE / FRAME_BYTES
"""Results a second where frames follow one another without a gap."""

UNPACED, SHARE, P99_S, REPLUG_S, BURST_S = 1000.0, 0.85, 0.020, 0.250, 1.0
"""What is asked for: results a second on two boards, a share of the wire's capacity on each, the others at most."""
_UNPACED_BOARDS = ("lm3s6965evb", "microbit")
FSYNC_S = 0.020
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    unpaced: int = 5000
    paced: int = 1500
    single: int = 400
    replugs: int = 20


@dataclass(frozen=True)
class Rates:
    """One board's figures."""

    board: str
    unpaced: float
    """Results a second."""
    share: float
    """Of the capacity of a wire of 115200 baud."""
    single_s: tuple[float, float]
    """From `send` to acknowledged, which comes after applied, at 115200 baud: median, 99th percentile."""
    replug_s: float
    """From the port's return to the next result acknowledged, median."""

    def missed(self) -> list[str]:
        """Return the bars that this board does not reach."""
        missed = []
        if self.board in _UNPACED_BOARDS and self.unpaced < UNPACED:
            missed.append(f"{self.unpaced:.0f} of {UNPACED:.0f} results/s")
        if self.share < SHARE:
            missed.append(f"{self.share:.1%} of {SHARE:.0%} of the wire")
        if self.board in QEMU_BOARDS and self.single_s[1] >= P99_S:
            missed.append(f"p99 {self.single_s[1] * 1000:.1f} ms, not {P99_S * 1000:.0f}")
        if self.replug_s >= REPLUG_S:
            missed.append(f"back after {self.replug_s * 1000:.0f} ms, not {REPLUG_S * 1000:.0f}")
        return missed


@dataclass(frozen=True)
class Burst:
    """A thousand results on a disk whose fsync takes 20 ms."""

    one_s: float
    durable_s: float
    longest_send_s: float


def measure(name: str, build: Path, size: Size = Size()) -> Rates:
    """Measure one board.

    :raises AssertionError: a result was not applied as it should.
    """
    paced = Faults(baud=BAUD)
    unpaced = results_per_second(name, build, NO_FAULTS, size.unpaced)
    share = results_per_second(name, build, paced, size.paced) / CAPACITY
    with Board(name, build, faults=paced) as board, Instrument.open(board.port, reconnect_s=None) as instrument:
        single = sorted(_one(instrument) for _ in range(size.single))
        replug = [_replugged(board, instrument) for _ in range(size.replugs)]
    p99 = single[min(len(single) - 1, int(len(single) * 0.99))]
    return Rates(name, unpaced, share, (statistics.median(single), p99), statistics.median(replug))


def results_per_second(name: str, build: Path, wire: Faults, count: int) -> float:
    """Return how many results a second are acknowledged, the first and the last included."""
    sent, ledger = results(count), Ledger()
    ledger.add(sent)
    with Board(name, build, faults=wire) as board:
        with Instrument.open(board.port) as instrument:
            began = time.perf_counter()
            for result in sent:
                instrument.send(result)
            assert instrument.drain(count / 50 + _PATIENCE_S) == 0
            took_s = time.perf_counter() - began
        ledger.check(board.record())
    return count / took_s


def _one(instrument: Instrument) -> float:
    time.sleep(0.002)
    began = time.perf_counter()
    instrument.send(results(1)[0])
    assert instrument.drain(_PATIENCE_S) == 0
    return time.perf_counter() - began


def _replugged(board: Board, instrument: Instrument) -> float:
    board.relay.unplug()
    assert any(isinstance(event, Disconnected) for event in _until_disconnected(instrument))
    instrument.send(results(1)[0])
    board.relay.plug()
    began = time.perf_counter()
    assert instrument.drain(_PATIENCE_S) == 0
    return time.perf_counter() - began


def _until_disconnected(instrument: Instrument) -> list[object]:
    seen: list[object] = []
    for event in instrument.events(_PATIENCE_S):
        seen.append(event)
        if isinstance(event, Disconnected):
            break
    return seen


def burst(build: Path, library: Path) -> Burst:
    """Send a thousand results to a microbit, through an outbox on a disk that is made slow."""
    with tempfile.TemporaryDirectory(prefix="rates-") as folder, Board("microbit", build) as board:
        command = [sys.executable, "-m", f"{__package__}.burst", board.port, str(Path(folder, "outbox.sqlite"))]
        environment = {"LD_PRELOAD": str(library), "FAULTS_FSYNC_US": str(round(FSYNC_S * 1e6))}
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return Burst(**json.loads(done.stdout))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", default=",".join(EMULATED_BOARDS))
    parser.add_argument("--sleep", action="store_true", help="boards that sleep between bytes, as they are shipped")
    given = parser.parse_args()
    names = [name for name in given.boards.split(",") if name]
    if missing := missing_tools(*names, "microbit", "host"):
        parser.error(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="rates-build-") as folder:
        make_boards(Path(folder), *dict.fromkeys((*names, "microbit")), awake=not given.sleep)
        measured = [measure(name, Path(folder)) for name in names]
        slow = burst(Path(folder), faults_library(Path(folder)))
    return _show(measured, slow)


def _show(measured: list[Rates], slow: Burst) -> int:
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table()
    for column in ("board", "results/s", "of 115200 baud", "one: p50 ms", "p99 ms", "after replug ms"):
        table.add_column(column, justify="right" if column != "board" else "left")
    for rates in measured:
        p50, p99 = (f"{seconds * 1000:.1f}" for seconds in rates.single_s)
        figures = (f"{rates.unpaced:,.0f}", f"{rates.share:.1%}", p50, p99, f"{rates.replug_s * 1000:.0f}")
        table.add_row(rates.board, *figures)
    console.print(table)
    console.print(
        f"1,000 results durable after {slow.durable_s * 1000:.0f} ms with an fsync of {FSYNC_S * 1000:.0f} ms "
        f"(one alone: {slow.one_s * 1000:.0f} ms); no send took longer than {slow.longest_send_s * 1000:.1f} ms"
    )
    missed = [f"{rates.board}: {miss}" for rates in measured for miss in rates.missed()]
    if slow.durable_s >= BURST_S:
        missed.append(f"burst: durable after {slow.durable_s:.2f} s, not {BURST_S:.0f}")
    for line in missed:
        console.print(f"missed: {line}")
    if not missed:
        console.print("every bar is met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
