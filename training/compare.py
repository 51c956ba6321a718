"""Two networks on the same held-out cells: how many each names rightly, and whether the difference is more than chance.

Cells of one group stand or fall together, so groups are the observations; of ``ENOUGH`` slides, the slides are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from edge_wbc.types import LABELS
from training.datasets import Sample
from training.intervals import CONFIDENCE, ENOUGH, Interval, clustered_intervals, paired_interval
from training.show import interval_words

WIDTH = 120
"""Columns of a table where there is no terminal."""

Verdict: TypeAlias = Literal["better", "not distinguishable", "worse"]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of some cells."""

    cells: int
    right_before: int
    right_after: int
    before: Interval | None
    """Of the share that is right, 95 %; None: all of one group."""
    after: Interval | None
    difference: Interval | None
    """Of the share after less the share before, -1 to 1."""

    @property
    def verdict(self) -> Verdict:
        """By the interval of the difference: on one side of 0 or not."""
        if self.difference is None or self.difference[0] <= 0 <= self.difference[1]:
            return "not distinguishable"
        return "better" if self.difference[0] > 0 else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is told of two networks."""

    overall: Change
    classes: dict[str, Change]
    """Of the cells of each class that a person gave: recall."""
    by: Literal["slide", "field", "image"]
    """What the observations are."""
    observations: int

    @property
    def worse_classes(self) -> list[str]:
        """Classes of which fewer are right than before, beyond chance with so many classes looked at."""
        return [name for name, change in self.classes.items() if change.verdict == "worse"]


def compare(samples: Sequence[Sample], before: Sequence[bool], after: Sequence[bool]) -> Comparison:
    """
    :param samples: one at least.
    :param before: of each sample, whether the old network names it rightly; ``after``: the new one.
    """
    slides = {sample.slide for sample in samples}
    by_slide = "" not in slides and len(slides) >= ENOUGH
    groups = [sample.slide if by_slide else sample.group for sample in samples]
    labels = [sample.label for sample in samples]
    classes = sorted(set(labels), key=LABELS.index)
    each = {name: [i for i, label in enumerate(labels) if label == name] for name in classes}

    def change(chosen: Sequence[int], confidence: float) -> Change:
        some = [groups[i] for i in chosen]
        old, new = [before[i] for i in chosen], [after[i] for i in chosen]
        same = [""] * len(chosen)
        return Change(
            cells=len(chosen),
            right_before=sum(old),
            right_after=sum(new),
            before=clustered_intervals(some, same, old).accuracy,
            after=clustered_intervals(some, same, new).accuracy,
            difference=paired_interval(some, old, new, confidence),
        )

    of_classes = {name: change(chosen, 1 - (1 - CONFIDENCE) / len(classes)) for name, chosen in each.items()}
    overall = change(range(len(samples)), CONFIDENCE)
    alone: Literal["field", "image"] = "field" if all(sample.is_crop for sample in samples) else "image"
    return Comparison(overall, of_classes, "slide" if by_slide else alone, len(set(groups)))


def record_of(found: Comparison | None) -> dict[str, Any]:
    """For the record in the weights and for JSON; None: nothing was held out."""
    if found is None:
        return {"cells": 0}
    return {
        "cells": found.overall.cells,
        "by": found.by,
        "observations": found.observations,
        "right_before": {name: change.right_before for name, change in found.classes.items()},
        "right_after": {name: change.right_after for name, change in found.classes.items()},
        "verdict": found.overall.verdict,
        "overall": asdict(found.overall),
        "classes": {name: asdict(change) for name, change in found.classes.items()},
    }


def verdict_of(found: Comparison, old: str) -> list[str]:
    """What it comes to, a line each."""
    change = found.overall
    shares = change.right_before / change.cells, change.right_after / change.cells
    words = {
        "better": f"better than {old}",
        "worse": f"worse than {old}",
        "not distinguishable": f"not distinguishable from {old} by these cells",
    }
    lines = [
        f"{change.cells} cells held out: {change.right_before} right before ({shares[0]:.1%}), {change.right_after} "
        f"after ({shares[1]:.1%}); {100 * (shares[1] - shares[0]):+.1f} points ({points(change.difference)}): "
        f"{words[change.verdict]}"
    ]
    if found.worse_classes:
        lines.append(f"edge-wbc: worse on {', '.join(found.worse_classes)}: fewer right than before, beyond chance")
    return lines


def table(found: Comparison, old: str, new: str) -> None:
    """As a table on standard error."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=f"{found.overall.cells} held-out cells, the same for both", caption_justify="left")
    for column in ("class", "cells", old, "95 %", new, "95 %", "points", "interval"):
        drawn.add_column(column, justify="left" if column == "class" else "right", no_wrap=True)
    for name, change in {**found.classes, "all": found.overall}.items():
        difference = (change.right_after - change.right_before) / change.cells
        drawn.add_row(
            name,
            str(change.cells),
            f"{change.right_before / change.cells:.1%}",
            interval_words(change.before),
            f"{change.right_after / change.cells:.1%}",
            interval_words(change.after),
            f"{100 * difference:+.1f}",
            points(change.difference),
            end_section=name == list(found.classes)[-1],
        )
    drawn.caption = (
        f"Whatever its certainty, the most probable class. Intervals with {found.observations} {found.by}s as "
        "observations; those of the classes' differences are wider for there being several."
    )
    Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH).print(drawn)


def points(interval: Interval | None) -> str:
    """Of a difference, in points: ``-1.2 to +3.4``; a dash where there is none."""
    return "–" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"
