"""What the pipeline makes of the processors, beside what its stages' own processor time would allow.

Every stage is timed alone, one after the other in one thread, by processor time: what else the machine does then counts
little. Their sum divided by the processors is the least time a frame that any overlapping could reach; the pipeline
over the same frames, in the same round, is held against it by the clock on the wall; and beside it, what as many
processes get that hand nothing over (:mod:`edge_wbc.bench.apart`).
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2

from edge_wbc.bench.stages_alone import run_stages
from edge_wbc.engines.base import Engine
from edge_wbc.pipeline import Pipeline
from edge_wbc.sinks.base import Sink
from edge_wbc.sources.files import ImageFiles
from edge_wbc.types import Frame, FrameResult, Session

LEAST_RATIO = 0.85
"""Of the bound, what the pipeline is to reach."""


@dataclass(frozen=True, slots=True)
class Round:
    """The stages alone, and the pipeline, over the same frames."""

    alone_ms: Mapping[str, float]
    """Processor time of each stage, a frame."""
    fps: float
    """Of the pipeline, by the clock on the wall."""
    pipeline_ms: float
    """Processor time of the pipeline with all its threads, a frame."""
    apart_fps: float
    """Of as many processes as processors, each with all stages for its part of the frames."""
    same: bool
    """Whether both decided the same. Not looked at in mode ``slide``: there it depends on the moment when a cell is
    counted which looks at it count."""

    def ratio(self, processors: int) -> float:
        """The pipeline's rate, of what the stages' processor time allows."""
        return self.fps * sum(self.alone_ms.values()) / 1000 / processors

    @property
    def of_apart(self) -> float:
        """The pipeline's rate, of what processes that hand nothing over get."""
        return self.fps / self.apart_fps

    @property
    def processors_used(self) -> float:
        """How many processors the pipeline had the use of, on average."""
        return self.fps * self.pipeline_ms / 1000


@dataclass(frozen=True, slots=True)
class Bound:
    """All rounds."""

    processors: int
    frames: int
    cells: int
    """Counted."""
    rounds: tuple[Round, ...]

    @property
    def alone_ms(self) -> Mapping[str, float]:
        """Median over the rounds of each stage's processor time, a frame."""
        return {name: statistics.median(one.alone_ms[name] for one in self.rounds) for name in self.rounds[0].alone_ms}

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Least, median and greatest of the rounds."""
        ratios = [one.ratio(self.processors) for one in self.rounds]
        return min(ratios), statistics.median(ratios), max(ratios)

    @property
    def passed(self) -> bool:
        return self.ratios[1] >= LEAST_RATIO and all(one.same for one in self.rounds)


def measure(
    open_source: Callable[[], ImageFiles],
    alone: Engine,
    engine: Engine,
    session: Session,
    open_sink: Callable[[], Sink],
    apart: Callable[[], float],
    *,
    processors: int,
    rounds: int,
    advance: Callable[[int], object],
) -> Bound:
    """Time the stages and the pipeline in turn, after one round that is not kept.

    :param alone: on one thread; what the stages are timed with.
    :param engine: what the pipeline runs.
    :param apart: runs processes that hand nothing over, and tells their frames/s.
    """
    cv2.setNumThreads(1)
    kept: list[Round] = []
    frames = cells = 0
    for turn in range(rounds + 1):
        spent, serial = run_stages(open_source(), alone, session, open_sink())
        sink = open_sink()
        counted: Counter[str] = Counter()

        def watch(_: Frame, result: FrameResult, counted: Counter[str] = counted) -> None:
            counted.update(one.prediction.label for one in result.counted)

        pipeline = Pipeline(open_source(), engine, [sink], session, watch=watch)
        began = time.process_time()
        summary = pipeline.run().summary
        used = time.process_time() - began
        frames, cells = summary.frames, summary.cells
        kept.append(
            Round(
                {name: 1000 * seconds / frames for name, seconds in spent.items()},
                frames / summary.seconds,
                1000 * used / frames,
                apart(),
                counted == serial or session.mode == "slide",
            )
        )
        advance(turn + 1)
    return Bound(processors, frames, cells, tuple(kept[1:]))
