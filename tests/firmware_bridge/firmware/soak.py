"""The link under every fault at once: real firmware, a bad wire, unplugs, resets, hangs, hosts killed with SIGKILL.

``make soak`` runs the full size: 100,000 results to five emulated boards, 1,000,000 to the host build, and a board
that forgets at each reset. It prints a row a board and what was asked for, and fails where a result was lost, doubled,
changed or out of order, by the board's own record. ``SOAK="--results 2000 --host-results 5000"`` is less; ``--smoke``
is what CI runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.firmware_bridge.firmware.bench import EMULATED_BOARDS, make, make_boards, missing_tools
from tests.firmware_bridge.firmware.trial import EVENTS, OFTEN, RESULTS_AN_EVENT, WIRE, Soaked, soak

CRC_FAILED, CUTS = 20_000, 2_000
"""What a full run has at least: frames that failed their CRC; unplugs, resets and kills."""
BOARD_RESULTS, HOST_RESULTS, HOST_BUILDS, FORGETFUL_RESULTS = 20_000, 1_000_000, 8, 5_000


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
                between = OFTEN if forgetful or given.smoke else RESULTS_AN_EVENT
                runs.append(pool.submit(soak, name, build, count, given.seed + n, WIRE, between, told))
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
