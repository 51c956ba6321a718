"""Engines alone: calls one after the other on crops in memory, by model, precision and batch size.

As trtexec does: warmed up for 200 ms, at least so many seconds and calls, latency from crops in host memory to
probabilities in host memory. Everything has a turn in every round, in an order that turns, so that drift hits all
alike; ratios are taken within rounds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from edge_wbc.bench.contenders import Contender
from edge_wbc.bench.peers import Answer, Told
from edge_wbc.bench.power import PowerMeter
from edge_wbc.bench.results import Accuracy, Row, measured
from edge_wbc.bench.side_by_side import compare
from edge_wbc.bench.statistics import Interval, paired_ratio, summary, time_interval
from edge_wbc.errors import first_line
from edge_wbc.types import Pixels

WARM_UP_S = 0.2
WARM_UP_CALLS = 2
"""At the start of each turn: they bring the weights back into the caches that others took."""
LEAST_CALLS = 10
CALL_BY_CALL_ROUNDS = 100
"""At most, of an engine and a loop in this process; see ``side_by_side``."""
SETTINGS = ("INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT", "ENABLE_CPU_PINNING", "version", "warnings")
"""What is kept of what a program says of its settings."""


_Rounds = Mapping[int, Sequence[int]]


@dataclass(slots=True)
class _Taken:
    """What a contender has so far."""

    contender: Contender
    rounds_ns: dict[int, list[int]] = field(default_factory=dict)
    """By round; a program's own median stands alone."""
    inside_ns: dict[int, list[int]] = field(default_factory=dict)
    """By round, what of each call the engine's request took, where it tells."""
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


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    turn_s: float,
    *,
    progress: Callable[[int], None] = lambda _: None,
    done: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Every contender once a round; one that fails keeps what it has, with the reason, and the others go on.

    Garbage is collected before each turn, and not during it.

    :param turn_s: of each turn, and at least ``LEAST_CALLS`` calls in all rounds.
    :param done: called after each round, while clocks are as it left them.
    """
    least = -(-LEAST_CALLS // rounds)
    taken = [_Taken(contender) for contender in contenders]
    for each in taken:
        each.guarded(partial(_begin, each, WARM_UP_S if turn_s else 0.0))
    for turn in range(rounds):
        shift = turn % len(taken)
        for each in (*taken[shift:], *taken[:shift]):
            each.guarded(partial(_turn, each, taken, turn, turn_s, least))
        done()
        progress(turn + 1)
    pairs = CALL_BY_CALL_ROUNDS if turn_s else 0
    return [
        replace(
            _row(each),
            ratios=_ratios(each, taken, pairs),
            request_ratios=_requests(each, taken),
            peer=each.contender.peer,
        )
        for each in taken
    ]


def _begin(each: _Taken, seconds: float) -> None:
    contender = each.contender
    if contender.answer is None:
        return
    if contender.judge is not None:
        each.accuracy = contender.judge(contender.answer, len(contender.crops))
    end = time.perf_counter() + seconds
    while True:
        contender.answer(contender.crops)
        if time.perf_counter() >= end:
            return


def _turn(each: _Taken, taken: Sequence[_Taken], turn: int, turn_s: float, least: int) -> None:
    contender = each.contender
    gc.collect()
    if contender.timed is not None:
        each.rounds_ns[turn] = contender.timed(contender.crops, least, turn_s)
        return
    if contender.program is not None:
        alike = [one for one in taken if one.contender.group == contender.group]
        typical = min((float(np.median(calls)) for one in alike for calls in one.rounds_ns.values()), default=1e6)
        heard = contender.program(max(least, int(turn_s * 1e9 / typical)), turn_s)
        each.heard.append(heard)
        each.rounds_ns[turn] = [round(heard.median_ms * 1e6)]
        return
    assert contender.answer is not None
    for _ in range(WARM_UP_CALLS):
        contender.answer(contender.crops)
    calls: list[int] = []
    inside: list[int] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        with PowerMeter() as meter:
            end = time.perf_counter_ns() + round(turn_s * 1e9)
            while len(calls) < least or time.perf_counter_ns() < end:
                started = time.perf_counter_ns()
                if contender.split is None:
                    contender.answer(contender.crops)
                else:
                    contender.split.submit(contender.crops)
                    each.enqueue_ns.append(time.perf_counter_ns() - started)
                    contender.split.collect()
                calls.append(time.perf_counter_ns() - started)
                if contender.request_ms is not None:
                    inside.append(round(1e6 * contender.request_ms()))
    finally:
        if collecting:
            gc.enable()
    each.rounds_ns[turn] = calls
    if inside:
        each.inside_ns[turn] = inside
    if meter.mean_mw:
        each.power_mw.append(meter.mean_mw)


def _row(each: _Taken) -> Row:
    contender, batch = each.contender, len(each.contender.crops)
    if contender.absent:
        return Row(contender.name, contender.what, "ms", "lower", absent=contender.absent)
    rounds = [each.rounds_ns[turn] for turn in sorted(each.rounds_ns)]
    if not each.heard:
        rails = {rail for reading in each.power_mw for rail in reading}
        return measured(
            contender.name,
            contender.what,
            rounds,
            batch,
            accuracy=each.accuracy,
            parts={name: summary(np.array(taken) / 1e6) for name, taken in _parts(each) if taken},
            power_mw={rail: float(np.mean([reading.get(rail, 0.0) for reading in each.power_mw])) for rail in rails},
            error=each.error,
        )
    medians = tuple(heard.median_ms for heard in each.heard)
    names = sorted({name for heard in each.heard for name in heard.figures})
    told = {name: _middle([heard.figures[name] for heard in each.heard if name in heard.figures]) for name in names}
    means = [heard.mean_ms for heard in each.heard if heard.mean_ms is not None]
    rates = [heard.throughput for heard in each.heard if heard.throughput is not None]
    return Row(
        contender.name,
        {**contender.what, **{name: said for name, said in each.heard[-1].settings.items() if name in SETTINGS}},
        "ms",
        "lower",
        medians,
        time_interval(medians),
        throughput=_middle(rates) if rates else None,
        told={**told, **({"mean of all time": _middle(means)} if means else {})},
        error=each.error,
    )


def _parts(each: _Taken) -> list[tuple[str, list[int]]]:
    """By name, what of all calls one part took."""
    return [("enqueue", each.enqueue_ns), ("request", [took for turn in each.inside_ns.values() for took in turn])]


def _ratios(each: _Taken, taken: Sequence[_Taken], pairs: int) -> dict[str, Interval]:
    """An engine to each of its peers with the same hint: call by call where both are in this process on the same graph,
    else in the rounds that both came through.

    :param pairs: most rounds call by call; none if 0.
    """
    ours, found = each.contender, {}
    for other in taken:
        theirs = other.contender
        turns = sorted(each.rounds_ns.keys() & other.rounds_ns.keys())
        if not ours.beside(theirs) or not turns:
            continue
        alike = ours.group == theirs.group and theirs.timed is None
        if pairs and alike and ours.answer and theirs.answer and not each.error and not other.error:
            first, second = ({"call": partial(_call, answer, ours.crops)} for answer in (theirs.answer, ours.answer))
            (difference,), _ = compare(first, second, 1, pairs)
            found[theirs.name] = difference.ratio
        else:
            found[theirs.name] = _of_rounds(other.rounds_ns, each.rounds_ns, turns)
    return found


def _requests(each: _Taken, taken: Sequence[_Taken]) -> dict[str, Interval]:
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


def _call(answer: Answer, crops: Pixels, _: int) -> object:
    return answer(crops)


def _middle(values: Sequence[float]) -> float:
    return float(np.median(values))
