from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.bench.statistics import (
    PERCENTILES,
    least_samples,
    median_interval,
    paired_ratio,
    percentile,
    student,
    summary,
    time_interval,
    unpaired_ratio,
)


def test_percentiles_are_of_the_nearest_rank():
    ordered = np.arange(1, 10_001, dtype=float)
    assert [percentile(ordered, percent) for percent in PERCENTILES] == [5000, 9000, 9500, 9900, 9990]
    assert percentile(np.array([3.0, 4.0, 5.0, 6.0, 7.0]), 50) == 5


def test_a_percentile_needs_as_many_samples_as_wilks_says():
    assert [least_samples(percent) for percent in PERCENTILES] == [5, 29, 59, 299, 2995]
    assert percentile(np.ones(298), 99) is None
    assert percentile(np.ones(299), 99) == 1


def test_a_summary_keeps_and_counts_what_is_far_out():
    found = summary([1.0] * 50 + [1.1] * 49 + [50.0])
    assert found.outliers == 1
    assert found.greatest == 50
    assert found.mean == pytest.approx((50 + 1.1 * 49 + 50) / 100)
    assert found.percentiles["p50"] == 1
    assert (found.percentiles["p95"], found.percentiles["p99"], found.percentiles["p99.9"]) == (1.1, None, None)


def test_without_samples_nothing_is_said():
    for call in (summary, median_interval):
        with pytest.raises(ValueError):
            call([])
    with pytest.raises(ValueError):
        unpaired_ratio([], [1.0], 0.95)
    with pytest.raises(ValueError, match="2 rounds of one and 1 of the other"):
        paired_ratio([1.0, 2.0], [1.0], 0.95)


def test_intervals_are_the_same_whenever_they_are_asked_for():
    values = np.random.default_rng(3).normal(5, 1, 60)
    assert median_interval(values) == median_interval(values)
    assert median_interval(values).holds(float(np.median(values)))


def autocorrelated(rng, count, persistence):
    noise = rng.normal(size=count + 100)
    for i in range(1, len(noise)):
        noise[i] += persistence * noise[i - 1]
    return noise[100:]


@pytest.mark.parametrize("persistence", [0.0, 0.3])
def test_the_interval_of_a_median_holds_it_about_as_often_as_it_says(persistence):
    rng = np.random.default_rng(1)
    held = sum(median_interval(autocorrelated(rng, 80, persistence)).holds(0) for _ in range(150))
    assert 0.88 <= held / 150 <= 0.99


def test_the_interval_of_a_time_is_never_below_nothing():
    wild = [0.1, 0.2, 30.0, 40.0, 0.1, 50.0, 0.3]
    assert median_interval(wild).low < 0 < time_interval(wild).low < time_interval(wild).value
    assert time_interval([1.0]) == (1.0, None, None)


def test_fewer_than_five_rounds_have_no_interval():
    found = median_interval([1.0, 2.0, 3.0, 4.0])
    assert (found.value, found.low, found.high) == (2.5, None, None)
    assert found.holds(99), "nothing speaks against it"
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]).low is not None
    assert paired_ratio([1.0], [2.0]) == (2.0, None, None)
    assert unpaired_ratio([1.0], [2.0]) == (2.0, None, None)


@pytest.mark.parametrize("freedom", [2, 5, 12, 50])
@pytest.mark.parametrize("confidence", [0.95, 0.998])
def test_students_quantile_beside_scipy(freedom, confidence):
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.t.ppf((1 + confidence) / 2, freedom)
    if freedom > 2 or confidence == 0.95:
        assert student((1 + confidence) / 2, freedom) == pytest.approx(wanted, rel=0.04)


def test_drift_that_hits_both_is_not_in_the_ratio_of_pairs_but_in_that_of_two_runs():
    rng = np.random.default_rng(2)
    drift = np.linspace(1, 3, 60)
    first = drift * rng.uniform(0.99, 1.01, 60)
    second = 1.2 * drift * rng.uniform(0.99, 1.01, 60)
    paired, unpaired = paired_ratio(first, second, 0.95), unpaired_ratio(first, second, 0.95)
    assert paired.value == pytest.approx(1.2, abs=0.01)
    assert paired.high - paired.low < 0.02
    assert unpaired.high - unpaired.low > 0.2
    assert unpaired.holds(1.2)
