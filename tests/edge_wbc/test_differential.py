"""Counts, percentages and exact intervals."""

from __future__ import annotations

import math

import pytest

from edge_wbc import differential
from edge_wbc.differential import Tally, exact_interval
from edge_wbc.manifest import LabelsGroup
from edge_wbc.types import CLASSES, LEUKOCYTES, UNIDENTIFIED


def tally(names: tuple[str, ...] = CLASSES) -> Tally:
    counted = tuple(name for name in names if name in LEUKOCYTES)
    return Tally(LabelsGroup(names=names, counted=counted, unidentified_below=0.5, threshold_from="test"))


@pytest.mark.parametrize(("total", "low", "high"), [(100, 1.6, 11.3), (200, 2.4, 9.0), (400, 3.1, 7.6)])
def test_intervals_are_the_published_ones(total: int, low: float, high: float) -> None:
    """Rümke's table, as in CLSI H20: 5 % of 100, 200 and 400 cells."""
    found = exact_interval(total // 20, total)
    assert (round(100 * found[0], 1), round(100 * found[1], 1)) == (low, high)


@pytest.mark.parametrize(
    ("count", "total"), [(1, 2), (3, 10), (5, 100), (60, 400), (1, 1000), (500, 1000), (990, 1000)]
)
def test_intervals_are_exact(count: int, total: int) -> None:
    """At its ends the interval leaves 2.5 % of the binomial distribution outside, summed term by term."""

    def share(counts: range, chance: float) -> float:
        return math.fsum(math.comb(total, k) * chance**k * (1 - chance) ** (total - k) for k in counts)

    low, high = exact_interval(count, total)
    assert share(range(count, total + 1), low) == pytest.approx(0.025, rel=1e-6)
    assert share(range(count + 1), high) == pytest.approx(0.025, rel=1e-6)


def test_the_interval_of_a_very_long_session() -> None:
    low, high = exact_interval(500_000, 1_000_000)
    assert (low, high) == (pytest.approx(0.49902, abs=1e-5), pytest.approx(0.50098, abs=1e-5))


def test_an_end_is_found_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page shows the differential of 10,000 cells after every move."""
    steps: list[tuple[float, ...]] = []
    exact_interval.cache_clear()
    cdf = differential._beta_cdf
    monkeypatch.setattr(differential, "_beta_cdf", lambda *of: steps.append(of) or cdf(*of))
    for count in (1, 100, 5000, 9999):
        exact_interval(count, 10_000)
    assert len(steps) < 10 * 8


def test_intervals_at_the_ends() -> None:
    assert exact_interval(0, 100) == (0.0, pytest.approx(0.0362, abs=1e-4))
    assert exact_interval(100, 100) == (pytest.approx(0.9638, abs=1e-4), 1.0)
    assert exact_interval(1, 1) == (pytest.approx(0.025), 1.0)


def test_more_confidence_is_a_wider_interval() -> None:
    narrow, wide = exact_interval(10, 100, 0.90), exact_interval(10, 100, 0.99)
    assert wide[0] < narrow[0] < 0.1 < narrow[1] < wide[1]


def test_only_leukocytes_are_in_the_denominator() -> None:
    count = tally()
    count.add(["neutrophil"] * 60 + ["lymphocyte"] * 40)
    count.add(["platelet"] * 30 + [UNIDENTIFIED] * 20 + ["erythroblast"] * 5)
    found = count.differential()
    assert (found.total, found.unidentified) == (100, 20)
    assert found.shares["neutrophil"].percent == 60
    assert found.shares["lymphocyte"].percent == 40
    assert found.shares["platelet"].count == 30
    assert found.shares["platelet"].percent is None
    assert found.shares["erythroblast"].percent is None
    assert found.erythroblasts_per_100 == 5
    assert sum(share.percent or 0 for share in found.shares.values()) == 100


def test_the_interval_of_a_share_is_that_of_its_count() -> None:
    count = tally()
    count.add(["eosinophil"] * 5 + ["neutrophil"] * 95)
    share = count.differential().shares["eosinophil"]
    assert (share.low, share.high) == tuple(100 * end for end in exact_interval(5, 100))


def test_an_empty_session_has_no_percentages() -> None:
    found = tally().differential()
    assert (found.total, found.unidentified, found.erythroblasts_per_100) == (0, 0, None)
    assert {share.percent for share in found.shares.values()} == {None}
    assert list(found.shares) == list(CLASSES)


def test_a_model_without_erythroblasts_says_nothing_of_them() -> None:
    count = tally(CLASSES[:5])
    count.add(["monocyte"])
    assert count.differential().erythroblasts_per_100 is None


def test_asked_again_it_is_not_made_again_until_a_cell_comes(model):
    tally = Tally(model.manifest.labels)
    tally.add(["neutrophil", "monocyte"])
    first = tally.differential()
    assert tally.differential() is first
    tally.add(["neutrophil"])
    assert (first.total, tally.differential().total) == (2, 3)
