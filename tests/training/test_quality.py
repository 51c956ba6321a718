"""How far frames must be spoilt before they are not judged."""

from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.sources.base import open_source
from edge_wbc.types import Frame, Pixels
from training.quality import blurred, noticed, smeared


@pytest.fixture(scope="module")
def fields() -> list[Pixels]:
    frames = open_source("smear://?seed=31&cells=6").frames()
    return [frame.pixels for frame, _ in zip(frames, range(3), strict=False) if isinstance(frame, Frame)]


def test_more_blur_is_noticed_more(fields: list[Pixels]) -> None:
    alone, beside = zip(*(noticed(fields, blurred, part) for part in (0.0005, 0.01, 0.03)), strict=True)
    assert alone[0] == beside[0] == 0
    assert sorted(alone) == list(alone)
    assert alone[2] == beside[2] == 1
    assert all(a <= b for a, b in zip(alone, beside, strict=True))


def test_a_smear_has_a_direction(fields: list[Pixels]) -> None:
    spoilt = smeared(fields[0], 0.05, np.random.default_rng(3)).astype(np.float32)
    down, across = np.abs(np.diff(spoilt, axis=0)).mean(), np.abs(np.diff(spoilt, axis=1)).mean()
    assert max(down, across) > 1.2 * min(down, across)
    assert noticed(fields, smeared, 0.05)[1] > 0.5
