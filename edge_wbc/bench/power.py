"""What a board draws while something runs."""

from __future__ import annotations

import threading
from pathlib import Path

from edge_wbc.bench.jetson import rails
from edge_wbc.bench.tree import ROOT, Tree

_SAMPLE_S = 0.05
"""Between two readings of the power rails; INA3221 sensors average over some milliseconds."""
TOTAL_RAIL = "VDD_IN"
"""What the whole board draws, on modules that measure it."""


def total_mw(rails_mw: dict[str, float]) -> float | None:
    """What the board draws: its total where it has one, else all rails together; None without a sensor."""
    return rails_mw.get(TOTAL_RAIL, sum(rails_mw.values())) if rails_mw else None


class PowerMeter:
    """Mean power of each rail while it is open; a thread reads the sensors."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._ended = threading.Event()
        self._read: list[dict[str, float]] = []
        self._thread = threading.Thread(target=self._run, name="power", daemon=True)

    def __enter__(self) -> PowerMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def mean_mw(self) -> dict[str, float]:
        """By rail; empty where the board has no sensor."""
        rails_read = {rail for reading in self._read for rail in reading}
        return {
            rail: sum(values) / len(values)
            for rail in sorted(rails_read)
            if (values := [reading[rail] for reading in self._read if rail in reading])
        }

    def _run(self) -> None:
        while True:
            if not (reading := rails(Tree(self._root))):
                return
            self._read.append(reading)
            if self._ended.wait(_SAMPLE_S):
                return
