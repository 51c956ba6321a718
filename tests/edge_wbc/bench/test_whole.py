"""The whole pipeline by scenario: its runs, its rows, and the command."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import scenarios, whole
from edge_wbc.bench.compare import compare
from edge_wbc.bench.idle import late
from edge_wbc.bench.results import Row, read, unpack
from edge_wbc.bench.scenarios import Run, TurnSource, kept
from edge_wbc.bench.statistics import summary, time_interval
from edge_wbc.bench.trail import ACKNOWLEDGEMENT, Journey, Mark
from edge_wbc.bench.whole import TAIL, Taken, measure, passed
from edge_wbc.cli.bench import bench
from edge_wbc.cli.session import new_session
from edge_wbc.engines.openvino import OpenvinoEngine
from edge_wbc.errors import SourceError
from edge_wbc.manifest import load_model
from edge_wbc.sources.base import open_source

TOLD = {"model": "m", "engine": "e"}
MS = 1_000_000
STAGES = {"read": 1, "wait looking": 0, "locate": 2, "wait engine": 0, "classify": 3, "count": 1}


def journeys(count=400, period=20, end="acknowledged", **stages):
    """Frames of a camera with so many ms between them, and the ms that each stage takes."""
    found = []
    for index in range(count):
        at = began = index * period * MS
        marks = []
        for name, ms in {**STAGES, "hand over": 0, "sink": 1, **stages}.items():
            at += round(ms * MS)
            marks.append(Mark(name, at, delayed_ns=MS // 2))
        last = next(mark.at_ns for mark in marks if mark.name == "count") if end == "decided" else at + 2 * MS
        found.append(Journey(index, began, marks, last))
    return found


def run_of(**others):
    ends = {end: journeys(end=end, **others) for end in whole.ENDS}
    return Run(**ends, given=410, dropped=10, cells=400, seconds=8.0, power_mw={"VDD_IN": 5000.0})


@pytest.fixture(scope="module")
def model():
    return load_model("leukonet-int8")


@pytest.fixture(scope="module")
def pictures():
    return [frame.pixels for frame in open_source("smear://?seed=1&cells=6").frames()][:6]


@pytest.fixture
def engine(model):
    opened = OpenvinoEngine(model, 1)
    yield opened
    opened.close()


class Slow:
    """An engine that takes so long for each batch, or fails after some."""

    def __init__(self, engine, seconds=0.0, calls=None):
        self.model, self.name, self.precision = engine.model, engine.name, engine.precision
        self._engine, self._seconds, self._left = engine, seconds, calls

    def infer(self, crops):
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise RuntimeError("the engine broke")
        time.sleep(self._seconds)
        return self._engine.infer(crops)


def session(engine):
    return new_session("memory:", "field", engine)


def test_the_next_frame_of_a_single_stream_waits_for_its_turn():
    source = TurnSource([np.zeros((2, 2, 3), np.uint8)] * 2, 60.0)
    frames = source.frames()
    assert next(frames).index == 0
    came = []
    waiting = threading.Thread(target=lambda: came.append(next(frames).index))
    waiting.start()
    assert came == []
    source.next()
    waiting.join(5.0)
    assert came == [1]
    source.close()
    assert list(frames) == []
    assert source.given == 2


def test_a_turn_that_never_comes_is_an_error():
    frames = TurnSource([np.zeros((2, 2, 3), np.uint8)], 60.0, stall_s=0.01).frames()
    next(frames)
    with pytest.raises(SourceError, match=r"nothing was acknowledged for 0\.01 s"):
        next(frames)


def test_early_frames_and_early_drops_are_not_kept():
    captured = {index: index * 100 * MS for index in (0, 1, 4, 5, 7, 8)}
    delivery = SimpleNamespace(
        decided={index: (at, at + 3 * MS) for index, at in captured.items()},
        acknowledged=[(index, at + 9 * MS) for index, at in captured.items()],
    )
    trail = SimpleNamespace(marks={index: [Mark("count", at + 3 * MS)] for index, at in captured.items()})
    found = kept(trail, delivery, 0.45, given=9, dropped=3, power_mw={})
    assert [one.frame for one in found.decided] == [5, 7, 8]
    assert [one.frame for one in found.acknowledged] == [5, 7, 8]
    assert (found.given, found.dropped, found.cells) == (4, 1, 3), "6 was dropped"
    assert found.seconds == pytest.approx(0.309)
    everything = kept(trail, delivery, 0.0, given=9, dropped=3, power_mw={})
    assert (everything.given, everything.dropped, len(everything.decided)) == (9, 3, 6)


def test_a_machine_alone_is_late_by_its_work():
    found = late(200.0, 500_000, 15)
    assert 10 < len(found) <= 15
    assert min(found) > 200_000


@pytest.mark.parametrize(
    ("slow", "bound"), [({"classify": 15}, "engine"), ({"locate": 15}, "locate"), ({"sink": 15}, "sink")]
)
def test_a_stage_made_slow_is_in_its_part_and_named_as_the_bound(slow, bound):
    taken = Taken("¼ of capacity", run_of, 1.5, 50.0, runs=[run_of(**slow)])
    row = whole._row(taken, "acknowledged", TOLD, 7)
    (name,) = slow
    assert row.parts[name].percentiles["p50"] == pytest.approx(15)
    assert row.bound == bound
    assert sum(part.mean for part in row.parts.values()) == pytest.approx(row.summary.mean)
    assert row.told["mJ/cell"] == pytest.approx(5000 * 8 / 400)
    assert (row.told["given"], row.told["dropped"], row.told["rate"]) == (410, 10, 50)
    assert row.throughput == pytest.approx(50)


def test_to_the_decision_nothing_later_counts():
    row = whole._row(Taken("single-stream", run_of, runs=[run_of(sink=30)]), "decided", TOLD, 7)
    assert row.summary.percentiles["p50"] == pytest.approx(7)
    assert list(row.parts) == ["read", "locate", "classify", "count"]


def test_bars_are_held_against_the_tail():
    def with_tail(slow):
        """Of 100 frames, 2 take so many ms more."""
        every = [
            replace(
                run_of(),
                decided=[
                    one._replace(ended_ns=one.ended_ns + slow * MS * (i % 50 == 0))
                    for i, one in enumerate(journeys(end="decided"))
                ],
            )
        ]
        return whole._row(Taken("¼ of capacity", run_of, 1.5, 50.0, runs=every), "decided", TOLD, 400)

    assert with_tail(3).told[TAIL] == pytest.approx(10 / 7)
    assert with_tail(3).told["undelayed"] == pytest.approx((10 - 2.5) / (7 - 2)), "0.5 ms a stage, the sink's too"
    assert passed(with_tail(3)) is True
    assert passed(with_tail(4)) is False
    assert with_tail(4).told["pictures' own"] == pytest.approx(11 / 7), (
        "each picture was seen once: it may be their own"
    )
    few = Taken("¼ of capacity", run_of, 1.5, 50.0, runs=[replace(run_of(), decided=journeys(50, end="decided"))])
    assert passed(whole._row(few, "decided", TOLD, 7)) is None


def test_a_picture_is_held_against_itself_and_its_second_result_against_its_second():
    every = [Journey(frame, 0, [], 1) for frame in (0, 1, 1, 2, 3, 3, 3)]
    assert whole._places(every, 2) == [(0, 0), (1, 0), (1, 1), (0, 0), (1, 0), (1, 1), (1, 2)]


def test_offline_is_told_in_frames_a_second_to_each_end():
    taken = Taken("offline", run_of, runs=[run_of(), run_of()])
    row = whole._row(taken, "decided", TOLD, 7)
    assert (row.unit, row.better, row.summary) == ("frames/s", "higher", None)
    assert row.median.value == pytest.approx(400 / (399 * 0.02 + 0.007))
    assert whole._fps(run_of(), "acknowledged") == pytest.approx(400 / (399 * 0.02 + 0.010))


def test_a_scenario_that_fails_keeps_its_runs_and_is_not_tried_again():
    left = iter([run_of(), None, run_of()])
    taken = Taken("single-stream", lambda: next(left) or 1 / 0)
    for _ in range(3):
        taken.turn()
    assert (len(taken.runs), taken.error) == (1, "division by zero")


def parted(parts, ms):
    rounds = tuple(ms * (1 + 0.001 * i) for i in range(8))
    found = {name: summary([value] * 9) for name, value in parts.items()}
    return Row("row", {}, "ms", "lower", rounds, time_interval(rounds), parts=found)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"locate": 2.0, "wait engine": 9.0, "classify": 5.0}, "classify 3.00 → 5.00 ms"),
        ({"locate": 2.01, "wait engine": 9.0, "classify": 3.0}, "wait engine 1.00 → 9.00 ms"),
        ({"locate": 2.0, "wait engine": 1.0, "classify": 3.0, "track": 4.0}, "track 0.00 → 4.00 ms"),
        ({"locate": 2.0, "wait engine": 1.0, "classify": 3.0}, ""),
    ],
)
def test_a_comparison_names_the_stage_that_became_slower(after, said):
    before = SimpleNamespace(rows=(parted({"locate": 2.0, "wait engine": 1.0, "classify": 3.0}, 6.0),))
    (line,) = compare(before, SimpleNamespace(rows=(parted(after, 12.0),)))
    assert (line.verdict, line.slower) == ("worse", said)
    (line,) = compare(before, before)
    assert (line.verdict, line.slower) == ("same", "")


def test_a_slow_engine_is_seen_in_a_real_run(engine, pictures, monkeypatch):
    monkeypatch.setattr(scenarios, "EARLY_S", 0.0)
    slow = Slow(engine, 0.03)
    found = scenarios.fixed_rate(pictures, slow, session(slow), 100.0, 0.5)
    assert found.given == 50
    assert found.dropped > 5
    assert len(found.decided) + found.dropped == found.given
    row = whole._row(Taken("fixed", lambda: found, runs=[found]), "acknowledged", TOLD, len(pictures))
    assert row.parts["classify"].percentiles["p50"] > 29
    assert row.bound == "engine"
    assert row.parts[ACKNOWLEDGEMENT].percentiles["p50"] > 58 * 10 / 115.2
    assert {"read", "wait looking", "reduce", "quality", "locate", "crop", "sink"} <= row.parts.keys()


def test_a_frame_that_is_neither_decided_nor_dropped_is_an_error(engine, pictures, monkeypatch):
    class Loses(scenarios.PacedSource):
        def frames(self):
            for frame in super().frames():
                if frame.index != 2:
                    yield frame

    monkeypatch.setattr(scenarios, "EARLY_S", 0.0)
    monkeypatch.setattr(scenarios, "PacedSource", Loses)
    with pytest.raises(SourceError, match="1 of 8 frames were neither decided nor dropped"):
        scenarios.fixed_rate(pictures, engine, session(engine), 40.0, 0.2)


def test_one_frame_is_in_flight_in_a_single_stream(engine, pictures, monkeypatch):
    monkeypatch.setattr(scenarios, "EARLY_S", 0.0)
    found = scenarios.single_stream(pictures, engine, session(engine), 0.3)
    ends = {one.frame: one.ended_ns for one in (*found.decided, *found.acknowledged)}
    later = sorted(found.decided, key=lambda one: one.frame)[1:]
    assert len(later) > 3
    assert all(one.captured_ns >= ends[one.frame - 1] for one in later)
    assert found.dropped == 0


def test_an_engine_that_fails_ends_its_row_and_the_others_go_on(model, pictures, tmp_path, monkeypatch):
    import cv2

    monkeypatch.setattr(scenarios, "EARLY_S", 0.0)
    honest = scenarios.single_stream
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        cv2.imwrite(str(path), picture)

    def breaking(pictures, engine, session, seconds):
        return honest(pictures, Slow(engine, calls=1), session, 5 * seconds)

    monkeypatch.setattr(scenarios, "single_stream", breaking)
    rows = measure(model, "openvino", 2, session, paths, pictures, rates=[40.0], rounds=1, turn_s=0.1)
    errors = {row.what["scenario"]: row.error for row in rows}
    assert errors == {"offline": "", "single-stream": "the engine broke", "40 frames/s": ""}
    assert len(rows) == 6
    assert all(row.accuracy.agreeing == 64 for row in rows)
    assert all(row.median for row in rows if not row.error)


def test_without_a_capacity_there_is_no_share_of_it():
    cameras = whole._cameras(Taken("offline", run_of), [], lambda rate: run_of())
    for camera in cameras:
        camera.turn()
    assert {camera.error for camera in cameras} == {
        "no capacity was measured to take a share of; see the offline row, or give --rate"
    }
    files = Taken("offline", run_of, runs=[run_of()])
    rates = [camera.rate for camera in whole._cameras(files, [], lambda rate: run_of())]
    assert rates == pytest.approx([share * 400 / (399 * 0.02 + 0.010) for share in (0.25, 0.5)])


def test_the_command_measures_writes_and_defines(tmp_path):
    done = CliRunner().invoke(
        bench, ["pipeline", "--smoke", "--engine", "openvino", "--out", str(tmp_path / "a.json")], standalone_mode=False
    )
    assert done.return_value == 0, done.output
    for words in ("acknowledged: from", "single-stream: one", "busiest:", "p99 ÷ p50:", "agree:", "cold start:"):
        assert words in done.stderr
    found = read(tmp_path / "a.json")
    assert (found.kind, found.smoke, found.settings["baud"]) == ("pipeline", True, 115200)
    scenarios_told = [(row.what["scenario"], row.what["to"]) for row in found.rows]
    ends = [
        (name, end) for name in ("offline", "single-stream", "¼ of capacity", "½ of capacity") for end in whole.ENDS
    ]
    assert scenarios_told == [*ends, ("cold start", "first result"), ("peak memory", "end"), ("--help", "end")]
    for row in found.rows[:-1]:
        assert row.error == ""
        assert row.accuracy.agreeing == 64
    assert all(row.bound for row in found.rows[:8])
    assert sum(found.rows[2].calls) == len(unpack(found.rows[2].packed)) > 0
    assert {doubt.kind for doubt in found.doubts} >= {"samples"}
