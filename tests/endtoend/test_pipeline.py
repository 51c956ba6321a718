"""The pipeline with real engines and sinks; sources and sinks of its own where the order of events matters."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import CameraError, OutputFailed
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Outcome, Pipeline
from edge_wbc.sinks.base import open_sink
from edge_wbc.sources.base import open_source
from edge_wbc.types import LEUKOCYTES, Frame, FrameResult, Refused
from edge_wbc.vision.geometry import inside
from edge_wbc.vision.locate import locate

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def engine():
    engine = open_engine("openvino", load_model(), threads=1)
    yield engine
    engine.close()


class ListedSource:
    """Gives what it was told to, then ends or fails."""

    def __init__(self, items, live=False, error=None, before=lambda index: None, continuous=False):
        self.uri = "listed://"
        self.live = live
        self.continuous = continuous
        self.closed = False
        self._items, self._error, self._before = items, error, before

    def frames(self) -> Iterator[Frame | Refused]:
        for index, item in enumerate(self._items):
            self._before(index)
            yield item
        if self._error:
            raise self._error

    def close(self):
        self.closed = True


class ListSink:
    """Keeps everything; may fail at the n-th frame."""

    def __init__(self, uri="list:", fail_at=None, hold=None):
        self.uri = uri
        self.frames: list[FrameResult] = []
        self.refusals: list[Refused] = []
        self.end = None
        self.closed = False
        self._fail_at, self._hold = fail_at, hold

    def open(self, session):
        self.session = session

    def frame(self, result):
        if self._hold is not None:
            assert self._hold.wait(DEADLINE_S)
        if len(self.frames) == self._fail_at:
            raise OutputFailed(f"{self.uri}: told to fail; take another")
        self.frames.append(result)

    def refused(self, refused):
        self.refusals.append(refused)

    def last(self, counted):
        self.rest = counted

    def finish(self, differential, summary):
        self.end = (differential, summary)

    def close(self):
        self.closed = True

    def report(self):
        return {"frames": len(self.frames)}


@pytest.fixture(scope="module")
def fields():
    """Twelve simulated fields with what is in them."""
    return list(open_source("smear://?seed=5&cells=16").frames())[:12]


def run(source, engine, sinks, mode="field", **more) -> Outcome:
    return Pipeline(source, engine, sinks, new_session(source.uri, mode, engine), **more).run()


def test_every_frame_of_a_file_source_comes_out_once_and_in_order(engine, fields):
    sink = ListSink()
    outcome = run(ListedSource(fields), engine, [sink])
    assert [result.frame.index for result in sink.frames] == [field.index for field in fields]
    assert outcome.summary.frames == len(fields)
    assert outcome.summary.dropped == 0
    assert outcome.error is None


def test_cells_are_numbered_through_the_session_and_counted_once(engine, fields):
    sink = ListSink()
    outcome = run(ListedSource(fields), engine, [sink])
    numbers = [one.number for result in sink.frames for one in result.counted]
    assert numbers == list(range(1, outcome.summary.cells + 1))
    differential = outcome.summary.differential
    labelled = sum(share.count for share in differential.shares.values())
    assert labelled + differential.unidentified == outcome.summary.cells > 0


def test_cell_mode_gives_one_cell_a_frame_even_where_none_is_found(engine):
    blank = np.full((240, 320, 3), 220, np.uint8)
    frames = [Frame(blank, i, time.monotonic_ns(), "blank") for i in range(3)]
    in_cell_mode, in_field_mode = ListSink(), ListSink()
    run(ListedSource(frames), engine, [in_cell_mode], mode="cell")
    run(ListedSource(frames), engine, [in_field_mode], mode="field")
    assert [len(result.cells) for result in in_cell_mode.frames] == [1, 1, 1]
    assert [len(result.cells) for result in in_field_mode.frames] == [0, 0, 0]


def test_refused_frames_are_counted_told_and_passed_on_while_the_others_go_through(engine, fields):
    bad = Refused(99, "bad.jpg", "bad.jpg: not an image; give JPEG")
    sink, told = ListSink(), []
    outcome = run(ListedSource([fields[0], bad, fields[1]]), engine, [sink], notice=told.append)
    assert (outcome.summary.frames, outcome.summary.refused) == (2, 1)
    assert sink.refusals == [bad]
    assert told == [bad.reason]


def test_a_live_source_never_waits_and_what_it_skips_is_counted(engine, fields):
    """The sink is held until the source has given everything: only the newest frames may still be in the pipeline."""
    all_given = threading.Event()
    many = [Frame(fields[0].pixels, index, time.monotonic_ns(), "live") for index in range(3000)]
    source = ListedSource(many, live=True, before=lambda index: all_given.set() if index == len(many) - 1 else None)
    sink = ListSink(hold=all_given)
    outcome = run(source, engine, [sink])
    assert outcome.summary.dropped > 0
    assert outcome.summary.frames + outcome.summary.dropped == len(many)
    assert sink.frames[-1].frame.index == len(many) - 1
    indices = [result.frame.index for result in sink.frames]
    assert indices == sorted(set(indices))


def test_limit_takes_so_many_frames(engine, fields):
    sink = ListSink()
    outcome = run(ListedSource(fields), engine, [sink], limit=5)
    assert outcome.summary.frames == len(sink.frames) == 5


def test_a_source_that_fails_ends_the_session_in_order_with_everything_seen(engine, fields):
    error = CameraError("camera://0: gone; plug it in")
    source, sink, told = ListedSource(fields, error=error), ListSink(), []
    outcome = run(source, engine, [sink], notice=told.append)
    assert outcome.error is error
    assert outcome.summary.frames == len(sink.frames) == len(fields)
    assert sink.end is not None
    assert sink.closed
    assert source.closed
    assert told == [str(error)]


def test_a_sink_that_fails_gets_nothing_more_and_the_others_get_everything(engine, fields):
    broken, whole = ListSink("broken:", fail_at=3), ListSink("whole:")
    outcome = run(ListedSource(fields), engine, [broken, whole])
    assert len(broken.frames) == 3
    assert broken.end is None
    assert broken.closed
    assert len(whole.frames) == len(fields)
    assert whole.end is not None
    assert [type(error) for error in outcome.failed_sinks] == [OutputFailed]
    assert "error" in outcome.summary.sinks["broken:"]
    assert "error" not in outcome.summary.sinks["whole:"]


def test_a_sink_that_does_not_open_stops_the_session_before_it_starts(engine, fields):
    class Shut(ListSink):
        def open(self, session):
            raise OutputFailed("shut: no; open it")

    first, source = ListSink(), ListedSource(fields)
    with pytest.raises(OutputFailed):
        run(source, engine, [first, Shut()])
    assert first.frames == []
    assert first.closed
    assert source.closed


def test_a_bug_in_a_stage_is_raised_not_swallowed(engine, fields):
    class Bug(Exception):
        pass

    with pytest.raises(Bug):
        run(ListedSource(fields, error=Bug("a bug")), engine, [])


def test_a_bug_in_a_sink_is_raised_not_swallowed(engine, fields):
    class Bug(Exception):
        pass

    class Buggy(ListSink):
        def frame(self, result):
            raise Bug("a bug")

    with pytest.raises(Bug):
        run(ListedSource(fields), engine, [Buggy()])


def test_stop_ends_an_endless_source_with_what_was_seen_delivered(engine, fields):
    seen = threading.Event()

    def forever():
        index = 0
        while True:
            yield Frame(fields[0].pixels, index, time.monotonic_ns(), "endless")
            index += 1

    source, sink = ListedSource(forever()), ListSink()
    pipeline = Pipeline(
        source,
        engine,
        [sink],
        new_session(source.uri, "field", engine),
        watch=lambda frame, result: seen.set() if frame.index == 10 else None,
    )
    stopper = threading.Thread(target=lambda: seen.wait(DEADLINE_S) and pipeline.stop())
    stopper.start()
    outcome = pipeline.run()
    stopper.join(DEADLINE_S)
    assert outcome.summary.frames >= 11
    assert len(sink.frames) == outcome.summary.frames
    assert sink.end is not None


def test_the_summary_names_every_stage_with_its_times(engine, fields):
    outcome = run(ListedSource(fields), engine, [ListSink()])
    stages = outcome.summary.stages
    assert {"read", "locate", "crop", "classify", "sink list"} <= stages.keys()
    for times in stages.values():
        assert 0 <= times["p50"] <= times["p99"]
    assert set(outcome.summary.age_ms) == {"p50", "p90", "p99"}
    assert outcome.summary.fps > 0


def test_both_engines_run_the_pipeline_to_the_same_labels(engine, fields):
    reference = open_engine("onnxruntime", load_model(), threads=1)
    ours, theirs = ListSink(), ListSink()
    run(ListedSource(fields), engine, [ours])
    run(ListedSource(fields), reference, [theirs])
    reference.close()
    assert [[p.label for p in r.predictions] for r in ours.frames] == [
        [p.label for p in r.predictions] for r in theirs.frames
    ]


def test_a_frame_that_can_not_be_judged_is_counted_with_its_reason(engine, fields):
    black = [Frame(np.zeros_like(fields[0].pixels), 100 + i, time.monotonic_ns(), "black") for i in range(2)]
    sink, notices = ListSink(), []
    outcome = run(ListedSource([*fields[:3], *black]), engine, [sink], notice=notices.append)
    assert outcome.summary.frames == 5
    assert outcome.summary.rejected == {"dark": 2}
    assert [result.rejected for result in sink.frames] == [None, None, None, "dark", "dark"]
    assert [len(result.cells) for result in sink.frames[3:]] == [0, 0]
    assert [line for line in notices if "black" in line] == [
        "frame 100 is not judged: black; check the lamp, the cap and the exposure"
    ]


def test_a_reason_that_comes_back_after_a_minute_is_told_again(engine, fields):
    times = [0, 1, 50, 109, 170]
    black = [Frame(np.zeros_like(fields[0].pixels), i, t * 10**9, "black") for i, t in enumerate(times)]
    notices = []
    run(ListedSource(black), engine, [ListSink()], notice=notices.append)
    assert [line.partition(" is")[0] for line in notices] == ["frame 0", "frame 4"]


def test_the_summary_says_how_often_the_source_was_lost(engine, fields):
    source = ListedSource(fields[:2])
    source.restarts, source.lost_s = 3, 4.56789
    summary = run(source, engine, [ListSink()]).summary
    assert (summary.restarts, summary.lost_s) == (3, 4.568)


@pytest.mark.parametrize("live", [False, True])
def test_until_so_many_leukocytes_the_frame_that_reaches_them_counts_whole_and_no_later_one(engine, fields, live):
    whole = ListSink()
    run(ListedSource(fields), engine, [whole])
    leukocytes = [sum(one.prediction.label in LEUKOCYTES for one in result.counted) for result in whole.frames]
    until = sum(leukocytes[:4]) + 1
    reached = next(i for i in range(len(fields)) if sum(leukocytes[: i + 1]) >= until)
    assert 4 <= reached < len(fields) - 4, "frames were to be left"
    sink, decided = ListSink(), threading.Semaphore(0)
    waits = (lambda index: index and decided.acquire(timeout=DEADLINE_S)) if live else (lambda index: None)
    source = ListedSource(fields, live=live, before=waits)
    outcome = run(source, engine, [sink], until=until, watch=lambda frame, result: decided.release())
    assert [result.frame.index for result in sink.frames] == [field.index for field in fields[: reached + 1]]
    assert outcome.summary.differential.total == sum(leukocytes[: reached + 1]) >= until
    assert (outcome.summary.ended, outcome.summary.frames) == ("cells", reached + 1)
    assert sink.end[1].ended == "cells"


@pytest.mark.parametrize(
    ("more", "error", "ended"),
    [
        ({}, None, "source"),
        ({"limit": 3}, None, "limit"),
        ({"until": 10_000}, None, "source"),
        ({}, CameraError("camera://0: gone; plug it in"), "camera://0: gone; plug it in"),
    ],
)
def test_what_ended_a_session_is_said(engine, fields, more, error, ended):
    sink = ListSink()
    outcome = run(ListedSource(fields, error=error), engine, [sink], **more)
    assert outcome.summary.ended == sink.end[1].ended == ended


def test_a_video_has_every_frame_of_a_file_source(engine, fields, tmp_path):
    video = open_sink(f"video:{tmp_path / 'out.mp4'}")
    outcome = run(ListedSource(fields), engine, [video])
    assert outcome.failed_sinks == ()
    assert outcome.summary.sinks[video.uri]["frames"] == len(fields)
    assert outcome.summary.sinks[video.uri]["left_out"] == 0


def test_a_slow_sink_of_pictures_leaves_some_out_and_drops_no_frame_of_a_camera(engine, fields):
    class Slow(ListSink):
        pictures = True

    hold, decided = threading.Event(), threading.Semaphore(0)
    sink, quick = Slow(hold=hold), ListSink("quick:")

    def one_by_one(index):
        if index and not decided.acquire(timeout=DEADLINE_S):
            raise AssertionError("the pipeline waits for the slow sink")

    source = ListedSource(fields, live=True, before=one_by_one)
    releasing = threading.Thread(target=lambda: (quick_done.wait(DEADLINE_S), hold.set()))
    quick_done = threading.Event()
    releasing.start()

    def seen(frame, result):
        decided.release()
        if frame.index == fields[-1].index:
            quick_done.set()

    outcome = run(source, engine, [sink, quick], watch=seen)
    releasing.join()
    assert len(quick.frames) == len(fields)
    assert outcome.summary.dropped == 0
    left_out = outcome.summary.sinks[sink.uri]["left_out"]
    assert left_out == len(fields) - len(sink.frames) > 0
    assert all(result.pixels is not None for result in sink.frames)
    assert all(result.pixels is None for result in quick.frames)


def test_cells_still_in_view_at_the_end_of_a_slide_count(engine):
    shown = list(open_source("smear://?seed=1004&cells=6&path=raster").frames())
    whole = [any(inside(cell.box, (640, 480), 60) for cell in locate(frame.pixels)) for frame in shown]
    first = whole.index(True)
    sink = ListSink()
    outcome = run(ListedSource(shown[first : first + 2], continuous=True), engine, [sink], mode="slide")
    assert [result.counted for result in sink.frames] == [(), ()], "seen too seldom to be certain"
    assert outcome.summary.cells == len(sink.rest) > 0
    assert sink.rest[0].number == 1


def test_a_frame_of_a_camera_that_can_not_be_judged_is_told_and_not_searched(engine):
    shown = list(open_source("smear://?seed=1004&cells=6&path=raster").frames())[20:24]
    shown[1] = Frame(np.zeros_like(shown[0].pixels), shown[1].index, shown[1].time_ns, "black")
    sink = ListSink()
    outcome = run(ListedSource(shown, continuous=True), engine, [sink], mode="slide")
    assert [result.rejected for result in sink.frames] == [None, "dark", None, None]
    assert outcome.summary.rejected == {"dark": 1}
    assert (outcome.summary.stages["quality"]["n"], outcome.summary.stages["locate"]["n"]) == (4, 3)


def test_the_frames_of_a_slide_are_read_and_judged_while_one_is_located_and_none_is_lost(engine, fields, monkeypatch):
    ahead = threading.Event()

    def held_back(pixels, small):
        assert ahead.wait(DEADLINE_S), "reading waits for locating"
        return locate(pixels, small)

    monkeypatch.setattr("edge_wbc.looking.locate", held_back)
    source = ListedSource(fields, continuous=True, before=lambda index: index == 3 and ahead.set())
    sink = ListSink()
    outcome = run(source, engine, [sink], mode="slide")
    assert [result.frame.index for result in sink.frames] == [field.index for field in fields]
    assert (outcome.summary.dropped, outcome.summary.stages["quality"]["n"]) == (0, len(fields))


def test_limit_takes_so_many_frames_of_a_slide_though_more_are_read(engine, fields):
    sink = ListSink()
    outcome = run(ListedSource(fields, continuous=True), engine, [sink], mode="slide", limit=5)
    assert outcome.summary.frames == len(sink.frames) == 5
    assert outcome.summary.ended == "limit"
