"""Hours of a session over a slide that moves, as fast as this machine can: what grows that should not.

The frames of so many hours are all seen, located, followed and counted; only the waiting between them is left out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from edge_wbc.engines.base import Engine
from edge_wbc.errors import EdgeWbcError
from edge_wbc.pipeline import Pipeline
from edge_wbc.sinks.base import Sink
from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, FrameResult, Session

FLAT = 0.02
"""Memory of the last quarter may be this part above that of the second."""
FRAMES_A_CELL = 60
"""The stage wanders for more frames than this over each cell of a slide."""
QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process had at one moment."""

    frame: int
    resident_mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Endurance:
    """What became of the session."""

    frames: int
    cells: int
    seconds: float
    resident_mb: tuple[float, ...]
    """Median of each quarter."""
    files: tuple[int, ...]
    """Most open files in each quarter."""
    threads: tuple[int, ...]

    @property
    def growth(self) -> float:
        """Of memory, from the second quarter to the last; the first fills what is kept."""
        return self.resident_mb[-1] / self.resident_mb[1] - 1

    @property
    def passed(self) -> bool:
        return self.growth <= FLAT and self.files[-1] <= self.files[1] and self.threads[-1] <= self.threads[1]


def measure(
    engine: Engine, session: Session, sinks: Sequence[Sink], *, frames: int, seed: int, advance: Callable[[int], object]
) -> Endurance:
    """Run the session.

    :param frames: that are seen; a sample is taken at each 400th part of them.
    :raises EdgeWbcError: a sink or the source failed.
    """
    cells = max(20, frames // FRAMES_A_CELL)
    source = open_source(f"smear://?seed={seed}&cells={cells}&path=wander")
    every = max(1, frames // 400)
    samples: list[Sample] = []

    def watch(frame: Frame, result: FrameResult) -> None:
        if not frame.index % every:
            samples.append(_sample(frame.index))
            advance(frame.index)

    outcome = Pipeline(source, engine, sinks, session, limit=frames, watch=watch).run()
    error: EdgeWbcError | None = outcome.error or next(iter(outcome.failed_sinks), None)
    if error is not None:
        raise error
    quarters = [
        [sample for sample in samples if quarter == min(QUARTERS - 1, QUARTERS * sample.frame // frames)]
        for quarter in range(QUARTERS)
    ]
    summary = outcome.summary
    return Endurance(
        frames=summary.frames,
        cells=summary.cells,
        seconds=summary.seconds,
        resident_mb=tuple(round(median(sample.resident_mb for sample in quarter), 1) for quarter in quarters),
        files=tuple(max(sample.files for sample in quarter) for quarter in quarters),
        threads=tuple(max(sample.threads for sample in quarter) for quarter in quarters),
    )


def _sample(frame: int) -> Sample:
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    resident_mb = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return Sample(frame, resident_mb, len(os.listdir("/proc/self/fd")), threading.active_count())
