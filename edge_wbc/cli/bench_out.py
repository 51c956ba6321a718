"""How a benchmark hands its result out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_wbc.bench.results import Result, to_json, write
from edge_wbc.cli.common import print_json, say


def hand_out(found: Result, out: Path | None, as_json: bool, show: Callable[[Result], None]) -> None:
    """Write it, and print it as JSON or show it.

    :raises OutputFailed: it can't be written.
    """
    if out is not None:
        write(out, found)
    if as_json:
        print_json(to_json(found))
        return
    show(found)
    if out is not None:
        say(f"wrote {out}; `edge-wbc bench compare {out} OTHER.json` holds another run against it")
