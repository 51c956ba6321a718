from __future__ import annotations

import pytest

from edge_wbc.differential import exact_interval

special = pytest.importorskip("scipy.special", reason="SciPy comes with the extra [dev]")


@pytest.mark.parametrize("total", [1, 2, 7, 100, 1000, 100_000])
def test_intervals_are_scipys_to_ten_digits(total):
    for count in sorted({0, 1, total // 20, total // 3, total - 1, total}):
        low, high = exact_interval(count, total)
        assert low == pytest.approx(special.betaincinv(count, total - count + 1, 0.025) if count else 0, abs=1e-10)
        upper = special.betaincinv(count + 1, total - count, 0.975) if count < total else 1
        assert high == pytest.approx(upper, abs=1e-10)
