"""A benchmark's result as a file: what was measured, on what machine, how, and every sample.

JSON of the dataclasses below. ``schema`` rises when what is there changes its meaning or goes; what this version does
not know is passed over, so that a field may be added.
"""

from __future__ import annotations

import base64
import binascii
import importlib.metadata
import json
import platform
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.bench.machine import Machine, State
from edge_wbc.bench.statistics import Interval, Summary, summary, time_interval
from edge_wbc.bench.trust import Doubt
from edge_wbc.errors import InputRefused, reason
from edge_wbc.files import write_whole

SCHEMA = 1
PACKAGES = ("openvino", "onnxruntime", "numpy", "opencv-python-headless", "tensorrt", "pycuda")
"""Whose versions stand in a result."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of the same engine on the golden crops: they are drawn, and say whether engines agree, nothing of accuracy."""

    crops: int
    agreeing: int
    """Named as the reference engine names them on the same graph."""
    worst_difference: float
    """Largest absolute difference of a probability from the reference's."""
    recall: dict[str, float]
    """By class, of the crops drawn as one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured."""

    name: str
    """Tells rows of two results apart, and is the same in both."""
    what: dict[str, str]
    """Model, engine, precision and so on, one column of a table each."""
    unit: str
    better: Better
    rounds: tuple[float, ...] = ()
    """Median of each round, in the order of time."""
    median: Interval | None = None
    """Of the rounds."""
    summary: Summary | None = None
    """Of all samples; None where a peer told figures only."""
    packed: str = ""
    """Every sample in ns, as ``pack`` writes them."""
    calls: tuple[int, ...] = ()
    """Samples of each round."""
    throughput: float | None = None
    """Crops a second while it ran: all crops ÷ all time."""
    parts: dict[str, Summary] = field(default_factory=dict)
    """Of what the time is made up, where the engine tells; of a pipeline its stages, and its waits, which begin with
    ``wait``. A frame that does not meet a part counts there with 0, so that the means add up."""
    bound: str = ""
    """The stage of a pipeline that was occupied longest."""
    told: dict[str, float] = field(default_factory=dict)
    """What a peer said of itself, median over the rounds."""
    ratios: dict[str, Interval] = field(default_factory=dict)
    """To rows of this result, both from the same round: this ÷ that."""
    further_ratios: dict[str, dict[str, Interval]] = field(default_factory=dict)
    """``quickest``: of each round's least call. ``request``: part ``request`` of this ÷ what a program tells."""
    accuracy: Accuracy | None = None
    power_mw: dict[str, float] = field(default_factory=dict)
    peer: bool = False
    """Whether it is no engine of edge-wbc, but what one is held against."""
    error: str = ""
    """What ended it."""
    absent: str = ""
    """What is not installed, so that it took no turn."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one benchmark."""

    schema: int
    kind: str
    """Which benchmark, such as ``engine``."""
    version: str
    """Of edge-wbc."""
    written: str
    """ISO 8601, UTC."""
    smoke: bool
    machine: Machine
    before: State
    after: State
    software: dict[str, str]
    settings: dict[str, str | int | float | None]
    """Whatever must be the same for two results to be comparable."""
    rows: tuple[Row, ...]
    doubts: tuple[Doubt, ...]
    """Why the times are not to be trusted; empty if nothing speaks against them."""
    notice: str = RESEARCH_USE

    @property
    def trustworthy(self) -> bool:
        return not self.doubts


_RESULT = TypeAdapter(Result)


def result(
    kind: str,
    *,
    smoke: bool,
    machine: Machine,
    looks: tuple[State, State],
    settings: dict[str, str | int | float | None],
    rows: Sequence[Row],
    doubts: Sequence[Doubt],
) -> Result:
    """What was measured, with the time and all versions.

    :param looks: at the machine, before and after.
    """
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = (kind, __version__, written, smoke, machine, *looks, versions(), settings)
    return Result(SCHEMA, *told, tuple(rows), tuple(doubts))


def measured(
    name: str,
    what: dict[str, str],
    rounds_ns: Sequence[Sequence[int]],
    crops_a_call: int = 1,
    *,
    accuracy: Accuracy | None = None,
    parts: dict[str, Summary] | None = None,
    power_mw: dict[str, float] | None = None,
    error: str = "",
) -> Row:
    """A row of what calls took; in ms.

    :param rounds_ns: each call of each round.
    """
    rounds = [each for each in rounds_ns if each]
    if not rounds:
        return Row(name, what, "ms", "lower", error=error or "nothing was measured")
    everything = np.concatenate([np.asarray(each, np.int64) for each in rounds])
    medians = tuple(float(np.median(each)) / 1e6 for each in rounds)
    return Row(
        name,
        what,
        "ms",
        "lower",
        medians,
        time_interval(medians),
        summary(everything / 1e6),
        pack(everything),
        tuple(map(len, rounds)),
        float(crops_a_call * len(everything) / (everything.sum() / 1e9)),
        parts or {},
        accuracy=accuracy,
        power_mw=power_mw or {},
        error=error,
    )


def pack(samples_ns: npt.NDArray[np.int64]) -> str:
    """Whole ns as base64 of zlib of little-endian 64-bit numbers, each the difference from the one before."""
    steps = np.diff(samples_ns, prepend=0).astype("<i8")
    return base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()


def unpack(packed: str) -> npt.NDArray[np.int64]:
    """:raises ValueError: not what ``pack`` wrote."""
    try:
        steps = np.frombuffer(zlib.decompress(base64.b64decode(packed, validate=True)), "<i8")
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"samples can't be read: {error}") from None
    return np.cumsum(steps).astype(np.int64)


def to_json(content: Result) -> dict[str, Any]:
    """As it stands in a file."""
    plain: dict[str, Any] = _RESULT.dump_python(content, mode="json")
    return plain


def write(path: Path, content: Result) -> None:
    """:raises OutputFailed: it can't be written."""
    text = json.dumps(to_json(content), ensure_ascii=False, allow_nan=False)
    write_whole(path, f"{text}\n".encode(), "name a file that can be written")


def read(path: Path) -> Result:
    """:raises InputRefused: not there, no result, or of another schema."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputRefused(f"{path}: {reason(error)}; give a file that `edge-wbc bench … --out` wrote") from None
    except (ValueError, RecursionError):
        raise InputRefused(f"{path}: not JSON; give a file that `edge-wbc bench … --out` wrote") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema is None:
        raise InputRefused(f"{path}: no benchmark's result; give a file that `edge-wbc bench … --out` wrote")
    if schema != SCHEMA:
        which = "a newer edge-wbc" if isinstance(schema, int) and schema > SCHEMA else "the edge-wbc that wrote it"
        raise InputRefused(f"{path}: results of schema {schema}, this edge-wbc reads {SCHEMA}; use {which}")
    try:
        found = _RESULT.validate_python(content)
        for row in found.rows:
            if len(unpack(row.packed) if row.packed else ()) != sum(row.calls):
                raise InputRefused(f"{path}: the samples of {row.name} are not whole; measure again")
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputRefused(f"{path}: {place}: {first['msg'].lower()}; measure again") from None
    except ValueError as error:
        raise InputRefused(f"{path}: {error}; measure again") from None
    return found


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a figure."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
