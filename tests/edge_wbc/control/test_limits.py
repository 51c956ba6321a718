from __future__ import annotations

import math

import numpy as np
import pytest

from edge_wbc.control.limits import Figure, limits, outside, student

PLAIN = Figure("plain", "plain", "", 3, 0.0)
VALUES = np.random.default_rng(1).normal(5, 0.2, 40).tolist()


def test_twenty_values_and_more_give_three_deviations_of_the_first_twenty():
    first = np.array(VALUES[:20])
    for count in (20, 21, 40):
        found = limits(PLAIN, VALUES[:count])
        assert found is not None
        assert found.mean == pytest.approx(first.mean())
        assert found.low == pytest.approx(first.mean() - 3 * first.std(ddof=1))
        assert found.high == pytest.approx(first.mean() + 3 * first.std(ddof=1))
        assert found.values == 20


@pytest.mark.parametrize("count", [5, 6, 9, 19])
def test_fewer_give_students_prediction_interval(count):
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with the extra [dev]")
    some = np.array(VALUES[:count])
    reach = stats.t.ppf(stats.norm.cdf(3), count - 1) * some.std(ddof=1) * math.sqrt(1 + 1 / count)
    found = limits(PLAIN, VALUES[:count])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((some.mean() - reach, some.mean() + reach), rel=1e-9)
    assert found.high - found.mean > 3 * some.std(ddof=1)


def test_less_than_five_are_not_enough():
    assert limits(PLAIN, VALUES[:4]) is None
    assert outside(PLAIN, 1e9, VALUES[:4]) is None


def test_chance_leaves_the_limits_as_often_as_three_deviations_are_left():
    """1 in 370 of a normal figure: of 40,000 futures 108 are expected, by five values as by nineteen."""
    rng = np.random.default_rng(2)
    for count in (5, 19):
        left = 0
        for values in rng.normal(0, 1, (4000, count)).tolist():
            found = limits(PLAIN, values)
            left += int(((future := rng.normal(0, 1, 10)) < found.low).sum() + (future > found.high).sum())
        assert 50 < left < 200, (count, left)


def test_one_value_far_out_of_the_first_does_not_hide_later_ones():
    wild = [9.0, *VALUES[:19]]
    found, without = limits(PLAIN, wild), np.array(VALUES[:19])
    assert found is not None
    assert (found.values, found.left_out) == (20, 1)
    assert found.high == pytest.approx(without.mean() + 3 * without.std(ddof=1))
    assert outside(PLAIN, 6.0, wild) is not None
    assert limits(PLAIN, wild[:9]).left_out == 0, "of so few none is far out"


def test_students_quantile_is_scipys():
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with the extra [dev]")
    for share in (0.75, 0.975, 0.99865):
        for freedom in (1, 2, 4, 18, 200):
            assert student(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9)


def test_values_that_never_differ_have_limits_of_the_least_width():
    cell = Figure("agreement", "agreement", "%", 1, 100 / 64, above=False)
    same = [100.0] * 20
    found = limits(cell, same)
    assert found is not None
    assert found.low == pytest.approx(100 - 100 / 64)
    assert found.high is None, "better is not outside"
    assert outside(cell, 100 * 63 / 64, same) is None
    assert outside(cell, 100 * 62 / 64, same) == "agreement 96.9 %, below the limit of 98.4 %"


def test_a_part_of_the_mean_is_the_least_width_too():
    slow = Figure("p50", "latency", "ms", 2, 0.0, 0.25, below=False)
    assert outside(slow, 1.24, [1.0] * 20) is None
    assert outside(slow, 1.26, [1.0] * 20) == "latency 1.26 ms, above the limit of 1.25 ms"
    assert outside(slow, 0.1, [1.0] * 20) is None, "faster is not outside"


def test_fixed_limits_hold_from_the_first_value():
    fixed = Figure("x", "x", "", 2, 0.0, floor=0.7, ceiling=0.9)
    assert outside(fixed, 0.69, []) == "x 0.69, below the floor of 0.70"
    assert outside(fixed, 0.91, []) == "x 0.91, above the ceiling of 0.90"
    assert outside(fixed, 0.7, []) is None
