"""The quick way of drawing a slide shows what the slow one shows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.sources.smear_slide import Slide
from edge_wbc.sources.smear_view import View


@pytest.mark.parametrize("place", [(0, 0), (333, 222), (-320, 7)])
def test_a_view_differs_from_a_photograph_by_rounding(place: tuple[int, int]) -> None:
    slide = Slide(1, 12)
    slow, quick = slide.render(*place, 5)[0].astype(int), View(slide).render(*place, 5).astype(int)
    inside = np.abs(slow - quick)[2:-2, 2:-2]
    assert abs((slow - quick).mean()) < 0.2
    assert inside.mean() < 0.6
    assert inside.max() <= 3


def test_a_place_looks_the_same_whenever_it_is_drawn() -> None:
    one, other = View(Slide(3, 12)), View(Slide(3, 12))
    for x in range(0, 2000, 500):
        one.render(x, 100, 9)
    assert np.array_equal(one.render(700, 100, 9), other.render(700, 100, 9))
