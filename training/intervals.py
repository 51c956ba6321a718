"""Intervals over photographs: images of one photograph stand or fall together, so each is one observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_wbc.differential import exact_interval

RESAMPLES = 2000
CONFIDENCE = 0.95
ENOUGH = 5
"""Photographs with an error, and as many with something right, from which resampling can tell how errors cluster."""

Interval: TypeAlias = tuple[float, float]
"""Lower and upper end, 0 to 1."""
_Table: TypeAlias = npt.NDArray[np.int64]
_Figures: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Intervals:
    """95 % intervals over photographs; None where a single photograph leaves nothing to resample."""

    accuracy: Interval | None
    accuracy_per_group: Interval | None
    balanced_accuracy: Interval | None
    """None too where any class was seen in one photograph only."""
    recall: dict[str, Interval | None]


def clustered_intervals(
    groups: Sequence[str],
    labels: Sequence[str],
    right: Sequence[bool],
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> Intervals:
    """Percentile bootstrap that draws whole groups with replacement (Field and Welsh, J. R. Stat. Soc. B 69:369, 2007).

    Where fewer than ``ENOUGH`` groups hold an error, or anything right, too little varies between resamples: at 100 %
    nothing does. The interval then reaches as far as the exact one that takes each group as one observation. With few
    groups in all, say under 20, bootstrap intervals are known to be too narrow (Cameron, Gelbach and Miller, Rev. Econ.
    Stat. 90:414, 2008).

    The interval of the balanced accuracy reaches as far as the recalls' intervals combined (MOVER: Zou and Donner,
    Stat. Med. 27:1693, 2008). A resample without some class counts for the other classes.

    :param groups: what each image belongs to; one entry an image, as in ``labels`` and ``right``.
    :param right: whether the image's class was told.
    """
    names, counts, rights = _tables(groups, labels, right)
    if len(counts) < 2:
        return Intervals(None, None, None, dict.fromkeys(names))
    totals, hits, per_group = _resampled(counts, rights, resamples, seed)
    with np.errstate(invalid="ignore"):
        recalls = hits / totals
    recall = {name: _interval(recalls[:, i], counts[:, i], rights[:, i]) for i, name in enumerate(names)}
    images, right_images = counts.sum(axis=1), rights.sum(axis=1)
    return Intervals(
        accuracy=_interval(hits.sum(axis=1) / totals.sum(axis=1), images, right_images),
        accuracy_per_group=_interval(per_group, np.ones_like(images), right_images / images),
        balanced_accuracy=_balanced(recalls, rights.sum(axis=0) / counts.sum(axis=0), list(recall.values())),
        recall=recall,
    )


def paired_interval(
    groups: Sequence[str],
    before: Sequence[bool],
    after: Sequence[bool],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> Interval | None:
    """Interval of the share right after less the share right before, -1 to 1; None of a single group.

    Percentile bootstrap over whole groups, as in :func:`clustered_intervals`. Few groups change, so it reaches as far
    as the exact one given how many do (McNemar, Psychometrika 12:153, 1947, with Clopper and Pearson's interval for the
    share of them that gain), or where none does, as far as the share that may change unseen.

    :param groups: what each image belongs to; one entry an image, as in ``before`` and ``after``.
    """
    rows = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    cells = np.bincount(rows)
    gained = np.bincount(rows, np.asarray(after, float) - np.asarray(before, float)).astype(np.int64)
    if len(cells) < 2:
        return None
    kinds, alike = np.unique(np.stack([cells, gained], axis=1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(cells), alike / len(cells), size=resamples)
    totals, gains = (drawn @ kinds).T
    tail = 50 * (1 - confidence)
    low, high = np.percentile(gains / totals, [tail, 100 - tail]).tolist()
    up, down = int((gained > 0).sum()), int((gained < 0).sum())
    if up + down == 0:
        unseen = exact_interval(0, len(cells), confidence)[1]
        return -unseen, unseen
    much = float(np.abs(gained).sum() / cells.sum())
    ends = [much * (2 * end - 1) for end in exact_interval(up, up + down, confidence)]
    return min(low, ends[0]), max(high, ends[1])


def _tables(groups: Sequence[str], labels: Sequence[str], right: Sequence[bool]) -> tuple[list[str], _Table, _Table]:
    """Names of the classes, and (groups, classes) numbers of images and of those that are right."""
    rows = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    names, columns = np.unique(np.asarray(labels), return_inverse=True)
    shape = (int(rows.max()) + 1, len(names))
    cells = rows * shape[1] + columns.reshape(-1)
    size = shape[0] * shape[1]
    counts = np.bincount(cells, minlength=size).reshape(shape)
    rights = np.bincount(cells[np.asarray(right, bool)], minlength=size).reshape(shape)
    return [str(name) for name in names], counts, rights


def _resampled(counts: _Table, rights: _Table, resamples: int, seed: int) -> tuple[_Table, _Table, _Figures]:
    """Per resample: images (R, classes), right ones (R, classes), mean of the groups' accuracies (R,).

    Groups with the same numbers can stand for each other, so how often each kind is drawn is all that matters.
    """
    kinds, alike = np.unique(np.hstack([counts, rights]), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(counts), alike / len(counts), size=resamples)
    counts, rights = np.hsplit(kinds, 2)
    within = rights.sum(axis=1) / counts.sum(axis=1)
    return drawn @ counts, drawn @ rights, drawn @ within / drawn[0].sum()


def _interval(values: _Figures, counts: _Table | _Figures, rights: _Table | _Figures) -> Interval | None:
    """:param counts: per group, images and, in ``rights``, those that are right; groups without images do not count."""
    groups = int((counts > 0).sum())
    if groups < 2:
        return None
    low, high = _percentiles(values)
    if min((rights > 0).sum(), (rights < counts).sum()) < ENOUGH:
        exact = exact_interval(groups * float(rights.sum() / counts.sum()), groups, CONFIDENCE)
        return min(low, exact[0]), max(high, exact[1])
    return low, high


def _balanced(recalls: _Figures, found: _Figures, each: list[Interval | None]) -> Interval | None:
    ends = [interval for interval in each if interval is not None]
    if len(ends) < len(each):
        return None
    lows, highs = np.array(ends).T
    low, high = _percentiles(np.nanmean(recalls, axis=1))
    down, up = (float(np.sqrt(((end - found) ** 2).sum())) / len(found) for end in (lows, highs))
    middle = float(found.mean())
    return min(low, middle - down), max(high, middle + up)


def _percentiles(values: _Figures) -> Interval:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(values, [tail, 100 - tail]).tolist()
    return low, high
