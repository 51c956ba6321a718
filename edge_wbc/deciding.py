"""What is made of frames that were looked at: their cells classified and counted, until enough are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from edge_wbc.classify import cut_and_classify
from edge_wbc.counting import Counting
from edge_wbc.differential import Tally
from edge_wbc.engines.base import Engine
from edge_wbc.looking import Looked
from edge_wbc.metrics import Counts, Mark, Stages, unmarked
from edge_wbc.types import CountedCell, Frame, FrameResult, Refused
from edge_wbc.vision.quality import REASONS


class Told(NamedTuple):
    """What sinks are told of a frame."""

    result: FrameResult | Refused
    frame: Frame | None
    """That it was made of, for sinks that want pictures; None of a refused one."""


class Deciding:
    """Decides the frames of one session. Used by one thread; ``tally`` and ``counts`` may be read by any."""

    def __init__(
        self,
        engine: Engine,
        counting: Counting,
        stages: Stages,
        *,
        until: int | None = None,
        notice: Callable[[str], None] = lambda line: None,
        watch: Callable[[Frame, FrameResult], None] | None = None,
        mark: Mark = unmarked,
    ) -> None:
        """
        :param until: so many leukocytes are enough. The frame that reaches the number counts whole.
        :param notice: called with one line for whatever the user should know at once.
        :param watch: called after each decided frame.
        """
        self.tally = Tally(engine.model.manifest.labels)
        self.counts = Counts()
        self._engine = engine
        self._counting = counting
        self._stages = stages
        self.until = until
        """So many leukocytes are enough; may be changed before the first frame."""
        self._notice = notice
        self._watch = watch
        self._mark = mark

    @property
    def enough(self) -> bool:
        """Whether no more is to be counted."""
        return self.until is not None and self.tally.total >= self.until

    def decide(self, batch: Sequence[Looked | Refused]) -> list[Told]:
        """Frames in their order, up to the one with which there are enough."""
        looked = [item for item in batch if isinstance(item, Looked)]
        cells = [(item.frame.pixels, cell) for item in looked for cell in item.seen.cells]
        began_ns = time.monotonic_ns()
        predictions, crops, crop_ns, classify_ns = cut_and_classify(cells, self._engine)
        for one in looked:
            self._mark(one.frame.index, "wait batch", began_ns)
            self._mark(one.frame.index, "crop", began_ns + crop_ns)
            self._mark(one.frame.index, "classify", began_ns + crop_ns + classify_ns)
        self._stages.share("crop", crop_ns, len(looked))
        self._stages.share("classify", classify_ns, len(looked))
        told: list[Told] = []
        for item in batch:
            if self.enough:
                break
            if isinstance(item, Refused):
                self.counts.refused += 1
                self._notice(item.reason)
                told.append(Told(item, None))
                continue
            frame, seen = item.frame.ref, item.seen
            self._mark(frame.index, "wait batch")
            own, predictions = predictions[: len(seen.cells)], predictions[len(seen.cells) :]
            shown, crops = crops[: len(seen.cells)], crops[len(seen.cells) :]
            counted = self._add(self._counting.count(frame, seen, own, shown))
            decided_ns = time.monotonic_ns()
            self._mark(frame.index, "count", decided_ns)
            result = FrameResult(frame, seen.cells, tuple(own), counted, decided_ns, seen.again, item.rejected)
            if self.counts.decided(result):
                self._notice(f"frame {frame.index} is not judged: {REASONS[item.rejected or '']}")
            told.append(Told(result, item.frame))
            if self._watch is not None:
                self._watch(item.frame, result)
        for one in looked:
            self._mark(one.frame.index, "hand over")
        return told

    def finish(self) -> tuple[CountedCell, ...]:
        """What counts at the end of the source, though it was not certain before; nothing if there are enough."""
        return () if self.enough else self._add(self._counting.finish())

    def _add(self, counted: tuple[CountedCell, ...]) -> tuple[CountedCell, ...]:
        self.tally.add(one.prediction.label for one in counted)
        self.counts.cells += len(counted)
        return counted
