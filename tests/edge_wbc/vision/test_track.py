"""Each cell once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_wbc.types import Box, Cell, Frame
from edge_wbc.vision.track import Placed, Tracker

FrameAt = Callable[..., Frame]
SIDE = 90


class Stage:
    """A tracker under which a stage is moved; cells are where the test puts them on the slide."""

    def __init__(self, frame_at: FrameAt, *cells: tuple[int, int], most_bytes: int = 1 << 26) -> None:
        self.tracker = Tracker(most_bytes)
        self.cells = list(cells)
        self.counts: list[int] = []
        self.asked: dict[int, int] = {}
        self._frame_at = frame_at

    def show(self, x: int, y: int, *, only: tuple[int, ...] | None = None, answer: bool = True) -> Placed:
        """One frame at (x, y); the locator finds all cells in it, or ``only`` these."""
        found = []
        for i, (cell_x, cell_y) in enumerate(self.cells):
            left, top = max(0, cell_x - x), max(0, cell_y - y)
            right, bottom = min(640, cell_x + SIDE - x), min(480, cell_y + SIDE - y)
            if right - left > 15 and bottom - top > 15 and (only is None or i in only):
                found.append(Cell(Box(left, top, right - left, bottom - top), 0.5))
        return self.show_boxes(x, y, found, answer=answer)

    def show_boxes(self, x: int, y: int, found: list[Cell], *, answer: bool = True) -> Placed:
        seen = self.tracker.see(self._frame_at(x, y), found)
        for sighting in seen.cells:
            if sighting.wanted and answer:
                self.asked[sighting.track] = self.asked.get(sighting.track, 0) + 1
                self.tracker.answered(sighting.track)
        self.counts += self.tracker.settle()
        return seen

    def end(self) -> list[int]:
        self.counts += self.tracker.finish()
        return self.counts


def pan(x0: int, x1: int, step: int = 40) -> Iterator[int]:
    yield from range(x0, x1, step if x1 > x0 else -step)


def test_a_cell_that_is_passed_over_and_back_is_counted_once(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (700, 300))
    for x in (*pan(0, 1000), *pan(1000, 0), *pan(0, 1000)):
        stage.show(x, 100)
    assert stage.end() == [1]
    assert stage.asked[1] <= 5


def test_it_is_counted_while_still_in_view(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300))
    for _ in range(6):
        stage.show(100, 100)
    assert stage.counts == [1]


def test_two_cells_are_two(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (700, 300), (830, 320))
    for x in (*pan(0, 1000), *pan(1000, 0)):
        stage.show(x, 100)
    assert sorted(stage.end()) == [1, 2]


def test_a_cut_cell_is_held_back_until_it_comes_in_whole(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (690, 300))
    for _ in range(8):
        (cut,) = stage.show(100, 100).cells
        assert not cut.whole
        assert not cut.wanted
    for x in (150, 200, 250, 300, 300, 300):
        (last,) = stage.show(x, 100).cells
    assert last.whole
    assert last.track == cut.track
    assert stage.end() == [cut.track]


def test_a_cell_never_seen_whole_is_not_counted(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (690, 300))
    for _ in range(8):
        stage.show(100, 100)
    assert stage.end() == []


def test_a_flicker_of_the_locator_is_no_cell(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300))
    for i in range(12):
        stage.show(100, 100, only=(0,) if i == 4 else ())
    assert stage.end() == []


def test_a_cell_seen_once_by_a_quick_stage_is_one(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (500, 300))
    for x in (0, 300, 600, 900, 1200):
        stage.show(x, 100, only=(0,) if x == 300 else ())
    assert stage.end() == [1]


def test_a_flicker_is_forgotten_and_the_place_may_have_a_cell_later(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300))
    for i in range(12):
        stage.show(100, 100, only=(0,) if i == 4 else ())
    for _ in range(70):
        stage.show(1000, 100)
    assert stage.tracker.open_tracks == 0
    for _ in range(6):
        stage.show(100, 100)
    assert stage.end() == [2]


def test_it_waits_for_the_answers(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300))
    for _ in range(6):
        (sighting,) = stage.show(100, 100, answer=False).cells
    assert stage.counts == []
    for _ in range(3):
        stage.tracker.answered(sighting.track)
    stage.show(100, 100, answer=False)
    assert stage.counts == [1]


def test_what_was_never_classified_is_not_counted(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300))
    for x in pan(0, 1000):
        stage.show(x, 100, answer=False)
    assert stage.end() == []


def test_lobes_found_as_two_and_then_as_one_are_one_cell(frame_at: FrameAt) -> None:
    stage = Stage(frame_at)
    halves = [Cell(Box(300, 200, 45, 90), 0.5), Cell(Box(350, 200, 45, 90), 0.5)]
    for _ in range(2):
        stage.show_boxes(0, 0, halves)
    for _ in range(8):
        stage.show_boxes(0, 0, [Cell(Box(300, 200, 95, 90), 0.5)])
    stage.show_boxes(0, 0, halves)
    assert len(stage.end()) == 1


def test_neighbours_once_found_as_one_stay_two(frame_at: FrameAt) -> None:
    stage = Stage(frame_at)
    two = [Cell(Box(300, 200, 90, 90), 0.5), Cell(Box(400, 200, 90, 90), 0.5)]
    for i in range(4):
        stage.show_boxes(0, 0, [Cell(Box(300, 200, 190, 90), 0.5)] if i in (1, 3) else two)
    assert len(stage.end()) == 2


def test_the_same_cell_on_two_islands_is_one(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300), (1900, 1200))
    for _ in range(6):
        stage.show(100, 100)
    for _ in range(6):
        assert stage.show(1600, 950).island == 1
    for x, y in ((1300, 800), (1000, 600), (700, 400), (400, 250), (150, 120)):
        stage.show(x, y)
    for _ in range(6):
        seen = stage.show(100, 100)
    assert seen.island == 0
    for x, y in ((400, 250), (700, 400), (1000, 600), (1300, 800), (1600, 950)):
        stage.show(x, y)
    assert len(stage.end()) == 2


def test_a_cell_found_anew_before_its_place_is_recognised_is_not_counted_again(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (300, 300))
    for x in pan(0, 1600, 120):
        stage.show(x, 0)
    for y in range(0, 960, 100):
        stage.show(1600, y)
    for x in pan(1600, 800, 120):
        stage.show(x, 960)
    assert stage.counts == [1]
    islands = [stage.show(100, 100, only=(0,) if i < 4 else ()).island for i in range(12)]
    assert islands[0] == 1
    assert islands[-1] == 0
    assert stage.end() == [1]


def test_a_black_frame_counts_nothing(frame_at: FrameAt) -> None:
    tracker = Tracker()
    black = Frame(np.zeros((480, 640, 3), np.uint8), 0, 0, "test", None)
    seen = tracker.see(black, [Cell(Box(1, 1, 50, 50), 0.5)])
    assert seen.place is None
    assert [(sighting.track, sighting.wanted) for sighting in seen.cells] == [(0, False)]


def test_counted_cells_are_not_kept_open(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, *[(x, y) for x in range(100, 2100, 300) for y in range(100, 400, 140)])
    for x in (*pan(0, 1600, 90), *pan(1600, 0, 90)):
        stage.show(x, 0)
        assert stage.tracker.open_tracks <= 12
    assert len(stage.end()) == len(stage.cells)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ways=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 2), st.sets(st.integers(0, 3)), st.booleans()),
        max_size=25,
    )
)
def test_no_track_is_ever_counted_twice(frame_at: FrameAt, ways: list[tuple[int, int, set[int], bool]]) -> None:
    stage = Stage(frame_at, (300, 250), (420, 260), (900, 300), (1500, 500))
    for column, row, found, answer in ways:
        stage.show(200 * column, 200 * row, only=tuple(found), answer=answer)
    counted = stage.end()
    assert len(counted) == len(set(counted))
    assert stage.tracker.open_tracks == 0
    assert stage.tracker.finish() == []


def test_a_lobe_that_peeks_out_of_a_cut_cell_is_no_cell_of_its_own(frame_at: FrameAt) -> None:
    stage = Stage(frame_at)
    for _ in range(6):
        stage.show_boxes(100, 0, [Cell(Box(200, 150, 150, 100), 0.5)])
    for y in (238, 236, 234, 232, 230, 228):
        stage.show_boxes(100, y, [Cell(Box(240, 240 - y, 60, 60), 0.5)])
    assert stage.end() == [1]


def test_a_cell_whose_lobes_come_in_one_by_one_is_counted(frame_at: FrameAt) -> None:
    stage = Stage(frame_at)
    lobes = [Box(700, 100, 70, 60), Box(710, 165, 70, 70)]
    for x in (100, 110, 120):
        cut = [Cell(Box(box.xmin - x, box.ymin, 640 - box.xmin + x, box.height), 0.5) for box in lobes]
        stage.show_boxes(x, 0, cut)
    for x in (200, 400, 600):
        stage.show_boxes(x, 0, [Cell(Box(700 - x, 100, 80, 135), 0.5)])
    assert len(stage.end()) == 1


def test_a_frame_taken_for_a_cell_swallows_none(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, (700, 200))
    (whole_frame,) = stage.show_boxes(0, 0, [Cell(Box(0, 0, 640, 480), 0.5)]).cells
    assert (whole_frame.track, whole_frame.wanted) == (0, False)
    for x in (*pan(40, 400, 40), *pan(400, 40, 40)):
        stage.show(x, 0)
    assert stage.end() == [1]


def test_a_cut_cell_does_not_swallow_its_neighbours(frame_at: FrameAt) -> None:
    stage = Stage(frame_at, *[(x, 430) for x in range(100, 1400, 100)])
    for x in (*pan(0, 900, 60), *pan(900, 0, 60)):
        stage.show(x, 0)
    for x in pan(0, 900, 60):
        stage.show(x, 200)
    assert len(stage.end()) == len(stage.cells)
