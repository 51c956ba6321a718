"""Whether a run can be trusted, and what speaks against it: clocks, heat, other programs, the system's time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_wbc.bench.machine import State, look
from edge_wbc.bench.processor import clocks
from edge_wbc.bench.statistics import LEAST_ROUNDS, least_samples
from edge_wbc.bench.tree import ROOT, Tree

MOST_BY_OTHERS = 0.05
"""Of the processors' time. An idle desktop takes 1 or 2 %; a second busy program on 16 processors takes 6."""
MOST_CLOCK_RANGE = 0.1
"""Of the fastest processor's clock, between rounds. Boost clocks breathe by some per cent under a steady load."""
MOST_ASLEEP_NS = 10_000_000
MOST_SLEW = 0.001
"""How far the monotonic clock may be from the raw one: the kernel steers it by at most 500 parts in a million."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust a run."""

    kind: Literal["clock", "throttled", "load", "samples", "time"]
    said: str


@dataclass(frozen=True, slots=True)
class Times:
    """The clocks of the system and who took the processors, at one moment; seconds but for ``*_ns``."""

    monotonic_ns: int
    raw_ns: int
    """Not steered by the network's time."""
    boot_ns: int
    """Goes on while the system sleeps."""
    own_s: float
    """Processor time of this process and of children that ended."""
    busy_s: float | None
    """Of all processors that the system uses; None where it does not tell."""
    stolen_s: float | None
    """What the hypervisor gave to others."""
    processors: int


def now(root: Path = ROOT) -> Times:
    """The moment."""
    spent = os.times()
    monotonic = time.monotonic_ns()
    raw, boot = (
        time.clock_gettime_ns(getattr(time, name)) if hasattr(time, name) else monotonic
        for name in ("CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME")
    )
    own = spent.user + spent.system + spent.children_user + spent.children_system
    return Times(monotonic, raw, boot, own, *_busy(root))


def changed(before: State, after: State) -> list[Doubt]:
    """What two looks at the machine, before and after, say against what was measured between."""
    doubts = []
    if before.power_mode != after.power_mode:
        doubts.append(Doubt("clock", f"the power mode changed from {before.power_mode} to {after.power_mode}"))
    if before.governors != after.governors:
        names = [" and ".join(look.governors) or "none" for look in (before, after)]
        doubts.append(Doubt("clock", f"the clocks' governor changed from {names[0]} to {names[1]}"))
    for name, first, then in (
        ("processor", next(iter(before.clocks), None), next(iter(after.clocks), None)),
        ("GPU", before.gpu, after.gpu),
    ):
        if first and then and first.greatest != then.greatest:
            said = f"the {name}'s highest clock changed from {first.greatest:g} to {then.greatest:g} MHz"
            doubts.append(Doubt("clock", said))
    if before.gpu and not before.gpu.pinned:
        doubts.append(Doubt("clock", "the GPU's clock may move; `sudo jetson_clocks` pins it"))
    for name, count in after.throttles.items():
        rose = count - before.throttles.get(name, count)
        if rose > 0:
            doubts.append(Doubt("throttled", f"{name}: {rose} more"))
    for number, gpu in enumerate(after.gpus):
        if gpu.slowed_by:
            doubts.append(Doubt("throttled", f"GPU {number} is slowed, reasons {gpu.slowed_by:#x} of NVML"))
    return doubts


def disturbed(before: Times, after: Times) -> list[Doubt]:
    """What the clocks and other programs say against what was measured between two moments."""
    passed, raw, boot = (getattr(after, name) - getattr(before, name) for name in ("monotonic_ns", "raw_ns", "boot_ns"))
    doubts = []
    if passed < 0 or abs(passed - raw) > MOST_SLEW * abs(raw) + MOST_ASLEEP_NS:
        doubts.append(Doubt("time", f"the monotonic clock went {passed / 1e9:.3f} s, the raw one {raw / 1e9:.3f} s"))
    if boot - passed > MOST_ASLEEP_NS:
        doubts.append(Doubt("time", f"the system slept for {(boot - passed) / 1e9:.3f} s"))
    if before.busy_s is None or after.busy_s is None or passed <= 0:
        return doubts
    there = passed / 1e9 * after.processors
    stolen = ((after.stolen_s or 0) - (before.stolen_s or 0)) / there
    others = (after.busy_s - before.busy_s - (after.own_s - before.own_s)) / there
    if others > MOST_BY_OTHERS:
        doubts.append(Doubt("load", f"other programs took {100 * others:.0f} % of the processors' time"))
    if stolen > MOST_BY_OTHERS:
        doubts.append(Doubt("load", f"the hypervisor gave {100 * stolen:.0f} % of the processors' time to others"))
    return doubts


def too_few(rounds: int, samples: Mapping[str, int]) -> list[Doubt]:
    """What a run says that was too short for an interval, or for the 99th percentile of something."""
    doubts = []
    if rounds < LEAST_ROUNDS:
        doubts.append(Doubt("samples", f"{rounds} rounds; fewer than {LEAST_ROUNDS} have no interval"))
    few = [name for name, count in samples.items() if count < least_samples(99)]
    if few:
        said = f"{few[0]}: {samples[few[0]]} calls" + (f", and {len(few) - 1} others" if len(few) > 1 else "")
        doubts.append(Doubt("samples", f"{said}; fewer than {least_samples(99)} have no 99th percentile"))
    return doubts


class Watch:
    """Looks before, between the rounds and after; then says what speaks against the run."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self.before = look(root)
        self.after = self.before
        self._began = now(root)
        self._fastest: list[float] = []

    def round(self) -> None:
        """To be called when a round is done, while the clocks are still as it left them."""
        found = [clock.now for clock in clocks(Tree(self._root))]
        if found:
            self._fastest.append(max(found))

    def end(self) -> list[Doubt]:
        """Look once more."""
        ended = now(self._root)
        self.after = look(self._root)
        doubts = [*changed(self.before, self.after), *disturbed(self._began, ended)]
        low, high = min(self._fastest, default=0), max(self._fastest, default=0)
        if high and high - low > MOST_CLOCK_RANGE * high:
            said = f"the fastest processor's clock was between {low:.0f} and {high:.0f} MHz"
            doubts.append(Doubt("clock", said))
        return doubts


def _busy(root: Path) -> tuple[float | None, float | None, int]:
    """Seconds that all processors were busy and were stolen, and how many there are. Columns: proc_stat(5)."""
    lines = (Tree(root).text("", "proc/stat") or "").splitlines()
    ticks = os.sysconf("SC_CLK_TCK")
    count = sum(line.startswith("cpu") and line[3:4].isdigit() for line in lines)
    columns = [int(text) for text in lines[0].split()[1:] if text.isdigit()] if lines else []
    if len(columns) < 8 or not count:
        return None, None, os.cpu_count() or 1
    user, nice, system, _, _, interrupts, soft, stolen = columns[:8]
    return (user + nice + system + interrupts + soft) / ticks, stolen / ticks, count
