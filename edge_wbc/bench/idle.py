"""What the machine itself does to a program that is due at fixed times: a busy loop of one length, at a rate."""

from __future__ import annotations

import time

_CALIBRATED = 20_000
"""Steps of the loop by which its speed is found."""


def late(rate: float, work_ns: int, ticks: int) -> list[int]:
    """How long after each tick the same work was done, in ns; nothing else of this process should run meanwhile.

    What is above the quickest is the wait for a processor, and other programs' and clocks' part in the work. A tick
    that is a whole period past is passed over, as a camera's frame is dropped.

    :param rate: ticks a second.
    :param work_ns: of processor time, about, at each.
    :param ticks: that are not passed over; fewer come back where as many are.
    """
    steps = max(1, round(work_ns / _step_ns()))
    began_ns, period_ns = time.monotonic_ns(), round(1e9 / rate)
    found: list[int] = []
    for tick in range(2 * ticks):
        due_ns = began_ns + tick * period_ns
        if len(found) == ticks:
            break
        if time.monotonic_ns() > due_ns + period_ns:
            continue
        if (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        _work(steps)
        found.append(time.monotonic_ns() - due_ns)
    return found


def _work(steps: int) -> None:
    for _ in range(steps):
        pass


def _step_ns() -> float:
    least = None
    for _ in range(5):
        began = time.thread_time_ns()
        _work(_CALIBRATED)
        took = time.thread_time_ns() - began
        least = took if least is None else min(least, took)
    return max(1, least or 1) / _CALIBRATED
