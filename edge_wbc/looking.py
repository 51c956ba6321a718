"""What is made out in a frame before the network sees it: whether it is fit to be judged, and which cells it shows."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

from edge_wbc.counting import Counting, Seen, unnamed
from edge_wbc.metrics import Mark, Stages, unmarked
from edge_wbc.types import Cell, Frame, Pixels
from edge_wbc.vision.locate import locate, locate_one
from edge_wbc.vision.quality import Judge
from edge_wbc.vision.reduced import reduced


class Looked(NamedTuple):
    """A frame with what is known of it by now."""

    frame: Frame
    small: Pixels | None = None
    """The frame's, reduced, once that was needed and for as long as it is."""
    judged: bool = False
    """Whether its quality was looked at."""
    rejected: str | None = None
    """Why it is not judged."""
    located: bool = False
    """Whether its cells were looked for…"""
    seen: Seen = Seen(())
    """… and what they are."""


class Looking:
    """Looks at the frames of one session. What was done of a frame is not done again.

    :param mode: of the session.
    :param continuous: frames follow one another, as a camera's. They are judged first, and located in their order by
        one thread; others in any order, by any thread, except in mode ``slide``.
    """

    def __init__(self, counting: Counting, stages: Stages, mode: str, continuous: bool, mark: Mark = unmarked) -> None:
        self._counting = counting
        self._stages = stages
        self._mode = mode
        self._mark = mark
        self._judge = Judge(continuous)

    def judged(self, item: Looked) -> Looked:
        """With its quality; a frame that is not fit shows no cells."""
        if item.judged:
            return item
        item, small = self._reduced(item)
        with self._stages.time("quality"):
            rejected = self._judge.reason(small)
        self._mark(item.frame.index, "quality")
        seen = item.seen if rejected is None else Seen(())
        return item._replace(judged=True, rejected=rejected, seen=seen, small=None if item.located else small)

    def located(self, item: Looked) -> Looked:
        """With its cells, those of a slide as they are followed."""
        if item.located:
            return item
        item, small = self._reduced(item)
        cells = self._cells(item, small)
        self._mark(item.frame.index, "locate")
        with self._stages.time("track") if self._mode == "slide" else nullcontext():
            seen = self._counting.see(item.frame, cells, small)
        self._mark(item.frame.index, "track" if self._mode == "slide" else "locate")
        return item._replace(located=True, seen=seen, small=None if item.judged else small)

    def glanced(self, item: Looked, *, following: bool) -> Looked:
        """Judged and located to be shown alone: none of its cells is to be classified or will count.

        :param following: the session has begun: it is followed where on the slide the frame lies.
        """
        item, small = self._reduced(self.judged(item))
        cells = self._cells(item, small)
        seen = self._counting.glance(item.frame, cells, small) if following else unnamed(cells)
        return item._replace(located=True, seen=seen, small=None)

    def _cells(self, item: Looked, small: Pixels) -> list[Cell]:
        if item.rejected is not None:
            return []
        with self._stages.time("locate"):
            pixels = item.frame.pixels
            return [locate_one(pixels, small)] if self._mode == "cell" else locate(pixels, small)

    def _reduced(self, item: Looked) -> tuple[Looked, Pixels]:
        if item.small is not None:
            return item, item.small
        with self._stages.time("reduce"):
            small = reduced(item.frame.pixels)
        self._mark(item.frame.index, "reduce")
        return item._replace(small=small), small
