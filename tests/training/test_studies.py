from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.errors import UsageError
from edge_wbc.types import CLASSES, NOT_A_CELL
from training import studies
from training.datasets import Sample
from training.run_studies import carry_out, outcome_path, prepare
from training.studies import FOUR, STUDIES, Run, runs_of
from training.summary import read_outcome, summarise
from training.train import Recipe


def cells():
    """Two of each class and group from every source, as the real data has them."""
    samples = []
    for i in range(40):
        samples.append(Sample(Path(f"k{i}.jpeg"), FOUR[i % 4], "kaggle", f"bccd/{i // 2}", None))
        samples.append(Sample(Path(f"b{i}.jpg"), FOUR[i % 4], "bccd", f"bccd/{i // 2}", None))
        samples.append(Sample(Path(f"p{i}.jpg"), CLASSES[i % 8], "pbc", f"pbc/{i}", None))
        samples.append(Sample(Path(f"c{i}.jpg"), CLASSES[i % 5], "chula", f"chula/S-{i % 5}", None))
        samples.append(Sample(Path(f"n{i}.jpg"), NOT_A_CELL, "chula", f"chula/S-{i % 5}", None))
    return samples


FOLDS = {f"bccd/{i}": i % 5 for i in range(20)}
LOCKED = frozenset({"bccd/3", "pbc/5", "pbc/6", "chula/S-2"})


@pytest.mark.parametrize("study", list(STUDIES))
def test_no_photograph_is_on_both_sides_and_every_run_has_a_name_of_its_own(study):
    samples = cells()
    runs = runs_of(study, samples, FOLDS, LOCKED)
    assert runs
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        assert run.trained_on
        assert run.tried_on
        assert not set(run.trained_on) & set(run.tried_on)
        if study not in ("random", "shots"):
            assert not {samples[i].group for i in run.trained_on} & {samples[i].group for i in run.tried_on}


def test_a_photograph_on_both_sides_is_refused(monkeypatch):
    monkeypatch.setitem(studies.STUDIES, "leaky", lambda *_: [Run("leaky/x", (0,), (1,), Recipe())])
    with pytest.raises(UsageError, match="leak"):
        runs_of("leaky", cells(), FOLDS, LOCKED)


def test_an_unknown_study_names_the_known_ones():
    with pytest.raises(UsageError, match="folds, random"):
        runs_of("fold", cells(), FOLDS, LOCKED)


def test_each_fold_is_tried_by_networks_that_saw_none_of_its_photographs():
    samples = cells()
    runs = runs_of("folds", samples, FOLDS, LOCKED)
    assert len(runs) == 5 * 3 * 2
    for run in runs:
        fold = int(run.name.split(" fold ")[1][0])
        assert {FOLDS[samples[i].group] for i in run.tried_on} == {fold}
        assert all(FOLDS.get(samples[i].group) != fold for i in run.trained_on)
    tried = [
        i for run in runs if run.name.startswith("folds/leukonet-4") and "seed 1" in run.name for i in run.tried_on
    ]
    assert sorted(tried) == [i for i, s in enumerate(samples) if s.source == "kaggle"]


def test_a_source_left_out_is_left_out_with_all_that_shows_its_photographs():
    samples = cells()
    runs = {run.name: run for run in runs_of("sources", samples, FOLDS, LOCKED)}
    trained = {samples[i].source for i in runs["sources/without kaggle seed 1"].trained_on}
    assert trained == {"pbc", "chula"}


def test_few_cells_come_from_at_most_half_of_a_classs_groups():
    samples = cells()
    for run in runs_of("shots", samples, FOLDS, LOCKED):
        if run.name.endswith("kaggle"):
            shots = int(run.name.split("/")[1].split()[0])
            for label in FOUR:
                given = [i for i in run.trained_on if samples[i].label == label]
                assert 0 < len(given) <= shots
                assert any(samples[i].label == label for i in run.tried_on)


def test_cells_are_given_of_classes_only_that_the_network_knows():
    samples = cells()
    (run,) = [run for run in runs_of("shots", samples, FOLDS, LOCKED) if run.name == "shots/5 of pbc"]
    assert {samples[i].label for i in run.trained_on} == set(FOUR)  # basophils: on a locked slide alone


def outcome(out, run, cells_of, labels, probabilities):
    path = outcome_path(out, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "run": run,
                "recipe": {"steps": 1},
                "trained_on": 1,
                "loss": 1.0,
                "seconds": 1,
                "labels": labels,
                "cells": cells_of,
                "probabilities": probabilities,
            }
        )
    )
    return Run(run, (), (), Recipe())


def test_seeds_are_counted_together_and_four_classes_apart_from_all(tmp_path):
    said = [[0.5, 0.2, 0.3], [0.1, 0.4, 0.5]]
    seen = [["a.jpg", "neutrophil", "kaggle", "bccd/1", True], ["b.jpg", "eosinophil", "kaggle", "bccd/2", False]]
    labels = ["neutrophil", "eosinophil", "not_a_cell"]
    runs = [outcome(tmp_path, f"sources/without kaggle seed {i}", seen, labels, said) for i in (1, 2)]
    (found,) = summarise("sources", runs, tmp_path)["figures"].values()
    assert found["all_labels"]["images"] == 4
    assert found["all_labels"]["accuracy"] == 0.5
    assert found["four_classes"]["accuracy"] == 1
    assert found["field_mode_of_four"]["accuracy"] == 0.5  # the second was not located


def test_a_class_never_seen_is_declined_below_the_threshold_that_known_cells_set(tmp_path):
    known = [[f"k{i}.jpg", "neutrophil", "pbc", f"pbc/{i}", True] for i in range(20)]
    strange = [[f"s{i}.jpg", "basophil", "pbc", f"pbc/s{i}", True] for i in range(4)]
    sure, unsure, nothing = [0.9, 0.05, 0.05], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]
    run = outcome(
        tmp_path,
        "classes/without basophil",
        known + strange,
        ["neutrophil", "eosinophil", "not_a_cell"],
        [sure] * 20 + [unsure, nothing, sure, sure],
    )
    found = summarise("classes", [run], tmp_path)["figures"]["without basophil"]
    assert found["unknown"] == 4
    assert found["unknown_rejected"] == 0.5
    assert found["known_rejected"] == 0


def test_a_study_goes_on_where_it_was_and_keeps_what_each_network_said(tmp_path):
    """Real networks, two steps each: the second call trains nothing."""
    from tests.data import class_folders
    from training.datasets import read_class_folders

    samples = read_class_folders(class_folders(tmp_path / "cells", ("neutrophil", "lymphocyte"), 4))
    out = tmp_path / "out"
    out.mkdir()
    prepare(out, samples, 64, lambda done: None)
    runs = [Run("x/one", (0, 1, 4, 5), (2, 6), Recipe()), Run("x/two", (0, 4), (1, 5), Recipe(), start="x/one")]
    told: list[str] = []
    carry_out(runs[:1], samples, out, 1, 2, told.append)
    carry_out(runs, samples, out, 1, 2, told.append)
    assert [line.split("  ")[0] for line in told] == ["x/one", "x/two"]
    found = read_outcome(outcome_path(out, "x/two"))
    assert [cell.path.name for cell in found.cells] == [samples[i].path.name for i in (1, 5)]
    assert np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-3)
