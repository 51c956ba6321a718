"""How many cells of a simulated slide under a moving stage are counted once, twice, or not at all.

The locator is the real one, and so is the tracker. The classifier is the truth unless an engine is given, so that what
is measured is the counting; then the generating rates are held against the reported intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import cv2
import numpy as np

from edge_wbc.classify import cut_and_classify
from edge_wbc.counting import EachCell
from edge_wbc.differential import Tally
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import LabelsGroup, load_model
from edge_wbc.metrics import percentiles_ms
from edge_wbc.sources.smear_faults import in_view_and_focus
from edge_wbc.sources.smear_paths import PATHS
from edge_wbc.sources.smear_slide import FREQUENCIES, Slide
from edge_wbc.sources.smear_view import View
from edge_wbc.types import LABELS, LEUKOCYTES, NOT_A_CELL, Cell, CountedCell, Frame, KnownCell, Pixels, Prediction
from edge_wbc.vision.geometry import part_shared
from edge_wbc.vision.locate import locate
from edge_wbc.vision.reduced import reduced

PROCESSES = 2
ON_THE_CELL = 0.5
"""Of the smaller box, the part that a found cell shares with the real one that it is."""
RATES = {name: rate / sum(FREQUENCIES[known] for known in LEUKOCYTES) for name, rate in FREQUENCIES.items()}
"""The generating rates, of leukocytes."""
_UNSEEN = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Job:
    """One slide to count."""

    seed: int
    cells: int
    path: str
    every: int
    """Of so many frames one is seen, as by a computer that is that much too slow."""
    model: str
    engine: str | None
    """None for the truth in the classifier's place."""
    faults: frozenset[str] = frozenset()
    """Of the microscope and the camera; see smear://."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of one slide."""

    seed: int
    frames: int
    in_view: int
    """Cells that were in at least one frame wholly in view and in focus."""
    once: int
    doubled: int
    missed: int
    others: int
    """Counted, though never wholly in view and in focus: cells all the same."""
    not_cells: int
    """Counted where no white cell is."""
    asked: int
    """Sightings that were classified."""
    islands: int
    """Times that the place was lost for good, and one."""
    off_px: float
    """Largest error of a frame's place, in the first island; faults shake the stage and repeat frames, which shows."""
    see_ms: Mapping[str, float]
    inside_interval: Mapping[str, bool]
    """For each leukocyte class, whether its generating rate lies in the reported interval."""
    mistaken: int
    """Cells counted under another class than their own."""


def measure(jobs: Sequence[Job], advance: Callable[[int], object]) -> list[Counted]:
    """Count every slide, two at a time, in processes of their own."""
    done: list[Counted] = []
    with ProcessPoolExecutor(min(PROCESSES, len(jobs)), get_context("spawn")) as pool:
        for future in as_completed([pool.submit(count_slide, job) for job in jobs]):
            done.append(future.result())
            advance(len(done))
    return sorted(done, key=lambda one: one.seed)


def count_slide(job: Job) -> Counted:
    """Drive over one slide, and count.

    Classes are drawn independently at the generating rates, as blood has them. A slide's own are stratified: nearly
    the same numbers of each on every slide, which would flatter the intervals.
    """
    cv2.setNumThreads(1)
    labels = load_model(job.model).manifest.labels
    engine = open_engine(job.engine, load_model(job.model), 1) if job.engine else None
    slide = Slide(job.seed, job.cells)
    drawn = np.random.default_rng((job.seed, 77)).choice(len(FREQUENCIES), job.cells, p=list(FREQUENCIES.values()))
    slide.labels = [tuple(FREQUENCIES)[kind] for kind in drawn.tolist()]
    try:
        return _count(job, slide, labels, engine)
    finally:
        if engine is not None:
            engine.close()


def _count(job: Job, slide: Slide, labels: LabelsGroup, engine: Engine | None) -> Counted:
    counting, ledger = EachCell(labels.unidentified_below), _Ledger(slide, labels)
    frames, asked, off, see_ns = 0, 0, 0.0, []
    start: tuple[float, float] | None = None
    way = list(PATHS[job.path](slide))
    for shot in View(slide, job.faults).shots(iter(way), moving=job.path != "fields"):
        if shot.number % job.every:
            continue
        (x, y), truth = way[shot.number], shot.truth
        frame = Frame(shot.pixels, shot.number, 0, job.path, truth, shot.defocus_px)
        small = reduced(frame.pixels)
        cells = locate(frame.pixels, small)
        began = cv2.getTickCount()
        seen = counting.see(frame, cells, small)
        see_ns.append(int((cv2.getTickCount() - began) / cv2.getTickFrequency() * 1e9))
        frames += 1
        if seen.place is not None:
            start = start or (x - seen.place.x, y - seen.place.y)
            off = max(off, abs(start[0] + seen.place.x - x), abs(start[1] + seen.place.y - y))
        ledger.show(frame)
        predictions, crops = _classified(frame.pixels, seen.cells, truth, engine)
        asked += len(predictions)
        ledger.count(counting.count(frame.ref, seen, predictions, crops))
    ledger.count(counting.finish())
    islands = len(set(counting.tracker.places.keyframes.islands.tolist()))
    return ledger.counted(job.seed, frames, asked, islands, round(off, 2), percentiles_ms(see_ns, (50, 99)))


class _Ledger:
    """What was counted beside what is there."""

    def __init__(self, slide: Slide, labels: LabelsGroup) -> None:
        self._slide = slide
        self._tally = Tally(labels)
        self._in_view: set[int] = set()
        self._counts: Counter[int] = Counter()
        self._not_cells = 0
        self._mistaken = 0

    def show(self, frame: Frame) -> None:
        self._in_view.update(cell.cell_id for cell in in_view_and_focus(frame))

    def count(self, counted: Sequence[CountedCell]) -> None:
        for one in counted:
            label = one.prediction.label
            self._tally.add([label])
            cell = _real(one.cell, one.frame.truth or ())
            if cell is None:
                self._not_cells += label != NOT_A_CELL
            else:
                self._counts[cell.cell_id] += 1
                self._mistaken += label != self._slide.labels[cell.cell_id]

    def counted(
        self, seed: int, frames: int, asked: int, islands: int, off_px: float, see_ms: Mapping[str, float]
    ) -> Counted:
        times = [self._counts[cell] for cell in self._in_view]
        shares = self._tally.differential().shares
        return Counted(
            seed=seed,
            frames=frames,
            in_view=len(times),
            once=times.count(1),
            doubled=sum(time > 1 for time in times),
            missed=times.count(0),
            others=len(set(self._counts) - self._in_view),
            not_cells=self._not_cells,
            asked=asked,
            islands=islands,
            off_px=off_px,
            see_ms=see_ms,
            inside_interval={
                name: (shares[name].low or 0.0) <= 100 * RATES[name] <= (shares[name].high or 100.0)
                for name in LEUKOCYTES
            },
            mistaken=self._mistaken,
        )


def _classified(
    pixels: Pixels, cells: Sequence[Cell], truth: Sequence[KnownCell], engine: Engine | None
) -> tuple[list[Prediction], list[Pixels]]:
    """What is said of the cells, and what the network saw, nothing where it is the truth that speaks."""
    if engine is not None:
        decided = cut_and_classify([(pixels, cell) for cell in cells], engine)
        return decided.predictions, decided.crops
    known = [_real(cell, truth) for cell in cells]
    names = [NOT_A_CELL if cell is None else cell.label for cell in known]
    certain = {name: dict.fromkeys(LABELS, 0.0) | {name: 1.0} for name in names}
    return [Prediction(name, 1.0, certain[name]) for name in names], [_UNSEEN] * len(names)


def _real(cell: Cell, truth: Sequence[KnownCell]) -> KnownCell | None:
    """The white cell on which a found one lies best."""
    best = max(truth, key=lambda known: part_shared(cell.box, known.box), default=None)
    return best if best is not None and part_shared(cell.box, best.box) >= ON_THE_CELL else None
