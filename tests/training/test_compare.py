"""Two networks on the same cells: what is told better or worse is so beyond chance, and groups are what counts."""

from __future__ import annotations

import numpy as np
import pytest

from edge_wbc.differential import exact_interval

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from training.compare import compare, record_of, verdict_of  # noqa: E402
from training.datasets import Sample  # noqa: E402
from training.intervals import paired_interval  # noqa: E402


def cells(count, label="neutrophil", fields=1, slides=1):
    """Cells, so many in a field and on so many slides."""
    return [
        Sample(None, label, "t", f"t/{label}/{i // fields}", None, True, f"t/slide-{i % slides}")  # type: ignore[arg-type]
        for i in range(count)
    ]


def verdict(samples, before, after):
    return compare(samples, before, after).overall.verdict


def test_a_clear_gain_is_better_a_clear_loss_worse_and_a_few_cells_either_way_neither():
    samples, half, most = cells(100), [i < 50 for i in range(100)], [i < 80 for i in range(100)]
    assert verdict(samples, half, most) == "better"
    assert verdict(samples, most, half) == "worse"
    assert verdict(samples, half, [i < 53 for i in range(100)]) == "not distinguishable"
    assert verdict(samples, half, half) == "not distinguishable"
    found = compare(samples, half, most)
    assert found.overall.difference is not None
    assert found.overall.difference[0] < 0.3 < found.overall.difference[1]
    assert "better than leukonet" in verdict_of(found, "leukonet")[0]


def test_cells_of_one_field_are_one_observation():
    before, after = [i < 40 for i in range(100)], [i < 60 for i in range(100)]
    assert verdict(cells(100), before, after) == "better"
    assert verdict(cells(100, fields=20), before, after) == "not distinguishable"  # a single field has changed
    alone = compare(cells(100, fields=100), before, after).overall
    assert (alone.difference, alone.verdict) == (None, "not distinguishable")


def test_of_five_slides_the_slides_are_the_observations():
    before, after = [i % 8 != 0 for i in range(80)], [True] * 80  # all that is gained is on one slide of eight
    assert compare(cells(80, slides=4), before, after).by == "field"
    found = compare(cells(80, slides=8), before, after)
    assert (found.by, found.observations) == ("slide", 8)
    assert found.overall.verdict == "not distinguishable"


def test_with_one_cell_a_field_it_is_never_narrower_than_mcnemars_exact_interval():
    rng = np.random.default_rng(3)
    for _ in range(20):
        before, after = rng.random((2, 40)) < 0.8
        up, down = int((after & ~before).sum()), int((before & ~after).sum())
        low, high = paired_interval([str(i) for i in range(40)], before, after)
        exact = [(2 * end - 1) * (up + down) / 40 for end in exact_interval(up, up + down)]
        assert low <= exact[0] + 1e-9
        assert high >= exact[1] - 1e-9


def test_two_networks_that_are_as_good_are_told_apart_in_at_most_one_of_twenty():
    rng = np.random.default_rng(4)
    told = 0
    for _ in range(200):
        groups = [f"{i // 2}" for i in range(60)]
        skill = np.repeat(rng.random(30) < 0.8, 2)  # a field stands or falls together
        before, after = (np.where(rng.random(60) < 0.1, ~skill, skill) for _ in range(2))
        low, high = paired_interval(groups, before, after, resamples=200)
        told += not low <= 0 <= high
    assert told <= 10


def test_every_class_has_its_recall_before_and_after_and_a_loss_in_one_is_named():
    samples = cells(60) + cells(40, "monocyte")
    before = [True] * 60 + [True] * 40
    after = [True] * 60 + [False] * 30 + [True] * 10
    found = compare(samples, before, after)
    assert (found.classes["monocyte"].right_before, found.classes["monocyte"].right_after) == (40, 10)
    assert found.worse_classes == ["monocyte"]
    assert "worse on monocyte" in verdict_of(found, "leukonet")[1]
    record = record_of(found)
    assert record["right_after"] == {"neutrophil": 60, "monocyte": 10}
    assert record["classes"]["monocyte"]["difference"][1] < 0
    assert record["verdict"] == "worse"
    assert record_of(None) == {"cells": 0}
