"""The history as charts are drawn of it: what goes together, with the limits as they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from edge_wbc.control.known import choice
from edge_wbc.control.limits import ENOUGH, SETTLED, Figure, Limits, limits
from edge_wbc.control.run import P99, Run, figures, runs
from edge_wbc.control.run import inside as inside_runs
from edge_wbc.control.slides import FIGURES, Slide, slides, waiting
from edge_wbc.control.slides import inside as inside_slides

MOST_POINTS = 200
"""Of a chart, the newest."""

One = TypeVar("One", Run, Slide)


def trends(place: Path) -> dict[str, Any]:
    """For JSON: the set that holds, groups of runs and of sessions, each with its limits, the newest group first.

    :raises SessionError: the history can't be read.
    """
    all_runs, all_slides = runs(place), slides(place)
    return {
        "set": asdict(choice(place)),
        "runs": [_of_runs(group, all_runs) for group in _groups(all_runs)],
        "sessions": [_of_slides(group, all_slides) for group in _groups(all_slides)],
        "waiting": len(waiting(place)),
        "enough": ENOUGH,
        "settled": SETTLED,
    }


def _groups(found: Iterable[One]) -> list[list[One]]:
    groups: dict[object, list[One]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    return sorted(groups.values(), key=lambda group: -group[-1].number)


def _of_runs(group: Sequence[Run], all_runs: Sequence[Run]) -> dict[str, Any]:
    newest = group[-1]
    return {
        "title": f"{newest.model} on {newest.engine}, {newest.machine}, {newest.set_name}",
        "graph_sha256": newest.graph_sha256,
        "set_sha256": newest.set_sha256,
        "count": len(group),
        "outside": sum(bool(one.outside) for one in group),
        "charts": [
            *(_chart(one, limits(one, inside_runs(one, newest, all_runs))) for one in figures(newest)),
            {**_chart(P99, None), "judged": False},
        ],
        "points": [one.record() for one in group[-MOST_POINTS:]],
    }


def _of_slides(group: Sequence[Slide], all_slides: Sequence[Slide]) -> dict[str, Any]:
    newest = group[-1]
    return {
        "title": f"{newest.source}, crops of {newest.size_px} pixels",
        "count": len(group),
        "outside": sum(bool(one.outside) for one in group),
        "charts": [_chart(one, limits(one, inside_slides(one, newest, all_slides))) for one in FIGURES],
        "points": [asdict(one) for one in group[-MOST_POINTS:]],
    }


def _chart(figure: Figure, found: Limits | None) -> dict[str, Any]:
    """:class:`Limits` or None, beside the fixed limits."""
    return {
        "name": figure.name,
        "title": figure.title[0].upper() + figure.title[1:],
        "unit": figure.unit,
        "digits": figure.digits,
        "floor": figure.floor,
        "ceiling": figure.ceiling,
        "judged": True,
        "limits": None if found is None else found._asdict(),
    }
