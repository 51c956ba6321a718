"""Engines alone: calls one after the other on crops in memory, by model, precision and batch size.

As trtexec does: warmed up for 200 ms, at least so many seconds and calls, latency from crops in host memory to
probabilities in host memory. Everything has a turn in every round, in an order that turns, so that drift hits all
alike; ratios are taken within rounds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from edge_wbc.bench.contenders import Contender
from edge_wbc.bench.power import PowerMeter
from edge_wbc.bench.results import Row, measured
from edge_wbc.bench.statistics import summary, time_interval
from edge_wbc.bench.taken import Taken, quickest, ratios, requests

WARM_UP_S = 0.2
WARM_UP_CALLS = 2
"""At the start of each turn: they bring the weights back into the caches that others took."""
LEAST_CALLS = 10
CALL_BY_CALL_ROUNDS = 100
"""At most, of an engine and a loop in this process; see ``side_by_side``."""
SETTINGS = ("INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT", "ENABLE_CPU_PINNING", "version", "warnings")
"""What is kept of what a program says of its settings."""


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
    taken = [Taken(contender) for contender in contenders]
    for each in taken:
        each.guarded(partial(_begin, each, WARM_UP_S if turn_s else 0.0))
    for turn in range(rounds):
        shift = turn % len(taken)
        for each in (*taken[shift:], *taken[:shift]):
            each.guarded(partial(_turn, each, taken, turn, turn_s, least))
        done()
        progress(turn + 1)
    pairs = CALL_BY_CALL_ROUNDS if turn_s else 0
    beside = [ratios(each, taken, pairs) for each in taken]  # first: one that fails now says so in its row as well
    return [
        replace(
            _row(each),
            ratios=found,
            further_ratios={"quickest": quickest(each, taken), "request": requests(each, taken)},
            peer=each.contender.peer,
        )
        for each, found in zip(taken, beside, strict=True)
    ]


def _begin(each: Taken, seconds: float) -> None:
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


def _turn(each: Taken, taken: Sequence[Taken], turn: int, turn_s: float, least: int) -> None:
    contender = each.contender
    gc.collect()
    if contender.timed is not None:
        each.rounds_ns[turn] = contender.timed(contender.crops, least, turn_s)
        each.least_ns[turn] = [min(each.rounds_ns[turn])]
        return
    if contender.program is not None:
        alike = [one for one in taken if one.contender.group == contender.group]
        typical = min((float(np.median(calls)) for one in alike for calls in one.rounds_ns.values()), default=1e6)
        heard = contender.program(max(least, int(turn_s * 1e9 / typical)), turn_s)
        each.heard.append(heard)
        each.rounds_ns[turn] = [round(heard.median_ms * 1e6)]
        if "min" in heard.figures:
            each.least_ns[turn] = [heard.figures["min"] * 1e6]
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
    each.least_ns[turn] = [min(calls)]
    if inside:
        each.inside_ns[turn] = inside
    if meter.mean_mw:
        each.power_mw.append(meter.mean_mw)


def _row(each: Taken) -> Row:
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


def _parts(each: Taken) -> list[tuple[str, list[int]]]:
    """By name, what of all calls one part took."""
    return [("enqueue", each.enqueue_ns), ("request", [took for turn in each.inside_ns.values() for took in turn])]


def _middle(values: Sequence[float]) -> float:
    return float(np.median(values))
