"""What is counted of simulated slides, and what is said of it."""

from __future__ import annotations

import pytest

from edge_wbc.bench.counting import Counted, Job, count_slide, measure
from edge_wbc.types import LEUKOCYTES

SMALL = Job(seed=1003, cells=3, path="raster", every=4, model="leukonet", engine=None)


@pytest.fixture(scope="module")
def small() -> Counted:
    return count_slide(SMALL)


def test_every_cell_of_a_small_slide_is_counted_once(small: Counted) -> None:
    assert small.in_view >= 2
    assert (small.once, small.doubled, small.missed, small.not_cells) == (small.in_view, 0, 0, 0)
    assert small.mistaken == 0
    assert small.islands == 1
    assert small.off_px < 8


def test_a_cell_is_classified_a_few_times_only(small: Counted) -> None:
    assert small.in_view <= small.asked <= 6 * (small.in_view + small.others)


def test_of_few_cells_the_intervals_say_little(small: Counted) -> None:
    assert set(small.inside_interval) == set(LEUKOCYTES)
    assert sum(small.inside_interval.values()) >= 4


def test_a_tracker_that_knows_no_cell_again_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_wbc.vision.register.Register.near", lambda self, where, size: ([], []))
    found = count_slide(SMALL)
    assert found.doubled > 0


def test_slides_are_counted_in_processes_and_come_in_order() -> None:
    steps: list[int] = []
    jobs = [Job(seed, 1, "raster", 12, "leukonet", None) for seed in (1005, 1004)]
    assert [one.seed for one in measure(jobs, steps.append)] == [1004, 1005]
    assert steps == [1, 2]
