"""Score a model on labelled images, through the same functions that classify live. Needs no torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from edge_wbc.classify import LARGEST_BATCH, classify, cut, predictions
from edge_wbc.engines.base import Engine
from edge_wbc.errors import SourceError, UsageError
from edge_wbc.sources.files import read_image
from edge_wbc.types import LABELS, NOT_A_CELL, UNIDENTIFIED, Cell, Pixels, Prediction
from edge_wbc.vision.geometry import iou
from edge_wbc.vision.locate import locate, locate_one
from training.datasets import Sample
from training.intervals import Interval, clustered_intervals

Item = TypeVar("Item")

MISSED = "missed"
UNREADABLE = "unreadable"
BACKGROUND = "background"
"""What is no cell, as a part of what was scored."""
SAME_CELL_IOU = 0.3
WORST = 20
"""Photographs that a report names."""


class Scored(NamedTuple):
    """One labelled cell and what the model made of it."""

    sample: Sample
    said: str
    """A class, ``unidentified``, ``missed`` (no cell found) or ``unreadable``."""
    prediction: Prediction | None


@dataclass(frozen=True, slots=True)
class Photograph:
    """What was made of one group of images: a photograph, a slide, or an image that stands alone."""

    group: str
    label: str
    """The true class of most of its images."""
    images: int
    right: int
    said: dict[str, int]
    """What was said of its images, most often first."""

    @property
    def accuracy(self) -> float:
        return self.right / self.images


@dataclass(frozen=True, slots=True)
class Report:
    """Figures over labelled cells. Missed, unreadable and unidentified cells count as errors.

    Intervals are 95 %, with photographs as observations: see ``training.intervals``. None where there is but one.
    """

    images: int
    groups: int
    accuracy: float
    accuracy_interval: Interval | None
    accuracy_forced: float
    """The accuracy with ``unidentified`` replaced by the most probable class: what the network knows, any threshold
    aside."""
    accuracy_per_group: float
    """Mean over photographs of the accuracy within the photograph."""
    accuracy_per_group_interval: Interval | None
    balanced_accuracy: float
    """Mean recall of the classes that occur."""
    balanced_accuracy_interval: Interval | None
    per_class: dict[str, dict[str, Any]]
    """recall, interval of the recall, precision (None if never said), n (images), groups."""
    confusion: dict[str, dict[str, int]]
    """True class → what was said → count."""
    worst: list[Photograph]
    """Photographs with errors, lowest accuracy first, at most ``WORST``."""
    unreadable: list[str]


def score(samples: Sequence[Sample], engine: Engine, mode: str, progress: Callable[[int], None]) -> list[Scored]:
    """Locate, crop and classify each sample.

    :param mode: ``cell``: an image holds exactly one cell, and one is always found. ``field``: what the locator
        misses is ``missed``. Where a sample has a box, the cell must overlap it; a miss is right where there is none.
    """
    scored: list[Scored] = []
    for batch in batches(crops_of(samples, engine, mode)):
        found = [crops for _, crops, _ in batch if crops is not None]
        decided = iter(classify(np.concatenate(found), engine) if found else [])
        for sample, crops, reason in batch:
            if crops is None:
                nothing_there = sample.label == NOT_A_CELL and reason == MISSED
                scored.append(Scored(sample, NOT_A_CELL if nothing_there else reason, None))
            else:
                prediction = next(decided)
                scored.append(Scored(sample, prediction.label, prediction))
            progress(len(scored))
    return scored


def scored_from(
    samples: Sequence[Sample],
    probabilities: npt.NDArray[np.floating],
    names: Sequence[str],
    unidentified_below: float = 0.0,
) -> list[Scored]:
    """The same from probabilities (N, C) computed elsewhere, one row a sample; the columns are ``names``."""
    decided = predictions(probabilities, names, unidentified_below)
    return [Scored(sample, found.label, found) for sample, found in zip(samples, decided, strict=True)]


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """As many at a time as go to the engine at once."""
    iterator = iter(items)
    while batch := list(islice(iterator, LARGEST_BATCH)):
        yield batch


def crops_of(samples: Sequence[Sample], engine: Engine, mode: str) -> Iterator[tuple[Sample, Pixels | None, str]]:
    """Per sample: its crop as uint8 (1, S, S, 3) BGR, or None and why: ``missed`` or ``unreadable``."""
    last: tuple[Path, Pixels] | None = None
    for sample in samples:
        if last is None or last[0] != sample.path:
            try:
                last = (sample.path, read_image(sample.path))
            except SourceError:
                last = None
                yield sample, None, UNREADABLE
                continue
        if sample.is_crop:
            yield sample, recorded(last[1], sample, engine.model.manifest.input.size_px)[None], ""
            continue
        cell = the_cell(last[1], sample) if mode == "cell" else located_cell(last[1], sample)
        yield (sample, None, MISSED) if cell is None else (sample, cut([(last[1], cell)], engine), "")


def recorded(pixels: Pixels, sample: Sample, size: int) -> Pixels:
    """A crop as it was recorded.

    :param size: what the network sees.
    :raises UsageError: the crop was recorded for a network that sees another size.
    """
    if pixels.shape[:2] != (size, size):
        raise UsageError(
            f"{sample.path}: a crop of {pixels.shape[1]}×{pixels.shape[0]}, this network sees {size}×{size} pixels; "
            "take the network that the session was recorded with"
        )
    return pixels


def the_cell(pixels: Pixels, sample: Sample) -> Cell:
    """The located cell that a sample means; where the locator misses it, its annotated box or the centred square."""
    if sample.box is None:
        return locate_one(pixels)
    return located_cell(pixels, sample) or Cell(sample.box, 0.0)


def located_cell(pixels: Pixels, sample: Sample) -> Cell | None:
    """The cell of a field that a sample means: the one that overlaps its box best, else the most prominent."""
    cells = locate(pixels)
    if sample.box is None:
        return next(iter(cells), None)
    box = sample.box
    best = max(cells, key=lambda cell: iou(cell.box, box), default=None)
    return best if best is not None and iou(best.box, box) >= SAME_CELL_IOU else None


def report(scored: Sequence[Scored]) -> Report:
    """:raises SourceError: nothing was scored."""
    if not scored:
        raise SourceError("no labelled image to evaluate; give a folder with one folder a class")
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, set[str]] = defaultdict(set)
    for item in scored:
        confusion[item.sample.label][item.said] += 1
        groups[item.sample.label].add(item.sample.group)
    said = Counter(item.said for item in scored)
    intervals = clustered_intervals(
        [item.sample.group for item in scored],
        [item.sample.label for item in scored],
        [item.said == item.sample.label for item in scored],
    )
    labels = sorted(confusion, key=LABELS.index)
    per_class: dict[str, dict[str, Any]] = {}
    for label in labels:
        n, right = sum(confusion[label].values()), confusion[label][label]
        per_class[label] = {
            "recall": right / n,
            "interval": intervals.recall[label],
            "precision": right / said[label] if said[label] else None,
            "n": n,
            "groups": len(groups[label]),
        }
    right = sum(confusion[label][label] for label in labels)
    photographs = by_photograph(scored)
    return Report(
        images=len(scored),
        groups=len(photographs),
        accuracy=right / len(scored),
        accuracy_interval=intervals.accuracy,
        accuracy_forced=sum(item.said == item.sample.label for item in forced(scored)) / len(scored),
        accuracy_per_group=sum(photograph.accuracy for photograph in photographs) / len(photographs),
        accuracy_per_group_interval=intervals.accuracy_per_group,
        balanced_accuracy=sum(entry["recall"] for entry in per_class.values()) / len(per_class),
        balanced_accuracy_interval=intervals.balanced_accuracy,
        per_class=per_class,
        confusion={label: dict(confusion[label].most_common()) for label in labels},
        worst=[photograph for photograph in photographs if photograph.right < photograph.images][:WORST],
        unreadable=[str(item.sample.path) for item in scored if item.said == UNREADABLE],
    )


def by_photograph(scored: Sequence[Scored]) -> list[Photograph]:
    """Every photograph, lowest accuracy first; of the same accuracy, the one with more images."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for item in scored:
        groups[item.sample.group].append(item)
    photographs = [
        Photograph(
            group=group,
            label=Counter(item.sample.label for item in items).most_common(1)[0][0],
            images=len(items),
            right=sum(item.said == item.sample.label for item in items),
            said=dict(Counter(item.said for item in items).most_common()),
        )
        for group, items in groups.items()
    ]
    return sorted(photographs, key=lambda shown: (shown.accuracy, -shown.images, shown.group))


def stored(scored: Sequence[Scored]) -> dict[str, Any]:
    """A report as manifests hold it: without its lists of images."""
    found = asdict(report(scored))
    del found["unreadable"], found["worst"]
    return found


def by_part(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The cells of each source, and what is no cell from all of them as ``BACKGROUND``."""
    parts: dict[str, list[Scored]] = defaultdict(list)
    for item in scored:
        parts[BACKGROUND if item.sample.label == NOT_A_CELL else item.sample.source].append(item)
    return dict(sorted(parts.items()))


def forced(scored: Sequence[Scored]) -> list[Scored]:
    """The same with ``unidentified`` replaced by the most probable class."""
    return [
        item._replace(said=max(item.prediction.probabilities.items(), key=lambda pair: pair[1])[0])
        if item.said == UNIDENTIFIED and item.prediction is not None
        else item
        for item in scored
    ]
