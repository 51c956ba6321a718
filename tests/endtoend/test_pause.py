"""A session that begins when it is told to, and pauses: what is shown meanwhile, and that nothing of it counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import CameraError
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Outcome, Pipeline
from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, FrameResult
from edge_wbc.vision.geometry import inside
from edge_wbc.vision.locate import locate

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def engine():
    engine = open_engine("openvino", load_model(), threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def fields():
    return list(open_source("smear://?seed=5&cells=16").frames())[:12]


class Paced:
    """Gives a frame when it was made out what became of the one before: no clock, and none is dropped."""

    def __init__(self, frames, live=True, continuous=False, before=lambda index: None, error=None):
        self.uri, self.live, self.continuous = "paced://", live, continuous
        self._frames, self._before, self._error = frames, before, error
        self.given = 0
        self._told = threading.Semaphore(0)

    def told(self) -> None:
        self._told.release()

    def frames(self) -> Iterator[Frame]:
        for index, frame in enumerate(self._frames):
            self._before(index)
            self.given += 1
            yield replace(frame, time_ns=time.monotonic_ns())
            if self.live:
                assert self._told.acquire(timeout=DEADLINE_S)
        if self._error:
            raise self._error

    def close(self):
        self._told.release()


class Kept:
    uri = "kept:"

    def __init__(self):
        self.session, self.frames = None, []

    def open(self, session):
        self.session = session

    def frame(self, result):
        self.frames.append(result)

    def refused(self, refused): ...

    def last(self, counted): ...

    def finish(self, differential, summary): ...

    def close(self): ...

    def report(self):
        return {}


class Show:
    """A session with somebody who watches."""

    def __init__(self, source, engine, mode="field", then: Callable[[Show, FrameResult], None] | None = None, **more):
        self.seen: list[FrameResult] = []
        self.sink = Kept()
        self._then = then
        self._source = source
        session = new_session(source.uri, mode, engine)
        self.made = session
        self.pipeline = Pipeline(source, engine, [self.sink], session, watch=self._watch, **more)

    def _watch(self, frame, result) -> None:
        self.seen.append(result)
        if self._then is not None:
            self._then(self, result)
        if isinstance(self._source, Paced):
            self._source.told()

    def run(self) -> Outcome:
        return self.pipeline.run()


def test_before_it_begins_a_camera_is_shown_and_nothing_counts(engine, fields):
    def begin(show: Show, result: FrameResult) -> None:
        if result.frame.index == fields[3].index:
            assert show.pipeline.phase == "waiting"
            assert show.sink.session is None, "the sinks are opened for a session"
            begun.append(time.monotonic_ns())
            assert show.pipeline.begin()
            assert not show.pipeline.begin()
            assert opened.wait(DEADLINE_S)

    begun, opened = [], threading.Event()
    show = Show(Paced(fields), engine, then=begin, waiting=True)
    show.sink.open = lambda session: (setattr(show.sink, "session", session), opened.set())
    outcome = show.run()
    previewed = show.seen[:4]
    assert [len(result.again) > 0 for result in previewed] == [True] * 4, "located"
    assert not any(result.cells or result.counted for result in previewed)
    counted = [result.frame.index for result in show.sink.frames]
    assert counted == [field.index for field in fields[4:]][-len(counted) :]
    assert len(counted) >= 7, "one frame more may come while the session opens"
    assert outcome.summary.frames == len(counted)
    assert outcome.session is not None
    assert outcome.session.started_ns >= begun[0] > show.made.started_ns
    assert outcome.session == show.sink.session
    assert outcome.session.session_id != show.made.session_id


def test_a_file_waits_for_the_beginning_and_in_a_pause_and_loses_nothing(engine, fields):
    source = Paced(fields, live=False)
    paused = threading.Event()

    def pause(show: Show, result: FrameResult) -> None:
        if result.frame.index == fields[2].index:
            assert show.pipeline.pause()
            paused.set()

    show = Show(source, engine, then=pause, waiting=True)
    running = threading.Thread(target=show.run)
    running.start()
    assert source.given == 0
    show.pipeline.begin()
    assert paused.wait(DEADLINE_S)
    assert show.pipeline.status().frames <= len(fields)
    show.pipeline.resume()
    running.join(DEADLINE_S)
    assert [result.frame.index for result in show.sink.frames] == [field.index for field in fields]


def test_a_file_is_not_read_on_in_a_pause(engine, fields):
    source = Paced(fields * 10, live=False)
    paused = threading.Event()

    def pause(show: Show, result: FrameResult) -> None:
        if not paused.is_set():
            show.pipeline.pause()
            paused.set()

    show = Show(source, engine, then=pause)
    running = threading.Thread(target=show.run)
    running.start()
    assert paused.wait(DEADLINE_S)
    show.pipeline.end()
    running.join(DEADLINE_S)
    assert source.given < 20, "only what was under way"
    assert show.pipeline.status().ended == ""


@pytest.mark.parametrize("last", ["end", "stop"])
def test_what_comes_in_a_pause_does_not_count_and_it_can_end_there(engine, fields, last):
    def steps(show: Show, result: FrameResult) -> None:
        if result.frame.index == fields[3].index:
            assert show.pipeline.pause()
        if result.frame.index == fields[8].index:
            assert show.pipeline.phase == "paused"
            getattr(show.pipeline, last)()

    show = Show(Paced(fields), engine, then=steps)
    outcome = show.run()
    assert [result.frame.index for result in show.sink.frames] == [field.index for field in fields[:4]]
    assert outcome.summary.frames == 4
    assert outcome.summary.cells == sum(len(result.counted) for result in show.sink.frames)
    assert outcome.summary.ended == {"end": "asked", "stop": "stopped"}[last]


def test_seconds_and_rate_are_without_pauses(engine, fields):
    def steps(show: Show, result: FrameResult) -> None:
        if result.frame.index == fields[3].index:
            show.pipeline.pause()
        if result.frame.index == fields[6].index:
            time.sleep(0.3)
            show.pipeline.resume()

    began = time.monotonic()
    show = Show(Paced(fields), engine, then=steps)
    summary = show.run().summary
    assert 0 < summary.seconds < time.monotonic() - began - 0.3
    assert summary.fps == pytest.approx(summary.frames / summary.seconds, rel=0.02)


@pytest.mark.parametrize("error", [None, CameraError("paced://: gone; plug it in")])
def test_a_camera_that_ends_before_the_beginning_ends_it_without_a_session(engine, fields, error):
    show = Show(Paced(fields[:3], error=error), engine, waiting=True)
    outcome = show.run()
    assert (outcome.session, outcome.error, outcome.summary.frames) == (None, error, 0)
    assert show.sink.session is None
    assert len(show.seen) == 3


def test_told_to_stop_while_it_waits_it_ends_without_a_session(engine, fields):
    show = Show(Paced(fields, live=False), engine, waiting=True)
    running = threading.Thread(target=show.pipeline.stop)
    running.start()
    outcome = show.run()
    assert outcome.session is None
    assert not show.pipeline.begin()


def test_the_number_of_cells_may_be_given_with_the_beginning(engine, fields):
    show = Show(Paced(fields, live=False), engine, waiting=True)
    show.pipeline.aim(3)
    threading.Thread(target=show.pipeline.begin).start()
    summary = show.run().summary
    assert (summary.ended, summary.differential.total >= 3) == ("cells", True)
    assert summary.frames < len(fields)


@pytest.fixture(scope="module")
def wandered():
    """A hand-driven slide."""
    return list(open_source("smear://?seed=7&cells=14&path=wander").frames())


@pytest.fixture(scope="module")
def counted_whole(engine, wandered) -> set[int]:
    """Its cells that are counted where nothing pauses."""
    show = Show(Paced(wandered, continuous=True), engine, "slide")
    show.run()
    return set(counted_cells(show))


def counted_cells(show: Show) -> list[int]:
    """Which of the slide's cells were counted, by their truth."""
    cells = []
    for result in show.sink.frames:
        for one in result.counted:
            box = one.cell.box
            middle = box.xmin + box.width / 2, box.ymin + box.height / 2
            cells += [
                known.cell_id
                for known in one.frame.truth or ()
                if known.box.xmin <= middle[0] < known.box.xmin + known.box.width
                and known.box.ymin <= middle[1] < known.box.ymin + known.box.height
            ]
    return cells


def paused_tour(engine, tour: list[Frame], steps: dict[int, str]) -> Show:
    """Drive a tour of a slide; after the frames at these places in it a step is taken."""

    def then(show: Show, result: FrameResult) -> None:
        if step := steps.get(result.frame.index):
            assert getattr(show.pipeline, step)()

    tour = [replace(frame, index=index) for index, frame in enumerate(tour)]
    show = Show(Paced(tour, continuous=True), engine, "slide", then=then)
    show.run()
    return show


def test_cells_that_were_passed_in_a_pause_count_when_they_are_passed_again(engine, wandered, counted_whole):
    """In the pause the stage goes over what lies ahead three times, and back."""
    middle = len(wandered) // 3
    ahead = wandered[middle : middle + 150]
    away = (ahead + ahead[::-1]) * 3
    tour = wandered[:middle] + away + wandered[middle:]
    show = paused_tour(engine, tour, {middle - 1: "pause", middle + len(away) - 1: "resume"})
    cells = counted_cells(show)
    assert len(cells) == len(set(cells)), "some cell counted twice"
    assert set(cells) == counted_whole
    assert show.pipeline.status().frames == len(wandered)


def test_a_cell_that_was_in_view_all_through_a_pause_counts(engine, wandered):
    whole = [any(inside(cell.box, (640, 480), 60) for cell in locate(frame.pixels)) for frame in wandered]
    first = whole.index(True)
    tour = [wandered[first - 1], *[wandered[first]] * 20]
    counted = counted_cells(paused_tour(engine, tour, {0: "pause", 10: "resume"}))
    assert len(counted) == len(set(counted)) > 0
    assert counted == counted_cells(paused_tour(engine, tour, {}))


def test_a_stage_that_moves_in_a_pause_is_followed_and_cells_count_once(engine, wandered, counted_whole):
    """It goes on elsewhere, and later comes back over all that was counted before."""
    third = len(wandered) // 3
    tour = [*wandered, *wandered[: 2 * third : 2]]
    show = paused_tour(engine, tour, {third: "pause", 2 * third: "resume"})
    cells = counted_cells(show)
    assert len(cells) == len(set(cells)), "some cell counted twice"
    slide = show.pipeline.slide()
    assert slide is not None
    assert (len(slide.cells), slide.elsewhere) == (len(cells), 0)
    passed = {known.cell_id for frame in wandered[third : 2 * third + 1] for known in frame.truth or ()}
    assert counted_whole - set(cells) <= passed


def test_in_a_pause_the_cells_that_were_counted_keep_their_names(engine, wandered):
    named: list[str] = []
    pause_at = 120

    def steps(show: Show, result: FrameResult) -> None:
        if result.frame.index == pause_at:
            show.pipeline.pause()
        if result.frame.index > pause_at:
            assert not result.cells
            named.extend(seen.label for seen in result.again)

    tour = wandered[: pause_at + 1] + wandered[pause_at::-1]
    tour = [replace(frame, index=index) for index, frame in enumerate(tour)]
    show = Show(Paced(tour, continuous=True), engine, "slide", then=steps)
    show.run()
    assert np.mean([bool(label) for label in named]) > 0.5
