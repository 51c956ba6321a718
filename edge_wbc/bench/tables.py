"""A benchmark's result as tables of text, for a page and for Markdown, and what their columns mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from edge_wbc.bench.power import total_mw
from edge_wbc.bench.processor import Clock
from edge_wbc.bench.results import Result, Row
from edge_wbc.bench.statistics import PERCENTILES, Interval

NOTHING = "–"
TITLES = {"engine": "Engines alone", "pipeline": "The whole pipeline", "roofline": "Layers beside this machine's peaks"}
OCCUPIED = "occupied "
"""Names of figures that begin so are shares of the time."""
MEANINGS = {
    "occupied": "share of the time in which at least one frame was in the stage; near 100 % it bounds the pipeline",
    "median": "of the medians of all rounds, which took turns; its 95 % interval is from resampling the rounds",
    **{
        f"p{percent:g}": f"{percent:g} % of all calls or frames took no longer (nearest rank; – where too few to tell)"
        for percent in PERCENTILES
    },
    "far out": "samples more than 3 interquartile ranges above the third quartile; they are in every figure",
    "a second": "crops a second (an engine), cells a second (the pipeline) while it ran",
    "agree": "of the golden crops, those named as ONNX Runtime names them on the same graph; they are drawn: "
    "that shows a wrong engine, and says nothing of accuracy on blood",
    "least recall": "of the class of golden crops that is named rightly least",
    "W": "mean power of the whole board or of all its rails meanwhile, where it has sensors",
    "ratio": "time of this ÷ time of that, both from the same round; below 1 this is the quicker",
    "bound": "of a layer: the longer of its multiply-accumulates at the measured peak rate and its bytes at the "
    "measured bandwidth; of a pipeline: the stage that was occupied longest",
    "MMAC": "millions of multiply-accumulates",
    "kB": "weights, inputs and outputs, each once",
    "near": "bound ÷ time",
    "p99 ÷ p50": "how far the slow frames are from the usual one",
    "at most": "what it is held against: p99 ÷ p50 of a camera, MB or ms of a process",
    "undelayed": "p99 ÷ p50 without what a frame's threads waited for a processor, as the kernel counts it",
    "pictures' own": "p99 ÷ p50 where every frame takes what its picture took at its quickest",
    "machine's own": "p99 ÷ p50 of a busy loop as long as the quickest frame, at the same rate, with nothing beside it",
    "given": "frames that the source had",
    "dropped": "frames that a newer one replaced before they were looked at",
    "predicted": "by the peaks that its maker published; not measured, and what starting a layer costs is not in it",
}
"""Column → what it says."""


class Table(NamedTuple):
    """Of text; every row as long as ``columns``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int
    """So many columns from the left hold words, the others figures."""

    @property
    def meanings(self) -> dict[str, str]:
        """What its columns mean, of those that need saying."""
        return {name: MEANINGS[name] for name in self.columns if name in MEANINGS}


def tables(found: Result) -> list[Table]:
    """What was measured, what of it stands beside what, and of what parts it consists."""
    made = (
        [_layers(found)]
        if found.kind == "roofline"
        else [_figures(found), _beside(found), _told(found), *_parts(found)]
    )
    return [table for table in made if table.rows]


def missing(found: Result) -> dict[str, str]:
    """Row that failed or took no turn → why."""
    return {row.name: row.error or row.absent for row in found.rows if row.error or row.absent}


def meanings(made: Sequence[Table]) -> dict[str, str]:
    """What the columns of all tables mean, each once."""
    return {name: said for table in made for name, said in table.meanings.items()}


def settings(found: Result) -> dict[str, str]:
    """How it was run, in words."""
    return {name: f"{it:.6g}" if isinstance(it, float) else str(it) for name, it in found.settings.items()}


def machine(found: Result) -> Table:
    """Where it ran, as it stood before and after."""
    processor, board = found.machine.processor, found.machine.jetson
    usable = ",".join(map(str, processor.usable)) or NOTHING
    same: list[tuple[str, str]] = [
        ("machine", found.machine.name),
        ("processors", f"{found.machine.processors} ({usable})"),
        ("memory", _gib(found.machine.memory_bytes)),
        ("system", f"{found.machine.system or NOTHING}, kernel {found.machine.kernel or NOTHING}"),
        *([("board", f"L4T {board.l4t}, TensorRT {board.tensorrt}, CUDA {board.cuda}")] if board else []),
        *((f"GPU {number}", f"{gpu.name}, driver {gpu.driver}") for number, gpu in enumerate(found.machine.gpus)),
        *found.software.items(),
    ]
    looks = (found.before, found.after)
    changing = [
        ("governor", *(", ".join(sorted(set(look.governors))) or NOTHING for look in looks)),
        ("clocks, MHz", *(_clocks(look.clocks) for look in looks)),
        ("power mode", *(look.power_mode or NOTHING for look in looks)),
        ("hottest, °C", *(number(max(look.temperatures_c.values(), default=None), 1) for look in looks)),
        ("load", *(number(look.load, 2) for look in looks)),
        ("memory available", *(_gib(look.memory_available_bytes) for look in looks)),
    ]
    rows = [(name, value, "") for name, value in same] + [row for row in changing if set(row[1:]) != {NOTHING}]
    return Table("The machine", ("", "before", "after"), tuple(rows), 3)


def _figures(found: Result) -> Table:
    keys = [
        key
        for key, count in Counter(key for row in found.rows for key in row.what).items()
        if 2 * count > len(found.rows)
    ]
    power = any(row.power_mw for row in found.rows)
    accuracy = any(row.accuracy for row in found.rows)
    columns = [*keys, "unit", "median", "95 %", *(f"p{percent:g}" for percent in PERCENTILES), "far out", "a second"]
    columns += ["agree", "least recall"] * accuracy + ["W"] * power
    bounds = any(row.bound for row in found.rows)
    rows = []
    for row in found.rows:
        figures = [row.what.get(key, "") for key in keys]
        figures += [row.unit, *_interval(row.median, row)]
        told = row.summary.percentiles if row.summary and row.unit == "ms" else {}
        figures += [number(told.get(f"p{percent:g}"), 3) for percent in PERCENTILES]
        figures += [str(row.summary.outliers) if told and row.summary else NOTHING, number(row.throughput, 0)]
        if accuracy:
            figures += _accuracy(row)
        if power:
            drawn = total_mw(row.power_mw)
            figures.append(number(None if drawn is None else drawn / 1000, 2))
        rows.append((*figures, *([row.bound or NOTHING] if bounds else [])))
    columns += ["bound"] * bounds
    return Table(TITLES.get(found.kind, found.kind), tuple(columns), tuple(rows), len(keys) + 1)


def _interval(median: Interval | None, row: Row) -> tuple[str, str]:
    if median is None:
        return ("absent" if row.absent else "failed" if row.error else NOTHING), NOTHING
    digits = 3 if row.unit == "ms" else 1
    value = number(median.value, digits)
    return value, median.ends(digits)


def _accuracy(row: Row) -> list[str]:
    if row.accuracy is None:
        return [NOTHING, NOTHING]
    return [
        f"{row.accuracy.agreeing} of {row.accuracy.crops}",
        number(min(row.accuracy.recall.values(), default=None), 2),
    ]


def _beside(found: Result) -> Table:
    rows = tuple(
        (row.name, other, f"{ratio.value:.3f}", ratio.ends())
        for row in found.rows
        for other, ratio in row.ratios.items()
    )
    return Table("Side by side", ("this", "that", "ratio", "95 %"), rows, 2)


def _told(found: Result) -> Table:
    """What rows that are no peer's tell besides; shares of time that stages were occupied are in one column."""
    rows = [row for row in found.rows if row.told and not row.peer]
    names = [name for name in dict.fromkeys(name for row in rows for name in row.told) if not name.startswith(OCCUPIED)]
    lines = []
    for row in rows:
        shares = {name.removeprefix(OCCUPIED): share for name, share in row.told.items() if name.startswith(OCCUPIED)}
        busy = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
        lines.append(
            (row.name, busy or NOTHING, *(f"{row.told[name]:.4g}" if name in row.told else NOTHING for name in names))
        )
    return Table("Beside the times", ("", "occupied", *names), tuple(lines), 2)


def _parts(found: Result) -> list[Table]:
    """For rows with parts: p50 / p99 of each, in the order of time."""
    rows = [row for row in found.rows if row.parts]
    if not rows:
        return []
    names = list(dict.fromkeys(part for row in rows for part in row.parts))
    lines = []
    for row in rows:
        shown = []
        for name in names:
            part = row.parts.get(name)
            ends = [] if part is None else [number(part.percentiles.get(which), 3) for which in ("p50", "p99")]
            shown.append(" / ".join(ends) or NOTHING)
        lines.append((row.name, *shown))
    return [Table("Where the time goes: p50 / p99, ms", ("", *names), tuple(lines), 1)]


def _layers(found: Result) -> Table:
    """Rows of ``bench roofline``."""
    rows = []
    for row in found.rows:
        told, ms = row.told, row.median.value if row.median else 0.0
        near = number(100 * told["bound"] / ms, 0) + " %" if ms and "bound" in told else NOTHING
        macs = number(told["macs"] / 1e6, 2) if "macs" in told else NOTHING
        size = number(told["bytes"] / 1e3, 0) if "bytes" in told else NOTHING
        words = (row.what.get("layer", row.name), row.what.get("kernel", ""), row.what.get("by", ""))
        rows.append((*words, macs, size, number(ms or None, 4), number(told.get("bound"), 4), near))
    return Table(TITLES["roofline"], ("layer", "kernel", "by", "MMAC", "kB", "ms", "bound", "near"), tuple(rows), 3)


def number(value: float | None, digits: int) -> str:
    """A figure as it stands in a table."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def _gib(size: int | None) -> str:
    return NOTHING if size is None else f"{size / 2**30:.1f} GiB"


def _clocks(clocks: Sequence[Clock]) -> str:
    return ", ".join(f"{clock.now:.0f}" for clock in clocks) or NOTHING
