"""Whether two versions differ: by simulation, and on real work of this machine, however busy it is."""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest
from click.testing import CliRunner

from edge_wbc.bench import side_by_side
from edge_wbc.bench.self_check import PLANTED, Pair, check, stages_of
from edge_wbc.bench.side_by_side import LEAST_ROUNDS, Difference, Taken, compare, differences, slowed
from edge_wbc.bench.statistics import Interval
from edge_wbc.cli.bench import bench
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from edge_wbc.sources.base import open_source

STAGES = ("read", "quality", "locate", "crop", "classify")


def simulated(rng, slow=""):
    """Rounds of stages: a drift that both feel and that lasts for many rounds, noise of each that lasts a few, an
    interruption in one round of 20, and a gain of whoever comes second."""
    taken = {}
    for stage in STAGES:
        drift, own, rounds = 0.0, np.zeros(2), []
        for turn in range(100):
            drift = 0.95 * drift + rng.normal(0, 0.05)
            own = 0.3 * own + rng.normal(0, 0.05, 2)
            times = np.exp(drift + own)
            times[turn % 2] *= 1.04
            times += 5 * (rng.uniform(size=2) < 0.05)
            times[1] *= 1 + PLANTED * (stage == slow)
            rounds.append((float(times[0]), float(times[1])))
        taken[stage] = rounds
    return taken


def test_of_100_simulated_pairs_of_equal_things_at_most_5_are_told_to_differ():
    rng = np.random.default_rng(11)
    told = [any(found.told for found in differences(simulated(rng))) for _ in range(100)]
    assert sum(told) <= 5


def test_of_100_simulated_pairs_the_slowed_stage_is_named_alone_in_95():
    rng = np.random.default_rng(12)
    right = 0
    for number in range(100):
        slow = STAGES[number % len(STAGES)]
        right += Pair(slow, differences(simulated(rng, slow)), Taken({}, 0, 0)).right
    assert right >= 95


@pytest.fixture(scope="module")
def real():
    pictures = [frame.pixels for frame in open_source("smear://?seed=3&cells=4").frames()]
    engine = open_engine("openvino", load_model("leukonet-int8"), 1)
    stages, inputs = stages_of(pictures, engine)
    yield {name: stages[name] for name in ("locate", "crop")}, inputs
    engine.close()


def test_on_real_work_equal_stages_are_equal_and_a_slowed_one_is_named(real):
    stages, inputs = real
    pairs = list(check(stages, inputs, 2, 80, lambda _: None))
    assert [pair.planted for pair in pairs] == ["", "locate", "", "crop"]
    for kind in (False, True):  # of two, as each may be wrong once in a hundred
        assert any(pair.right for pair in pairs if bool(pair.planted) is kind), [pair.found for pair in pairs]


def difference(value, low, high, stage="locate"):
    return Difference(stage, Interval(value, low, high), 100)


def test_a_difference_is_told_only_beyond_its_interval_and_the_smallest_that_counts():
    assert difference(1.1, 1.05, 1.15).told
    assert difference(0.9, 0.85, 0.95).told
    assert not difference(1.1, 0.99, 1.2).told
    assert not difference(1.01, 1.005, 1.015).told, "less than where things lie in memory makes"


def test_a_pair_is_right_only_if_what_was_planted_is_named_alone_and_slower():
    slow, other, even = (
        difference(1.1, 1.05, 1.15),
        difference(1.1, 1.05, 1.15, "read"),
        difference(1.0, 0.9, 1.1, "crop"),
    )
    nothing = Taken({}, 0, 0)
    assert Pair("locate", [slow, even], nothing).right
    assert not Pair("locate", [slow, other], nothing).right
    assert not Pair("locate", [difference(0.9, 0.85, 0.95)], nothing).right, "found to be quicker"
    assert Pair("", [even], nothing).right
    assert not Pair("", [slow], nothing).right


def test_rounds_go_on_until_all_intervals_are_narrow():
    def steady(_):
        end = time.thread_time_ns() + 20_000
        while time.thread_time_ns() < end:
            pass

    found, taken = compare({"steady": steady}, {"steady": steady}, 1, 80)
    assert LEAST_ROUNDS <= found[0].rounds <= 80
    assert found[0].rounds == len(taken.rounds["steady"])
    wide = difference(1.0, 0.8, 1.2)
    assert not wide.narrow
    assert difference(1.0, 0.97, 1.03).narrow


def test_both_see_every_input_in_both_orders_and_garbage_is_not_collected_meanwhile():
    seen = []

    def note(which):
        def work(number):
            assert not gc.isenabled()
            seen.append((which, number))
            time.sleep(0)

        return work

    compare({"stage": note("a")}, {"stage": note("b")}, 2, LEAST_ROUNDS)
    assert gc.isenabled()
    timed = "".join(which for which, _ in seen)
    assert timed.replace("aa", "a").replace("bb", "b").startswith("abab")
    assert {number for _, number in seen} == {0, 1}


def test_a_call_in_which_another_program_had_the_processor_is_taken_again(monkeypatch):
    switches = iter([0, 1, 1, 1] + [1] * 1000)

    class Usage:
        @property
        def ru_nivcsw(self):
            return next(switches)

    monkeypatch.setattr(side_by_side.resource, "getrusage", lambda _: Usage())
    calls = side_by_side._Calls()
    calls.turn((lambda _: None, lambda _: None), 0, (0, 1, 1, 0))
    assert (calls.made, calls.interrupted) == (5, 1)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="stages a of one, b of the other"):
        compare({"a": len}, {"b": len}, 1)
    with pytest.raises(ValueError, match="take at least 40"):
        differences({"a": [(1.0, 1.0)] * 39})
    with pytest.raises(ValueError, match="no frame has a cell"):
        stages_of([np.full((480, 640, 3), 225, np.uint8)], None)


def test_slowed_work_does_the_same_and_takes_that_much_longer():
    def work(number):
        time.sleep(0.01)
        return number

    started = time.perf_counter()
    assert slowed(work, 1.0)(7) == 7
    assert time.perf_counter() - started >= 0.02


def test_the_command_checks_itself():
    done = CliRunner().invoke(bench, ["self-check", "--smoke"], standalone_mode=False)
    assert done.return_value == 0, done.output
    assert "equal: none told to differ in" in done.stderr
    assert "named alone" in done.stdout
