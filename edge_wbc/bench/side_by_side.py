"""Two versions of the same stages, taken in turn, and whether one is slower: which stage, and by how much.

Measured on a busy machine of two processors: the second of two calls on the same input takes 0.8 to 0.95 of the first,
as its data lie in the caches; and one call in ten is interrupted for milliseconds. Hence each turn begins with a call
that is not timed, the order is A B B A and then B A A B, of two calls the quicker stands for both, and a call in which
the kernel gave the processor to another program is taken again. A slowdown that only some calls have is not seen so:
percentiles show that.
"""

from __future__ import annotations

import gc
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge_wbc.bench.statistics import Interval, paired_ratio

Work = Callable[[int], object]
"""One stage's work on the input of that number."""

LEAST_ROUNDS, MOST_ROUNDS = 40, 200
"""Fewer leave the ends of so wide an interval to a handful of rounds; more bring little for their time."""
STEP = 20
NARROW = 0.04
"""Half as wide an interval may be for the rounds to be enough. Its width says nothing of where it lies, so that
stopping on it favours no answer."""
AGAIN = 4
"""How often a call that was interrupted is taken again; one longer than the kernel's time slice always is."""
WRONG = 0.01
"""How often, at most, equal things may be called different, all stages together."""
SMALLEST = 0.02
"""A smaller difference is not told: where code and data happen to lie in memory can make as much."""
ORDERS = ((0, 1, 1, 0), (1, 0, 0, 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """One stage of B beside the same of A."""

    stage: str
    ratio: Interval
    """B ÷ A; with several stages the interval is wider, so that all hold together."""
    rounds: int

    @property
    def narrow(self) -> bool:
        _, low, high = self.ratio
        return low is not None and high is not None and math.log(high / low) <= 2 * math.log1p(NARROW)

    @property
    def told(self) -> bool:
        """Whether they differ: the interval leaves out 1, and the ratio is far enough from it."""
        return not self.ratio.holds(1) and abs(math.log(self.ratio.value)) >= math.log1p(SMALLEST)


@dataclass(frozen=True, slots=True)
class Taken:
    """What was measured."""

    rounds: dict[str, list[tuple[int, int]]]
    """By stage, what A and B took in each round, in ns."""
    interrupted: int
    calls: int


def compare(
    a: Mapping[str, Work], b: Mapping[str, Work], inputs: int, most_rounds: int = MOST_ROUNDS
) -> tuple[list[Difference], Taken]:
    """Every stage of both in every round, until all intervals are narrow.

    Garbage collection is off meanwhile: it would hit either at random.

    :param inputs: how many there are; each two rounds take the next.
    :raises ValueError: A and B have not the same stages.
    """
    if a.keys() != b.keys():
        raise ValueError(f"stages {', '.join(a)} of one, {', '.join(b)} of the other")
    taken: dict[str, list[tuple[int, int]]] = {stage: [] for stage in a}
    calls = _Calls()
    found: list[Difference] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for turn in range(most_rounds):
            for stage in a:
                taken[stage].append(calls.turn((a[stage], b[stage]), turn // 2 % inputs, ORDERS[turn % 2]))
            if turn + 1 >= LEAST_ROUNDS and ((turn + 1) % STEP == 0 or turn + 1 == most_rounds):
                found = differences(taken)
                if all(difference.narrow for difference in found):
                    break
    finally:
        if collecting:
            gc.enable()
    return found, Taken(taken, calls.interrupted, calls.made)


def differences(taken: Mapping[str, Sequence[tuple[float, float]]]) -> list[Difference]:
    """One a stage. Neighbouring rounds, of one order and the other on the same input, are taken together.

    :raises ValueError: fewer than ``LEAST_ROUNDS`` rounds.
    """
    found = []
    confidence = 1 - WRONG / max(1, len(taken))
    for stage, rounds in taken.items():
        if len(rounds) < LEAST_ROUNDS:
            raise ValueError(f"{len(rounds)} rounds of {stage}; take at least {LEAST_ROUNDS}")
        logs = [math.log(b / a) for a, b in rounds]
        both = [(first + second) / 2 for first, second in zip(logs[::2], logs[1::2], strict=False)]
        ratio = paired_ratio([1.0] * len(both), [math.exp(log) for log in both], confidence)
        found.append(Difference(stage, ratio, len(rounds)))
    return found


def slowed(work: Work, share: float) -> Work:
    """The same work taking that share longer, by waiting busily: a fault to be planted."""

    def longer(number: int) -> object:
        started = time.perf_counter_ns()
        done = work(number)
        end = time.perf_counter_ns() + share * (time.perf_counter_ns() - started)
        while time.perf_counter_ns() < end:
            pass
        return done

    return longer


class _Calls:
    """Times calls, and counts those in which another program had the processor."""

    def __init__(self) -> None:
        self.made = self.interrupted = 0

    def turn(self, works: tuple[Work, Work], number: int, order: Sequence[int]) -> tuple[int, int]:
        """The quicker of two calls of each, in ns."""
        works[order[0]](number)
        least = [0, 0]
        for which in order:
            took = self._time(works[which], number)
            least[which] = min(took, least[which] or took)
        return least[0], least[1]

    def _time(self, work: Work, number: int) -> int:
        least = 0
        for _ in range(AGAIN):
            switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
            started = time.perf_counter_ns()
            work(number)
            took = time.perf_counter_ns() - started
            least = min(took, least or took)
            self.made += 1
            if resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw == switches:
                break
            self.interrupted += 1
        return least
