from __future__ import annotations

import math

import numpy as np
import pytest

from edge_wbc.differential import exact_interval
from training.intervals import clustered_intervals


def of_one_class(groups, right, **settings):
    return clustered_intervals(groups, ["monocyte"] * len(groups), right, **settings)


def test_groups_that_are_all_alike_leave_nothing_to_doubt():
    found = of_one_class([name for name in "abcdefgh" for _ in range(2)], [True, False] * 8)
    assert found.accuracy == found.accuracy_per_group == found.recall["monocyte"] == (0.5, 0.5)


def test_ten_single_images_give_the_quantiles_of_the_binomial_distribution():
    found = of_one_class(list("abcdefghij"), [True] * 5 + [False] * 5, resamples=20_000)
    assert found.accuracy == pytest.approx((0.2, 0.8))  # 2.5 % and 97.5 % of Binomial(10, ½)


def test_a_large_photograph_weighs_by_its_images_or_by_itself():
    """Ten photographs with one image each, five of them right; two with 50 images, half of them right."""
    groups = list("abcdefghij") + ["k", "l"] * 50
    found = of_one_class(groups, [True, False] * 5 + [True, True, False, False] * 25)
    assert found.accuracy[1] - found.accuracy[0] < 0.2
    assert found.accuracy_per_group[1] - found.accuracy_per_group[0] > 0.4


def test_images_that_agree_within_a_photograph_widen_the_interval():
    right = [i < 200 for i in range(300)]
    clustered = of_one_class([str(i // 10) for i in range(300)], right).accuracy
    alone = of_one_class([str(i) for i in range(300)], right).accuracy
    assert clustered[1] - clustered[0] > 2.5 * (alone[1] - alone[0])


@pytest.mark.parametrize(("groups", "mean", "correlation"), [(40, 0.8, 0.3), (24, 0.96, 0.5)])
def test_the_interval_holds_the_truth_as_often_as_it_says(groups, mean, correlation):
    """Photographs with a beta-distributed accuracy of their own. Taking images as independent misses it."""
    rng = np.random.default_rng(5)
    strength = (1 - correlation) / correlation
    held = {"clustered": 0, "alone": 0}
    for _ in range(100):
        images = rng.integers(5, 40, groups)
        accuracy = rng.beta(mean * strength, (1 - mean) * strength, groups)
        right = (rng.random(images.sum()) < np.repeat(accuracy, images)).tolist()
        names = {
            "clustered": np.repeat(np.arange(groups), images).astype(str).tolist(),
            "alone": [str(i) for i in range(len(right))],
        }
        for kind in held:
            low, high = of_one_class(names[kind], right, resamples=300).accuracy
            held[kind] += low <= mean <= high
    assert held["clustered"] >= 88
    assert held["alone"] < 70


def test_a_figure_of_one_gets_the_exact_interval_over_photographs():
    found = of_one_class([name for name in "abcdefghijkl" for _ in range(50)], [True] * 600)
    assert found.accuracy == found.recall["monocyte"] == pytest.approx(exact_interval(12, 12))


def test_one_error_does_not_make_us_surer():
    groups = [name for name in "abcdefgh" for _ in range(30)]
    none = of_one_class(groups, [True] * 240).accuracy
    one = of_one_class(groups, [True] * 239 + [False]).accuracy
    assert one[0] < none[0]


def test_one_photograph_gives_no_interval():
    found = of_one_class(["a"] * 50, [True, False] * 25)
    assert (found.accuracy, found.accuracy_per_group, found.balanced_accuracy) == (None, None, None)
    assert found.recall == {"monocyte": None}


def test_a_class_of_one_photograph_has_none_nor_has_the_balanced_accuracy():
    groups = [*"abcdefghijkl", "m", "m"]
    labels = ["neutrophil"] * 12 + ["monocyte"] * 2
    found = clustered_intervals(groups, labels, [True, False] * 7)
    assert found.recall["monocyte"] is None
    assert found.recall["neutrophil"] is not None
    assert found.accuracy is not None
    assert found.balanced_accuracy is None


def test_the_balanced_accuracy_doubts_as_much_as_its_recalls():
    labels = ["neutrophil"] * 6 + ["monocyte"] * 6
    found = clustered_intervals(list("abcdefghijkl"), labels, [True] * 12)
    missing = 1 - exact_interval(6, 6)[0]
    assert found.balanced_accuracy == pytest.approx((1 - math.hypot(missing, missing) / 2, 1))


def test_the_order_of_images_does_not_matter_and_the_seed_repeats():
    rng = np.random.default_rng(2)
    rows = [(f"g{i}", str(label), bool(right)) for i, label, right in rng.integers((0, 0, 0), (40, 3, 2), (500, 3))]
    one = clustered_intervals(*zip(*rows, strict=True))
    rng.shuffle(rows)
    assert clustered_intervals(*zip(*rows, strict=True)) == one
