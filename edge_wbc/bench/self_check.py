"""Whether comparisons on this machine can be believed: equal things compared, and a planted slowdown looked for.

On real work: the stages as the pipeline calls them, on frames that are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2

from edge_wbc.bench.side_by_side import Difference, Taken, Work, compare, slowed
from edge_wbc.classify import cut
from edge_wbc.engines.base import Engine
from edge_wbc.types import Pixels
from edge_wbc.vision.locate import locate
from edge_wbc.vision.quality import measure

PLANTED = 0.1
"""How much longer the slowed stage takes."""
LEAST_RIGHT = 0.95


@dataclass(frozen=True, slots=True)
class Pair:
    """One comparison, and what was planted in it."""

    planted: str
    """The slowed stage; empty where both are the same."""
    found: list[Difference]
    taken: Taken

    @property
    def named(self) -> tuple[str, ...]:
        """Stages that are told to differ."""
        return tuple(difference.stage for difference in self.found if difference.told)

    @property
    def right(self) -> bool:
        """Whether exactly what was planted is told, and as a slowdown."""
        slower = all(difference.ratio.value > 1 for difference in self.found if difference.told)
        return self.named == ((self.planted,) if self.planted else ()) and slower


def stages_of(pictures: Sequence[Pixels], engine: Engine) -> tuple[dict[str, Work], int]:
    """What each stage does to each frame that has a cell, and how many of those there are.

    :param pictures: (height, width, 3) uint8 BGR each.
    :raises ValueError: no frame has a cell.
    """
    shown = [(picture, cells) for picture in pictures if (cells := locate(picture))]
    if not shown:
        raise ValueError("no frame has a cell")
    files = [cv2.imencode(".jpg", picture)[1] for picture, _ in shown]
    placed = [[(picture, cell) for cell in cells[:1]] for picture, cells in shown]
    crops = [cut(cells, engine) for cells in placed]
    return {
        "read": lambda i: cv2.imdecode(files[i], cv2.IMREAD_COLOR),
        "quality": lambda i: measure(shown[i][0]),
        "locate": lambda i: locate(shown[i][0]),
        "crop": lambda i: cut(placed[i], engine),
        "classify": lambda i: engine.infer(crops[i]),
    }, len(shown)


def check(
    stages: dict[str, Work], inputs: int, pairs: int, most_rounds: int, progress: Callable[[int], None]
) -> Iterator[Pair]:
    """So many comparisons of equal things, and as many with a slowed stage, each stage in turn; one after the other."""
    names = list(stages)
    with _one_thread():
        for number in range(2 * pairs):
            planted = names[number // 2 % len(names)] if number % 2 else ""
            other = {name: slowed(work, PLANTED) if name == planted else work for name, work in stages.items()}
            yield Pair(planted, *compare(stages, other, inputs, most_rounds))
            progress(number + 1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV's own threads would share a stage among processors that others want."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
