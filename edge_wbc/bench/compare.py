"""Two results beside each other: what got slower, and whether they may be compared at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from edge_wbc.bench.results import Result, Row
from edge_wbc.bench.statistics import Interval, Summary, unpaired_ratio

MEMORY_ALIKE = 0.02
"""Kernels keep a little of the same memory for themselves."""
WAITS_ALONE = 0.2
"""Frames wait longer before a stage that became slower, and often by more than the stage: a wait is named only where no
stage rose by this share of it."""

Verdict = Literal["worse", "better", "same", "failed", "missing", "new"]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of both."""

    name: str
    unit: str
    a: float | None
    b: float | None
    ratio: Interval | None
    """B ÷ A where lower is better, A ÷ B where higher is: above 1 is worse."""
    verdict: Verdict
    slower: str = ""
    """Of a row with parts that is worse, the part that rose most, with its medians."""

    def past(self, threshold: float) -> bool:
        """Whether it is worse by more than that share, or was there in A and did not come to its end in B."""
        if self.verdict in ("failed", "missing"):
            return True
        return self.verdict == "worse" and self.ratio is not None and self.ratio.value > 1 + threshold


def compare(a: Result, b: Result) -> list[Line]:
    """Every row of either, in A's order."""
    others = {row.name: row for row in b.rows}
    lines = [_line(row, others.pop(row.name, None)) for row in a.rows]
    return lines + [Line(row.name, row.unit, None, _value(row), None, "new") for row in others.values()]


def differing(a: Result, b: Result) -> list[str]:
    """Why the two should not be compared, in words: another benchmark, machine, power mode or settings."""
    return [
        f"{what}: {_words(first)} and {_words(second)}"
        for (what, first), (_, second) in zip(_identity(a, b), _identity(b, a), strict=True)
        if not _alike(what, first, second)
    ]


def _identity(of: Result, beside: Result) -> Iterator[tuple[str, Any]]:
    machine, processor = of.machine, of.machine.processor
    yield "benchmark", of.kind + (" --smoke" if of.smoke else "")
    yield "processor", processor.model
    yield "usable processors", machine.processors
    yield "quota of processors", processor.quota
    yield "threads a core", processor.threads_a_core
    yield "instruction sets", processor.extensions
    yield "memory", machine.memory_bytes
    yield "module", machine.jetson and machine.jetson.module
    yield "L4T", machine.jetson and machine.jetson.l4t
    yield "power mode", of.before.power_mode
    yield "governors", of.before.governors
    yield "GPUs", tuple(gpu.name for gpu in machine.gpus)
    for name in sorted({*of.settings, *beside.settings}):
        yield name, of.settings.get(name)


def _alike(what: str, first: Any, second: Any) -> bool:
    if what == "memory" and first and second:
        return bool(abs(first - second) <= MEMORY_ALIKE * max(first, second))
    return bool(first == second)


def _words(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _line(a: Row, b: Row | None) -> Line:
    if b is None:
        return Line(a.name, a.unit, _value(a), None, None, "missing")
    first, second = _value(a), _value(b)
    if b.error and not a.error:
        return Line(a.name, a.unit, first, second, None, "failed")
    if not a.rounds or not b.rounds:
        return Line(a.name, a.unit, first, second, None, "new" if b.rounds else "missing" if a.rounds else "same")
    worse = (a.rounds, b.rounds) if a.better == "lower" else (b.rounds, a.rounds)
    ratio = unpaired_ratio(*worse)
    if ratio.low is None or ratio.holds(1):
        return Line(a.name, a.unit, first, second, ratio, "same")
    if ratio.value <= 1:
        return Line(a.name, a.unit, first, second, ratio, "better")
    return Line(a.name, a.unit, first, second, ratio, "worse", _slower(a.parts, b.parts))


def _slower(a: dict[str, Summary], b: dict[str, Summary]) -> str:
    """Which part rose most, and from where to where; empty where none did."""
    found = {name: (_middle(a.get(name)), _middle(each)) for name, each in b.items()} if a else {}
    rose = {name: after - before for name, (before, after) in found.items() if after > before}
    if not rose:
        return ""
    most = max(rose.values())
    stages = [name for name in rose if not name.startswith("wait") and rose[name] >= WAITS_ALONE * most]
    name = max(stages or rose, key=rose.__getitem__)
    before, after = found[name]
    return f"{name} {before:.2f} → {after:.2f} ms"


def _middle(part: Summary | None) -> float:
    if part is None:
        return 0.0
    median = part.percentiles.get("p50")
    return part.mean if median is None else median


def _value(row: Row) -> float | None:
    return row.median.value if row.median else None
