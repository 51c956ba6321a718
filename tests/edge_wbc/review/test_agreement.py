"""Cohen's κ: by hand, by its properties, and by how often its interval holds the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_wbc.review import decide
from edge_wbc.review.agreement import agreement, kappa
from edge_wbc.review.review import NOT_CLASSED, Review
from edge_wbc.types import UNIDENTIFIED

SEEDED = settings(max_examples=100, derandomize=True, database=None, deadline=None)
NAMES = "abc"
TABLES = st.dictionaries(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), st.integers(0, 60))


def square(*rows: tuple[int, ...]) -> dict[tuple[str, str], int]:
    return {(NAMES[i], NAMES[j]): count for i, row in enumerate(rows) for j, count in enumerate(row)}


def test_by_hand() -> None:
    # 20 + 15 of 50 agree: p = 0.7; both say a to 25 and 30, b to 25 and 20: e = (25·30 + 25·20) / 2500 = 0.5
    found = kappa(square((20, 5), (10, 15)))
    assert (found.cells, found.agreed) == (50, 35)
    assert found.kappa == pytest.approx(0.4)
    # Clopper–Pearson for 35 of 50: 0.5539 to 0.8214 (beta quantiles); (p − 0.5) / 0.5 of each
    assert (found.low, found.high) == (pytest.approx(0.1079, abs=2e-4), pytest.approx(0.6428, abs=2e-4))


def test_of_three_classes_by_hand() -> None:
    found = kappa(square((50, 26, 24), (24, 4, 32), (6, 30, 4)))
    # p = 58/200 = 0.29; margins 100, 60, 40 and 80, 60, 60: e = (8000 + 3600 + 2400) / 40000 = 0.35
    assert found.kappa == pytest.approx((0.29 - 0.35) / (1 - 0.35))


@pytest.mark.parametrize(
    "pairs", [{}, {("a", "a"): 0}, {("a", "a"): 7}], ids=["no cell", "zero cells", "one class alone"]
)
def test_where_chance_alone_agrees_on_all_there_is_none(pairs: dict[tuple[str, str], int]) -> None:
    found = kappa(pairs)
    assert (found.kappa, found.low, found.high) == (None, None, None)
    assert found.cells == found.agreed == sum(pairs.values())


@SEEDED
@given(TABLES)
def test_properties(pairs: dict[tuple[str, str], int]) -> None:
    found = kappa(pairs)
    turned = kappa({(other, one): count for (one, other), count in pairs.items()})
    assert (turned.cells, turned.agreed) == (found.cells, found.agreed)
    if found.kappa is None:
        assert turned.kappa is None
        return
    assert turned.kappa == pytest.approx(found.kappa), "neither reader is the first"
    assert found.low <= found.kappa <= found.high
    assert found.low >= -1
    assert found.high <= 1
    assert (found.kappa == 1) == (found.agreed == found.cells)
    many = kappa({pair: 10 * count for pair, count in pairs.items()})
    assert many.kappa == pytest.approx(found.kappa)
    assert many.high - many.low < found.high - found.low, "more cells tell more"
    array = np.zeros((3, 3))
    for (one, other), count in pairs.items():
        array[NAMES.index(one), NAMES.index(other)] += count
    weights = 1 - np.eye(3)  # κ as one less the share of disagreements among those expected: Cohen 1968
    expected = np.outer(array.sum(1), array.sum(0)) / array.sum()
    assert found.kappa == pytest.approx(1 - (weights * array).sum() / (weights * expected).sum())


def chances(shares: tuple[float, ...], agreed: float) -> np.ndarray:
    """Of every pair, where two agree on so many cells of each class, and else go by its share."""
    others = (1 - agreed) * np.outer(shares, shares) / (1 - np.array(shares))[:, None]
    np.fill_diagonal(others, agreed * np.array(shares))
    return others


def held_by(interval: Any, table: np.ndarray, cells: int) -> float:
    """How often an interval holds the true κ."""
    by_chance = table.sum(0) @ table.sum(1)
    truth = (np.trace(table) - by_chance) / (1 - by_chance)
    held = told = 0
    for counts in np.random.default_rng(1).multinomial(cells, table.ravel(), 200):
        found = interval(counts.reshape(table.shape))
        if found is not None:
            told += 1
            held += found[0] <= truth <= found[1]
    assert told > 100
    return held / told


def ours(table: np.ndarray) -> tuple[float, float] | None:
    found = kappa(square(*map(tuple, table.tolist())))
    return None if found.kappa is None else (found.low, found.high)


def large_samples(table: np.ndarray) -> tuple[float, float] | None:
    """κ ± 1.96 standard errors (Fleiss, Cohen and Everitt, Psychological Bulletin 72:323, 1969)."""
    shares = table / table.sum()
    rows, columns, agreed = shares.sum(1), shares.sum(0), np.diag(shares)
    by_chance = rows @ columns
    if by_chance == 1:
        return None
    found = (agreed.sum() - by_chance) / (1 - by_chance)
    on = (agreed * (1 - (rows + columns) * (1 - found)) ** 2).sum()
    every = (shares * (columns[:, None] + rows[None, :]) ** 2).sum() - (agreed * (rows + columns) ** 2).sum()
    rest = (found - by_chance * (1 - found)) ** 2
    variance = (on + (1 - found) ** 2 * every - rest) / ((1 - by_chance) ** 2 * table.sum())
    wide = 1.96 * np.sqrt(max(variance, 0))
    return found - wide, found + wide


@pytest.mark.parametrize("cells", [20, 100])
@pytest.mark.parametrize("agreed", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("shares", [(0.6, 0.37, 0.03), (0.97, 0.03)], ids=["three classes", "a rare one"])
def test_the_interval_holds_the_truth_in_nineteen_of_twenty_at_least(
    shares: tuple[float, ...], agreed: float, cells: int
) -> None:
    assert held_by(ours, chances(shares, agreed), cells) >= 0.95


def test_the_interval_of_large_samples_would_not() -> None:
    table = chances((0.6, 0.37, 0.03), 0.95)
    assert held_by(large_samples, table, 20) < 0.75
    assert 0.9 < held_by(large_samples, table, 1000) < 0.99


def test_only_cells_that_were_read_are_compared_with_the_review_as_it_stands(review: Review) -> None:
    decide.read(review, "eve", {1: "neutrophil", 2: "monocyte", 3: NOT_CLASSED, 4: "lymphocyte"})
    found = agreement(review, "eve")
    assert (found.overall.cells, found.overall.agreed) == (4, 1)
    assert list(found.classes) == ["neutrophil", "lymphocyte", "monocyte", NOT_CLASSED, UNIDENTIFIED]
    assert found.table["neutrophil"]["lymphocyte"] == 1
    assert found.table[UNIDENTIFIED] == {name: int(name == NOT_CLASSED) for name in found.classes}
    decide.move(review, "ann", {2: "lymphocyte"}, "monocyte")
    decide.move(review, "ann", {3: UNIDENTIFIED}, NOT_CLASSED)
    found = agreement(review, "eve")
    assert found.overall.agreed == 3
    neutrophil = found.classes["neutrophil"]
    assert (neutrophil.both, neutrophil.review_alone, neutrophil.reader_alone) == (1, 1, 0)
    # p = 3/4; the review says neutrophil twice, the reader once: e = (2·1 + 2·3) / 16
    assert neutrophil.kappa.kappa == pytest.approx((3 / 4 - 1 / 2) / (1 - 1 / 2))
    assert found.classes["monocyte"].kappa.kappa == 1
    assert found.classes["monocyte"].kappa.low < 0.9, "of four cells"
    assert UNIDENTIFIED not in found.classes


def test_of_a_reader_who_has_read_nothing_nothing_is_told(review: Review) -> None:
    found = agreement(review, "eve")
    assert (found.overall.cells, found.overall.kappa, found.classes, found.table) == (0, None, {}, {})
