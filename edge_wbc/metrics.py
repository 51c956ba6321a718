"""How long each stage takes, and what a pipeline counts."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from edge_wbc.types import FrameResult

TOLD_AGAIN_S = 60.0
"""A reason not to judge frames that was not met for so long is news: the lamp has failed again."""
KEPT = 4096
"""Samples kept of a stage; beyond it, a uniform random choice of all (reservoir sampling, Vitter 1985)."""


class Mark(Protocol):
    """Called, from any thread, when a frame leaves a stage or a wait; by frame in the order of time."""

    def __call__(self, frame: int, left: str, at_ns: int | None = None) -> None:
        """:param at_ns: when, on the monotonic clock; now if it is not given."""


def unmarked(frame: int, left: str, at_ns: int | None = None) -> None:
    """Nobody asks when."""


class Stages:
    """Durations by stage, from any thread."""

    def __init__(self) -> None:
        self._samples: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}
        self._random = random.Random(0)
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: str, frames: int = 1) -> Iterator[None]:
        """Time what is done for so many frames at once, an equal part for each."""
        started = time.perf_counter_ns()
        try:
            yield
        finally:
            self.share(stage, time.perf_counter_ns() - started, frames)

    def share(self, stage: str, duration_ns: int, frames: int) -> None:
        """What so many frames took at once, an equal part for each."""
        for _ in range(frames):
            self.add(stage, duration_ns // frames)

    def add(self, stage: str, duration_ns: int) -> None:
        with self._lock:
            samples = self._samples.setdefault(stage, [])
            count = self._counts.get(stage, 0) + 1
            self._counts[stage] = count
            if len(samples) < KEPT:
                samples.append(duration_ns)
            elif (place := self._random.randrange(count)) < KEPT:
                samples[place] = duration_ns

    def summary(self) -> dict[str, dict[str, float]]:
        """Per stage: p50 and p99 in ms and the number of samples, in the order the stages first ran."""
        with self._lock:
            return {
                stage: {**percentiles_ms(samples, (50, 99)), "n": self._counts[stage]}
                for stage, samples in self._samples.items()
            }


def percentiles_ms(durations_ns: Sequence[int], wanted: Sequence[int]) -> dict[str, float]:
    """Percentiles in ms by the nearest rank, keyed ``p50`` and so on; empty without durations."""
    ordered = sorted(durations_ns)
    return {
        f"p{percent}": round(ordered[-(-len(ordered) * percent // 100) - 1] / 1e6, 4) for percent in wanted if ordered
    }


class Counts:
    """What a pipeline counts of the frames it decided. Used by one thread, read by any."""

    def __init__(self) -> None:
        self.frames = 0
        self.refused = 0
        self.rejected: Counter[str] = Counter()
        self._rejected_ns: dict[str, int] = {}
        self.cells = 0
        self.ages_ns: list[int] = []

    def decided(self, result: FrameResult) -> bool:
        """Count a frame; returns whether it is not judged, for a reason that was not met lately."""
        self.frames += 1
        news = False
        if result.rejected is not None:
            self.rejected[result.rejected] += 1
            before_ns = self._rejected_ns.get(result.rejected)
            self._rejected_ns[result.rejected] = now_ns = result.frame.time_ns
            news = before_ns is None or now_ns - before_ns > TOLD_AGAIN_S * 1e9
        self.ages_ns.append(result.decided_ns - result.frame.time_ns)
        del self.ages_ns[:-KEPT]
        return news
