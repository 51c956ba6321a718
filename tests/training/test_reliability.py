from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edge_wbc.errors import SourceError
from edge_wbc.types import Prediction
from training.datasets import Sample
from training.evaluate import Scored, scored_from
from training.reliability import rejected, reliability, risk_coverage, threshold_for


def cell(label, said, probability, group="a/1", passed=True):
    """Said with a probability, the rest going to what was not said."""
    other = "monocyte" if said != "monocyte" else "neutrophil"
    prediction = Prediction(
        said if passed else "unidentified", probability, {said: probability, other: 1 - probability, "not_a_cell": 0}
    )
    if said == "not_a_cell":
        prediction = Prediction(said, probability, {said: probability, "monocyte": 1 - probability, "neutrophil": 0})
    return Scored(Sample(Path("x.png"), label, "a", group, None), prediction.label, prediction)


def missed(label):
    return Scored(Sample(Path("x.png"), label, "a", "a/1", None), "missed", None)


def test_calibration_error_by_hand():
    found = reliability(
        [
            cell("monocyte", "monocyte", 0.9),
            cell("neutrophil", "monocyte", 0.9),
            cell("monocyte", "monocyte", 0.6),
            missed("monocyte"),
        ]
    )
    assert found.ece == pytest.approx(2 / 3 * abs(0.5 - 0.9) + 1 / 3 * abs(1 - 0.6))
    assert found.crops == 3
    assert [(shown.crops, shown.confidence, shown.accuracy) for shown in found.bins] == [
        (1, pytest.approx(0.6), 1.0),
        (2, pytest.approx(0.9), 0.5),
    ]
    assert all(shown.low < shown.confidence <= shown.high for shown in found.bins)


def test_errors_in_one_bin_cancel_and_in_two_do_not():
    one = [cell("monocyte", "monocyte", 0.74), cell("neutrophil", "monocyte", 0.74)] * 10
    assert reliability(one).ece == pytest.approx(0.24)
    two = [cell("monocyte", "monocyte", 0.75)] * 10 + [cell("neutrophil", "monocyte", 0.65)] * 10
    assert reliability(two).ece == pytest.approx((0.25 + 0.65) / 2)


def test_what_was_not_sure_enough_is_judged_by_its_most_probable_class():
    assert reliability([cell("monocyte", "monocyte", 0.6, passed=False)] * 4).ece == pytest.approx(0.4)


def test_what_chance_alone_shows():
    """|mean − p| of n draws: √(2p(1−p)/πn) for many; by hand for four photographs, each right or wrong as a whole."""
    found = reliability([cell("monocyte", "monocyte", 0.6, group=f"a/{i % 4}") for i in range(400)])
    assert found.by_chance == pytest.approx(math.sqrt(2 * 0.24 / math.pi / 400), rel=0.15)
    chances = [math.comb(4, k) * 0.6**k * 0.4 ** (4 - k) * abs(k / 4 - 0.6) for k in range(5)]
    assert found.by_chance_clustered == pytest.approx(sum(chances), rel=0.15)


def test_probabilities_that_are_true_show_what_chance_shows():
    shown = {1.0: [], 0.3: []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        chances = rng.uniform(0.55, 1, 1000)
        labels = ["monocyte" if rng.random() < chance else "neutrophil" for chance in chances]
        for sharpened, ratios in shown.items():
            told = zip(labels, (chances**sharpened).tolist(), strict=True)
            found = reliability([cell(label, "monocyte", probability) for label, probability in told])
            ratios.append(found.ece / found.by_chance)
    assert np.mean(shown[1.0]) == pytest.approx(1, rel=0.2)
    assert np.mean(shown[0.3]) > 5


def test_nothing_classified_has_no_calibration():
    assert reliability([missed("monocyte")]) is None
    assert risk_coverage([missed("monocyte")], 0.5) is None
    with pytest.raises(SourceError, match="no cell of a known class"):
        threshold_for([missed("monocyte")])


def ladder():
    """20 cells with probabilities 0.52, 0.54 … 0.90; the three least sure are wrong, and the surest one."""
    return [
        cell("neutrophil" if i in (0, 1, 2, 19) else "monocyte", "monocyte", round(0.52 + 0.02 * i, 2))
        for i in range(20)
    ]


def test_threshold_by_hand():
    point = threshold_for(ladder(), rejects=0.1)
    assert (point.threshold, point.rejected, point.error) == (0.56, 0.1, pytest.approx(2 / 18))
    assert point.words == "rejects 10.0%, errs on 11.1% of the rest"


def test_a_threshold_rejects_what_classifying_with_it_rejects():
    rng = np.random.default_rng(6)
    rows = rng.dirichlet((1, 1, 0.3), 500)
    samples = [Sample(Path("x"), "monocyte" if i % 2 else "neutrophil", "a", f"a/{i}", None) for i in range(500)]
    names = ("neutrophil", "monocyte", "not_a_cell")
    point = threshold_for(scored_from(samples, rows, names), rejects=0.4)
    again = scored_from(samples, rows, names, point.threshold)
    kept = [item for item in again if item.said not in ("unidentified", "not_a_cell")]
    assert point.rejected == pytest.approx(1 - len(kept) / 500)
    assert 0.39 < point.rejected <= 0.4
    assert point.error == pytest.approx(sum(item.said != item.sample.label for item in kept) / len(kept))
    assert sum(rejected(item.prediction, point.threshold) for item in again) == 500 - len(kept)


def test_the_threshold_keeps_to_its_floor():
    point = threshold_for(ladder(), rejects=0.1, at_least=0.7)
    assert (point.threshold, point.rejected) == (0.7, pytest.approx(9 / 20))


def test_a_known_cell_said_to_be_none_is_rejected_at_any_threshold():
    items = [*ladder(), *[cell("monocyte", "not_a_cell", 0.99)] * 5]
    point = threshold_for(items, rejects=0.2)
    assert (point.threshold, point.rejected) == (0.52, 0.2)
    point = threshold_for(items, rejects=0.1)
    assert (point.threshold, point.rejected, point.error) == (0.0, 0.2, 4 / 20)


def test_what_is_no_cell_and_classes_unknown_to_the_model_are_not_known_cells():
    others = [cell("not_a_cell", "monocyte", 0.51)] * 9 + [cell("platelet", "monocyte", 0.51)] * 9
    assert threshold_for([*ladder(), *others], rejects=0.1) == threshold_for(ladder(), rejects=0.1)
    assert risk_coverage([*ladder(), *others], 0.6).known == 20


def test_the_curve_rises_in_what_it_rejects_and_marks_the_models_threshold():
    curve = risk_coverage(ladder(), 0.6)
    assert (curve.model.threshold, curve.model.rejected, curve.model.error) == (0.6, 0.2, 1 / 16)
    shares = [point.rejected for point in curve.points]
    assert shares == sorted(set(shares))
    assert shares[0] == 0
    assert shares[-1] == 0.95
    assert curve.points[3].error == 1 / 17


def test_a_threshold_above_everything_leaves_nothing():
    model = risk_coverage(ladder(), 0.95).model
    assert (model.rejected, model.error) == (1, None)
    assert model.words == "rejects 100.0%, leaves nothing"
