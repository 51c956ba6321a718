"""The link under every fault at once: real firmware, a bad wire, unplugs, resets, hangs, hosts killed with SIGKILL.

``python -m tests.firmware_bridge.firmware.soak --results 20000`` (``make soak``) prints a row a board and fails where a
result was lost, doubled, changed or out of order, by the board's own record. ``--smoke`` is what CI runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firmware_bridge import InstrumentLink, LinkError
from firmware_bridge.outbox_file import connect, read_state
from tests.firmware_bridge.firmware.bench import BOARDS, Board, Faults, Ledger, make, missing_tools, results

WIRE = Faults(drop=0.002, flip=0.04, double=0.002, delay=0.002)
"""0.2 % of the bytes each: a piece has 20 on average, of which one bit of one is flipped."""
EVENTS = ("unplug", "reset", "kill", "hang")
SHORTEST_S, LONGEST_S = 0.1, 0.5
"""Between two events."""
STALLED_S = 60.0


@dataclass(frozen=True)
class Soaked:
    """One board's run."""

    board: str
    results: int
    seconds: float
    done: Counter[str]
    """Faults and events, by kind."""
    hosts: Counter[str]
    """Sums of the hosts' counters; a killed host's are lost with it."""


def be_the_host(port: str, outbox: Path, count: int) -> None:
    """Send what no earlier host has put into the outbox, and deliver all; prints its counters."""
    accepted = 0
    if outbox.exists():
        connection = connect(outbox, read_only=True)
        accepted = read_state(connection)[0]
        connection.close()
    with InstrumentLink.open(port, outbox=outbox, reconnect_s=None) as link:
        for result in results(count - accepted, accepted):
            link.send(result)
        while link.drain(1.0):
            pass
        counters = link.counters
        print(json.dumps({"retransmitted": counters.retransmitted, "crc_errors": counters.crc_errors}))  # noqa: T201


def soak(name: str, build: Path, count: int, seed: int, wire: Faults = WIRE) -> Soaked:
    """Deliver ``count`` results to one board through every fault.

    :raises AssertionError: the board's record is not what was sent, or nothing went on for a minute.
    """
    source, hosts = random.Random(seed), Counter[str]()
    events = cycle(source.sample(EVENTS, len(EVENTS)))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Board(name, build, faults=wire, seed=seed) as board:
        outbox = Path(folder, "outbox.sqlite")
        command = [sys.executable, "-m", __spec__.name, "--host", board.port, str(outbox), str(count)]
        delivered = False
        moved, last = time.monotonic(), -1
        while not delivered:
            host = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            killed = False
            while host.poll() is None:
                time.sleep(source.uniform(SHORTEST_S, LONGEST_S))
                if host.poll() is None:
                    killed = _disturb(board, host, next(events)) or killed
            said, errors = host.communicate()
            assert killed or host.returncode in (0, 1), errors
            if host.returncode == 0:
                hosts.update(json.loads(said))
                delivered = True
            if (now := _applied(board, last)) != last:
                moved, last = time.monotonic(), now
            assert time.monotonic() - moved < STALLED_S, f"{name}: stuck at {last} of {count}; {errors}"
        seconds = time.monotonic() - began
        ledger = Ledger()
        ledger.add(results(count))
        ledger.check(board.record())
        return Soaked(name, count, seconds, Counter(board.relay.done), hosts)


def _applied(board: Board, before: int) -> int:
    """How many results the board has applied; a board that no host has reached yet has no record."""
    try:
        return board.record().applied
    except AssertionError:
        if before > 0:
            raise
        return 0


def _disturb(board: Board, host: subprocess.Popen[str], event: str) -> bool:
    """Do it; True if it killed the host."""
    if event == "unplug":
        board.relay.unplug()
        time.sleep(0.02)
        board.relay.plug()
    elif event == "reset":
        board.reset()
    elif event == "hang":
        board.hang(True)
        time.sleep(0.1)
        board.hang(False)
    else:
        board.relay.done["kill"] += 1
        host.send_signal(signal.SIGKILL)
        return True
    return False


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=20_000, help="to each board")
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="200 results to two boards")
    parser.add_argument("--host", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.host:
        port, outbox, count = given.host
        try:
            be_the_host(port, Path(outbox), int(count))
        except LinkError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        return 0
    names = ["microbit", "host"] if given.smoke else given.boards.split(",")
    if missing := missing_tools(*names):
        parser.error(f"not installed: {', '.join(missing)}")
    count = 200 if given.smoke else given.results
    with tempfile.TemporaryDirectory(prefix="soak-build-") as folder:
        build = Path(folder)
        make(build, *names, *(["simavr"] if "atmega328p" in names else []))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = [pool.submit(soak, name, build, count, given.seed + i) for i, name in enumerate(names)]
            done = [run.result() for run in runs]
    _show(done)
    return 0


def _show(done: list[Soaked]) -> None:
    kinds = ("flip", "drop", "double", "delay", "unplug", "reset", "hang", "kill")
    table = Table(title="None lost, none doubled, none changed, order kept: by each board's own record")
    for column in ("board", "results", "s", *kinds, "sent again"):
        table.add_column(column, justify="right" if column != "board" else "left")
    for run in done:
        counts = (str(run.done[kind]) for kind in kinds)
        again = str(run.hosts["retransmitted"])
        table.add_row(run.board, str(run.results), f"{run.seconds:.0f}", *counts, again)
    total = sum((run.done for run in done), Counter[str]())
    table.add_row("all", str(sum(run.results for run in done)), "", *(str(total[kind]) for kind in kinds), "")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    sys.exit(main())
