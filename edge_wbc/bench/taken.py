"""What contenders have when they have had their turns, and what one took beside another in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from edge_wbc.bench.contenders import Contender
from edge_wbc.bench.peers import Told
from edge_wbc.bench.results import Accuracy
from edge_wbc.bench.side_by_side import compare
from edge_wbc.bench.statistics import Interval, paired_ratio
from edge_wbc.errors import first_line
from edge_wbc.types import Pixels

_Rounds = Mapping[int, Sequence[float]]


@dataclass(slots=True)
class Taken:
    """What a contender has so far."""

    contender: Contender
    rounds_ns: dict[int, list[int]] = field(default_factory=dict)
    """By round; a program's own median stands alone."""
    inside_ns: dict[int, list[int]] = field(default_factory=dict)
    """By round, what of each call the engine's request took, where it tells."""
    least_ns: dict[int, list[float]] = field(default_factory=dict)
    """By round, the quickest call."""
    enqueue_ns: list[int] = field(default_factory=list)
    heard: list[Told] = field(default_factory=list)
    power_mw: list[dict[str, float]] = field(default_factory=list)
    accuracy: Accuracy | None = None
    error: str = ""

    def guarded(self, step: Callable[[], object]) -> None:
        """Once a step has failed no other is tried."""
        if self.error or self.contender.absent:
            return
        try:
            step()
        except Exception as error:  # an engine of another package may raise anything
            self.error = first_line(error)


def ratios(each: Taken, taken: Sequence[Taken], pairs: int) -> dict[str, Interval]:
    """An engine to each of its peers with the same hint: call by call where both are in this process on the same graph
    and neither fails meanwhile, else in the rounds that both came through.

    :param pairs: most rounds call by call; none if 0.
    """
    ours, found = each.contender, {}
    for other in taken:
        theirs = other.contender
        turns = sorted(each.rounds_ns.keys() & other.rounds_ns.keys())
        if not ours.beside(theirs) or not turns:
            continue
        alike = ours.group == theirs.group and theirs.timed is None
        found[theirs.name] = _of_rounds(other.rounds_ns, each.rounds_ns, turns)
        if pairs and alike and ours.answer and theirs.answer and not each.error and not other.error:
            first, second = ({"call": partial(_call, one, ours.crops)} for one in (other, each))
            with suppress(_FailedError):
                (difference,), _ = compare(first, second, 1, pairs)
                found[theirs.name] = difference.ratio
    return found


def quickest(each: Taken, taken: Sequence[Taken]) -> dict[str, Interval]:
    """The quickest call of a round to a peer's: what other programs take of the processors is least in it."""
    return {
        other.contender.name: _of_rounds(other.least_ns, each.least_ns, turns)
        for other in taken
        if each.contender.beside(other.contender) and (turns := sorted(each.least_ns.keys() & other.least_ns.keys()))
    }


def requests(each: Taken, taken: Sequence[Taken]) -> dict[str, Interval]:
    """The engine's request alone to what a program tells, which is the same span of each call."""
    return {
        other.contender.name: _of_rounds(other.rounds_ns, each.inside_ns, turns)
        for other in taken
        if other.contender.program is not None and each.contender.beside(other.contender)
        if (turns := sorted(each.inside_ns.keys() & other.rounds_ns.keys()))
    }


def _of_rounds(first: _Rounds, second: _Rounds, turns: Sequence[int]) -> Interval:
    """Second ÷ first by the medians of the same rounds."""
    a, b = ([float(np.median(each[turn])) for turn in turns] for each in (first, second))
    return paired_ratio(a, b)


class _FailedError(Exception):
    """A call failed, and its contender has the reason."""


def _call(one: Taken, crops: Pixels, _: int) -> object:
    assert one.contender.answer is not None
    try:
        return one.contender.answer(crops)
    except Exception as error:
        one.error = first_line(error)
        raise _FailedError from None
