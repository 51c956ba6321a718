"""The whole pipeline, capture to acknowledgement, by scenario: runs in turn, and what they say as rows of a result."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np

from edge_wbc.bench import scenarios
from edge_wbc.bench.cold_start import MOST
from edge_wbc.bench.contenders import judge_of
from edge_wbc.bench.idle import late
from edge_wbc.bench.power import total_mw
from edge_wbc.bench.results import Accuracy, Row, measured
from edge_wbc.bench.scenarios import Run
from edge_wbc.bench.statistics import percentile, summary, time_interval
from edge_wbc.bench.trail import Journey, occupancy, parts_ns
from edge_wbc.classify import LARGEST_BATCH
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.errors import UsageError, first_line
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels, Session

SHARES = {"¼ of capacity": (0.25, 1.5), "½ of capacity": (0.5, 3.0)}
"""Name → share of the capacity at which a camera runs, and how many times its p50 the p99 may be."""
OFFLINE, SINGLE = "offline", "single-stream"
WARM_UP_FRAMES = 48
End = Literal["decided", "acknowledged"]
ENDS: tuple[End, End] = ("decided", "acknowledged")
TAIL = "p99 ÷ p50"
UNDELAYED, PICTURES, MACHINE = "undelayed", "pictures' own", "machine's own"
"""The same without what threads waited for a processor; where each frame takes what its picture took at its quickest;
and of a busy loop with nothing of ours beside it."""


@dataclass(slots=True)
class Taken:
    """What a scenario has so far."""

    name: str
    run: Callable[[], Run]
    most: float | None = None
    """Bar of p99 ÷ p50."""
    rate: float | None = None
    """Frames a second of its camera."""
    runs: list[Run] = field(default_factory=list)
    idle_ns: list[int] = field(default_factory=list)
    error: str = ""

    def turn(self) -> None:
        """Run once more, and where there is a rate the machine alone after it; once a run has failed there is no
        other."""
        if self.error:
            return
        try:
            self.runs.append(self.run())
        except Exception as error:  # an engine of another package may raise anything
            self.error = first_line(error)
            return
        if self.rate is not None:
            decided = self.runs[-1].decided
            self.idle_ns += late(self.rate, min(one.took_ns for one in decided), len(decided))


def measure(
    model: Model,
    engine: str,
    processors: int,
    session_of: Callable[[Engine], Session],
    paths: Sequence[Path],
    pictures: Sequence[Pixels],
    *,
    rates: Sequence[float],
    rounds: int,
    turn_s: float,
    done: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Every scenario of one model; one that fails keeps what it has, with the reason, and the others go on.

    Offline comes first: of its median a camera at a quarter and at half of the capacity is made. Then the others take
    turns, in an order that turns.

    :param processors: of which an engine has all, and one fewer where frames are read from files.
    :param rates: frames a second, in place of the shares of the capacity.
    :param turn_s: of each scenario in each round.
    :param done: called after each round.
    :raises EdgeWbcError: the engine can't be opened.
    """
    with (
        closing(open_engine(engine, model, max(1, processors - 1))) as reading,
        closing(open_engine(engine, model, processors)) as live,
    ):
        sessions = session_of(reading), session_of(live)
        files = Taken(OFFLINE, partial(scenarios.offline, paths, reading, sessions[0], WARM_UP_FRAMES))
        files.turn()  # files, code and caches are warm from here on
        if files.runs:
            frames = max(WARM_UP_FRAMES, round(turn_s * _fps(files.runs[0], "acknowledged")))
            files.run = partial(scenarios.offline, paths, reading, sessions[0], frames)
            files.runs.clear()
        for _ in range(rounds):
            files.turn()
            done()
        others = [Taken(SINGLE, partial(scenarios.single_stream, pictures, live, sessions[1], turn_s))]
        others += _cameras(files, rates, lambda rate: scenarios.fixed_rate(pictures, live, sessions[1], rate, turn_s))
        for turn in range(rounds):
            shift = turn % len(others)
            for each in (*others[shift:], *others[:shift]):
                each.turn()
            done()
        told = {"model": model.graph.stem, "engine": session_of(live).engine}
        accuracy, failed = _accuracy(model, live)
    if failed:
        for each in (files, *others):
            each.error = each.error or failed
    rows = [row for each in (files, *others) for end in ENDS for row in [_row(each, end, told, len(pictures))]]
    return [replace(row, accuracy=accuracy) for row in rows]


def passed(row: Row) -> bool | None:
    """Whether a row keeps its bar; None where it has none, or too few samples to tell."""
    if MOST not in row.told or row.median is None:
        return None
    if row.unit == "ms" and row.parts:
        return row.told[TAIL] <= row.told[MOST] if TAIL in row.told else None
    return row.median.value <= row.told[MOST]


def _cameras(files: Taken, rates: Sequence[float], run: Callable[[float], Run]) -> list[Taken]:
    """One for each rate that was asked for, or for each share of what ``files`` reached."""
    if rates:
        return [Taken(f"{rate:g} frames/s", partial(run, rate), rate=rate) for rate in rates]
    capacity = median(_fps(one, "acknowledged") for one in files.runs) if files.runs else None
    return [_camera(name, share, most, capacity, run) for name, (share, most) in SHARES.items()]


def _camera(name: str, share: float, most: float, capacity: float | None, run: Callable[[float], Run]) -> Taken:
    rate = 0.0 if capacity is None else share * capacity

    def unknown() -> Run:
        raise UsageError("no capacity was measured to take a share of; see the offline row, or give --rate")

    return Taken(name, unknown if capacity is None else partial(run, rate), most, rate)


def _accuracy(model: Model, engine: Engine) -> tuple[Accuracy | None, str]:
    """Of the engine on the golden crops; or why it could not be told."""
    try:
        return judge_of(model)(lambda crops: engine.infer(crops).probabilities, LARGEST_BATCH), ""
    except Exception as error:  # an engine of another package may raise anything
        return None, first_line(error)
    finally:
        gc.collect()


def _row(taken: Taken, end: End, told: dict[str, str], pictures: int) -> Row:
    """What all runs of a scenario say of the way to one end."""
    what = {"scenario": taken.name, "to": end, **told}
    name = f"{told['model']}, {told['engine']}, {taken.name}, {end}"
    journeys = [getattr(run, end) for run in taken.runs]
    every: list[Journey] = [one for each in journeys for one in each]
    if not every:
        return Row(name, what, "ms", "lower", error=taken.error or "no frame showed a cell that counts; give others")
    if taken.name == OFFLINE:
        rates = tuple(_fps(run, end) for run in taken.runs)
        row = Row(name, what, "frames/s", "higher", rates, time_interval(rates), error=taken.error)
    else:
        row = measured(name, what, [[one.took_ns for one in each] for each in journeys], error=taken.error)
    seconds, cells = sum(run.seconds for run in taken.runs), sum(run.cells for run in taken.runs)
    spent = [occupancy(each) for each in journeys if each]
    occupied = {stage: float(np.mean([each[stage] for each in spent])) for stage in spent[0]}
    rails = {rail for run in taken.runs for rail in run.power_mw}
    power = {rail: float(np.mean([run.power_mw.get(rail, 0.0) for run in taken.runs])) for rail in rails}
    figures = {
        "frames/s": sum(len(run.decided) for run in taken.runs) / seconds,
        "given": float(sum(run.given for run in taken.runs)),
        "dropped": float(sum(run.dropped for run in taken.runs)),
        **_tail(row, taken, every, pictures),
        **{f"occupied {stage}": share for stage, share in occupied.items()},
    }
    if (drawn := total_mw(power)) is not None and cells:
        figures["mJ/cell"] = drawn * seconds / cells
    return replace(
        row,
        throughput=cells / seconds,
        parts={part: summary(np.array(each) / 1e6) for part, each in parts_ns(every).items()},
        bound=max(occupied, key=occupied.__getitem__),
        told=figures,
        power_mw=power,
    )


def _tail(row: Row, taken: Taken, every: Sequence[Journey], pictures: int) -> dict[str, float]:
    """How far the slow frames are from the usual, beside what the pictures and the machine make of that."""
    found = {} if taken.rate is None else {"rate": taken.rate}
    if row.summary is None:
        return found
    middle, high = row.summary.percentiles["p50"], row.summary.percentiles["p99"]
    if middle and high is not None:
        found[TAIL] = high / middle
        places = _places(every, pictures)
        quickest: dict[tuple[int, int], int] = {}
        for place, one in zip(places, every, strict=True):
            quickest[place] = min(one.took_ns, quickest.get(place, one.took_ns))
        found[PICTURES] = _ratio([quickest[place] for place in places])
        if any(one.delayed_ns for one in every):
            found[UNDELAYED] = _ratio([one.took_ns - one.delayed_ns for one in every])
    if taken.idle_ns and percentile(np.sort(np.array(taken.idle_ns, float)), 99) is not None:
        found[MACHINE] = _ratio(taken.idle_ns)
    if taken.most is not None:
        found[MOST] = taken.most
    return found


def _places(every: Sequence[Journey], pictures: int) -> list[tuple[int, int]]:
    """Of each journey its picture, and which of its frame's results it is of: those share the line, one by one."""
    places: list[tuple[int, int]] = []
    for one, before in zip(every, [None, *every], strict=False):
        again = before is not None and before.frame == one.frame
        places.append((one.frame % pictures, places[-1][1] + 1 if again else 0))
    return places


def _ratio(samples_ns: Sequence[int]) -> float:
    """p99 ÷ p50, of samples enough to tell it."""
    ordered = np.sort(np.array(samples_ns, float))
    middle, high = percentile(ordered, 50), percentile(ordered, 99)
    assert middle is not None
    assert high is not None
    return high / middle


def _fps(run: Run, end: End) -> float:
    """Frames a second until the last one came to that end."""
    ends = run.acknowledged if end == "acknowledged" and run.acknowledged else run.decided
    return len(run.decided) / ((max(one.ended_ns for one in ends) - run.decided[0].captured_ns) / 1e9)
