from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.engines.base import open_engine
from edge_wbc.errors import SourceError
from edge_wbc.manifest import load_model
from edge_wbc.types import Prediction
from tests.data import class_folders, drawn_cell
from training.datasets import Sample, read_class_folders
from training.evaluate import Scored, by_photograph, forced, report, score, scored_from
from training.figures import caveats


def scored(label, said, probabilities=None, group="a/1"):
    prediction = None
    if probabilities:
        prediction = Prediction(said, max(probabilities.values()), probabilities)
    return Scored(Sample(Path("x.png"), label, "a", group, None), said, prediction)


@pytest.fixture(scope="module")
def engine():
    engine = open_engine("onnxruntime", load_model())
    yield engine
    engine.close()


def test_figures_of_a_small_table():
    rows = (
        [scored("neutrophil", "neutrophil")] * 6
        + [scored("neutrophil", "monocyte")] * 2
        + [scored("monocyte", "monocyte")] * 1
        + [scored("monocyte", "unidentified")] * 1
    )
    found = report(rows)
    assert found.images == 10
    assert found.accuracy == pytest.approx(0.7)
    assert found.balanced_accuracy == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert found.per_class["neutrophil"]["recall"] == pytest.approx(0.75)
    assert found.per_class["neutrophil"]["precision"] == 1
    assert found.per_class["monocyte"]["precision"] == pytest.approx(1 / 3)
    assert found.per_class["monocyte"]["n"] == 2
    assert found.per_class["neutrophil"]["interval"] is None  # all of one photograph
    assert found.groups == found.per_class["neutrophil"]["groups"] == 1
    assert found.confusion["monocyte"] == {"monocyte": 1, "unidentified": 1}


def test_accuracy_per_photograph_and_the_worst_of_them():
    rows = [
        *[scored("monocyte", "monocyte", group="a/1")] * 9,
        *[scored("monocyte", "platelet", group="a/1")] * 1,
        *[scored("neutrophil", "eosinophil", group="a/2")] * 2,
        *[scored("neutrophil", "neutrophil", group="a/3")] * 1,
    ]
    found = report(rows)
    assert found.accuracy == pytest.approx(10 / 13)
    assert found.accuracy_per_group == pytest.approx((0.9 + 0 + 1) / 3)
    assert (found.groups, found.per_class["neutrophil"]["groups"]) == (3, 2)
    assert [(shown.group, shown.right, shown.images, shown.said) for shown in found.worst] == [
        ("a/2", 0, 2, {"eosinophil": 2}),
        ("a/1", 9, 10, {"monocyte": 9, "platelet": 1}),
    ]
    assert found.accuracy_interval[0] < found.accuracy < found.accuracy_interval[1]
    assert list(found.per_class) == ["neutrophil", "monocyte"], "in the project's order"


def test_a_report_names_twenty_photographs_at_most():
    found = report([scored("monocyte", "platelet", group=f"a/{i}") for i in range(30)])
    assert (len(found.worst), found.groups) == (20, 30)
    assert len(by_photograph([scored("monocyte", "platelet", group=f"a/{i}") for i in range(30)])) == 30


def test_probabilities_from_elsewhere_are_scored_like_the_engines():
    samples = [scored("monocyte", "").sample, scored("neutrophil", "").sample]
    found = scored_from(samples, np.array([[0.3, 0.7], [0.55, 0.45]]), ("neutrophil", "monocyte"), 0.6)
    assert [item.said for item in found] == ["monocyte", "unidentified"]
    assert found[1].prediction == Prediction("unidentified", 0.55, {"neutrophil": 0.55, "monocyte": 0.45})


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (["a"] * 4, "One photograph only: there is no interval."),
        (["a", "b", "a", "b"], "2 photographs are few: the intervals are rather too narrow."),
        (list("abcd"), "Each image counts as its own photograph: if several show one slide, intervals are too narrow."),
    ],
)
def test_what_a_reader_of_the_intervals_must_know(groups, words):
    assert words in caveats(report([scored("monocyte", "monocyte", group=group) for group in groups]))


def test_a_class_of_one_photograph_is_named():
    rows = [scored("monocyte", "monocyte", group=f"a/{i // 2}") for i in range(60)]
    assert caveats(report(rows)) == []
    assert caveats(report([*rows, scored("platelet", "platelet", group="a/0")])) == [
        "One photograph only of platelet: no interval there, nor for the balanced accuracy."
    ]


def test_missed_and_unreadable_cells_are_errors():
    found = report([scored("monocyte", "monocyte"), scored("monocyte", "missed"), scored("monocyte", "unreadable")])
    assert found.accuracy == pytest.approx(1 / 3)


def test_precision_of_what_was_never_said_is_none():
    assert report([scored("monocyte", "platelet")]).per_class["monocyte"]["precision"] is None


def test_nothing_to_score_is_refused():
    with pytest.raises(SourceError):
        report([])


def test_forced_names_the_most_probable_class():
    row = scored("monocyte", "unidentified", {"monocyte": 0.4, "platelet": 0.3})
    rows = [row, scored("monocyte", "missed"), scored("monocyte", "monocyte"), scored("monocyte", "platelet")]
    assert [item.said for item in forced(rows)] == ["monocyte", "missed", "monocyte", "platelet"]
    assert (report(rows).accuracy, report(rows).accuracy_forced) == (0.25, 0.5)


def test_field_mode_misses_what_cell_mode_takes_from_the_centre(tmp_path, engine):
    (tmp_path / "monocyte").mkdir()
    cv2.imwrite(str(tmp_path / "monocyte" / "blank.png"), np.full((200, 200, 3), 225, np.uint8))
    cv2.imwrite(str(tmp_path / "monocyte" / "cell.png"), drawn_cell(1))
    samples = read_class_folders(tmp_path)
    in_field = {item.sample.path.stem: item.said for item in score(samples, engine, "field", lambda done: None)}
    in_cell = {item.sample.path.stem: item.said for item in score(samples, engine, "cell", lambda done: None)}
    assert in_field["blank"] == "missed"
    assert in_field["cell"] != "missed"
    assert "missed" not in in_cell.values()


def test_every_image_is_scored_once_over_batch_borders(tmp_path, engine):
    samples = read_class_folders(class_folders(tmp_path, ("neutrophil", "monocyte"), 17))
    steps: list[int] = []
    items = score(samples, engine, "cell", steps.append)
    assert sorted(str(item.sample.path) for item in items) == sorted(str(sample.path) for sample in samples)
    assert steps == list(range(1, 35))


def test_the_verb_prints_the_contract(tmp_path):
    class_folders(tmp_path, ("NEUTROPHIL", "ig"), 2)
    (tmp_path / "NEUTROPHIL" / "broken.jpg").write_text("no image")
    evaluate = [sys.executable, "-m", "edge_wbc", "evaluate", str(tmp_path), "--model", "leukonet"]
    done = subprocess.run([*evaluate, "--mode", "cell", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 3  # one image can't be read; the figures are complete all the same
    printed = json.loads(done.stdout)
    figures = {
        *(
            "images",
            "groups",
            "accuracy",
            "accuracy_interval",
            "accuracy_forced",
            "accuracy_per_group",
            "accuracy_per_group_interval",
        ),
        *("balanced_accuracy", "balanced_accuracy_interval", "per_class", "confusion", "worst", "unreadable"),
        *("reliability", "risk_coverage"),
    }
    assert printed.keys() == figures | {
        *("model", "graph_sha256", "engine", "mode", "trained_on", "by_source", "notice")
    }
    assert printed["graph_sha256"] == load_model().manifest.graph.sha256
    assert printed["trained_on"] == []
    assert printed["images"] == 5
    assert set(printed["per_class"]) == {"neutrophil", "immature granulocyte"}
    assert printed["per_class"]["neutrophil"].keys() == {"recall", "interval", "precision", "n", "groups"}
    assert printed["confusion"]["neutrophil"]["unreadable"] == 1
    (part,) = printed["by_source"].values()
    assert part == {name: printed[name] for name in figures}
    assert printed["reliability"].keys() == {"crops", "ece", "by_chance", "by_chance_clustered", "bins"}
    assert printed["reliability"]["crops"] == printed["risk_coverage"]["known"] == 4
    assert printed["risk_coverage"]["model"]["threshold"] == load_model().manifest.labels.unidentified_below
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_cells_the_model_was_trained_on_are_pointed_out(tmp_path, edge_wbc_command):
    data = class_folders(tmp_path / "pbc", ("neutrophil", "monocyte"), 1)
    done = edge_wbc_command("evaluate", data.parent, "--mode", "cell", "--json", "--page", tmp_path / "page.html")
    assert done.json["trained_on"] == ["pbc"]
    told = "he model was trained on most cells of pbc; give --locked to leave them out"
    assert done.said() == [f"edge-wbc: t{told}"]
    assert f"T{told}." in (tmp_path / "page.html").read_text()


def test_the_table_for_people_has_intervals(tmp_path, edge_wbc_command):
    class_folders(tmp_path, ("neutrophil", "monocyte"), 3)
    done = edge_wbc_command("evaluate", tmp_path, "--mode", "cell")
    assert done.code == 0
    assert "95 % interval" in done.out
    assert re.search(r"accuracy \d+\.\d% \(\d+\.\d%–\d+\.\d%\), per photograph", " ".join(done.out.split()))
    assert "3 photographs are few" in " ".join(done.out.split())
