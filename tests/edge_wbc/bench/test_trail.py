"""Where a frame's time goes: parts that add up, stages that are occupied, results that are acknowledged."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_wbc.bench.run_delay import RunDelay
from edge_wbc.bench.trail import ACKNOWLEDGEMENT, ORDER, Delivery, Journey, Mark, Trail, occupancy, parts_ns

MARKS = st.lists(st.builds(Mark, st.sampled_from(ORDER), st.integers(-50, 1000), st.integers(0, 90)), max_size=30)


@given(st.lists(st.tuples(MARKS, st.integers(0, 100), st.integers(0, 900)), min_size=1, max_size=8))
def test_parts_add_up_to_what_a_journey_took_whatever_was_marked(drawn):
    journeys = [Journey(i, at, marks, at + took) for i, (marks, at, took) in enumerate(drawn)]
    found = parts_ns(journeys)
    for place, journey in enumerate(journeys):
        assert sum(each[place] for each in found.values()) == journey.took_ns
        assert all(each[place] >= 0 for each in found.values())
        assert 0 <= journey.delayed_ns <= journey.took_ns
        steps = list(journey.steps())
        assert all(before[2] == after[1] for before, after in itertools.pairwise(steps))


def test_a_journey_ends_before_marks_that_come_later_and_waits_after_the_last():
    marks = [Mark("read", 10), Mark("locate", 30), Mark("count", 35), Mark("hand over", 40), Mark("sink", 60)]
    decided, acknowledged = Journey(0, 0, marks, 35), Journey(0, 0, marks, 100)
    assert {name: each[0] for name, each in parts_ns([decided]).items()} == {"read": 10, "locate": 20, "count": 5}
    assert parts_ns([acknowledged])[ACKNOWLEDGEMENT] == [40]
    assert list(parts_ns([acknowledged])) == ["read", "locate", "count", "hand over", "sink", ACKNOWLEDGEMENT]


def test_a_stage_that_several_frames_share_is_occupied_once():
    def journey(frame, begin, classify_to):
        marks = [Mark("read", begin + 5), Mark("wait engine", 20), Mark("classify", classify_to)]
        return Journey(frame, begin, marks, 100)

    found = occupancy([journey(0, 0, 60), journey(1, 10, 60), journey(2, 15, 90)])
    assert found["engine"] == pytest.approx(0.7)
    assert found["decode"] == pytest.approx(0.15)
    assert found["sink"] == pytest.approx(0.4), "of the first two frames the acknowledgement is awaited from 60 on"
    assert found["locate"] == 0
    assert occupancy([]) == {}


def test_a_wait_for_a_processor_is_at_most_the_part_it_was_in():
    marks = [
        Mark("read", 10, delayed_ns=50),  # most of it before the frame
        Mark("locate", 30, delayed_ns=4),
        Mark("wait batch", 31, delayed_ns=12),  # told of all three
        Mark("crop", 32),
        Mark("classify", 60),
    ]
    assert Journey(0, 0, marks, 60).delayed_ns == 10 + 4 + 12
    assert Journey(0, 0, marks, 30).delayed_ns == 10 + 4


def test_threads_are_told_their_own_waits_since_they_asked(tmp_path):
    file = tmp_path / "schedstat"
    file.write_text("100 1000 3\n")
    delay = RunDelay(str(file))
    assert delay() == 0
    file.write_text("100 1500 3\n")
    assert (delay(), delay()) == (500, 0)
    other = []
    thread = threading.Thread(target=lambda: other.append(delay()))
    thread.start()
    thread.join()
    assert other == [0]
    delay.close()
    absent = RunDelay(str(tmp_path / "none"))
    assert (absent.told, absent()) == (False, 0)


class Sink:
    """Acknowledges when it is told to."""

    uri = "serial:"
    acknowledged = None

    def __init__(self):
        self.taken = []

    def frame(self, result):
        self.taken.append(result.frame.index)


def test_a_frame_is_done_with_the_last_of_its_results(result_of):
    done = []
    sink, trail = Sink(), Trail()
    delivery = Delivery(sink, trail, done.append)
    for index, labels in enumerate([("neutrophil",) * 3, (), ("monocyte",), ("basophil",)]):
        delivery.frame(result_of(index, labels))
    assert done == [1], "it has no result to wait for"
    sink.acknowledged(2)
    assert done == [1]
    sink.acknowledged(4)
    assert done == [1, 0, 2]
    sink.acknowledged(5)
    sink.acknowledged(6)  # the differential
    assert done == [1, 0, 2, 3]
    assert [index for index, _ in delivery.acknowledged] == [0, 0, 0, 2, 3]
    assert sink.taken == [0, 1, 2, 3]
    assert [mark.name for mark in trail.marks[2]] == ["wait sink", "sink"]
    assert delivery.decided[2][1] - delivery.decided[2][0] == 5_000_000
