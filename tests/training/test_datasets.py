from __future__ import annotations

import csv
import json
import random

import pytest

from edge_wbc.errors import SourceError
from tests.data import NO_REAL, REAL, class_folders
from training.datasets import (
    SPLITS,
    Sample,
    deal_folds,
    folds,
    label_of,
    lock_groups,
    locked_groups,
    read_all,
    read_boxes,
    read_class_folders,
    read_kaggle,
    split,
    voc_boxes,
)


def sample(label="neutrophil", group="a/1", source="a"):
    return Sample(None, label, source, group, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("NEUTROPHIL", "neutrophil"),
        ("Lymphocyte", "lymphocyte"),
        ("ig", "immature granulocyte"),
        ("IG", "immature granulocyte"),
        ("Immature_Granulocyte", "immature granulocyte"),
        ("immature granulocyte", "immature granulocyte"),
        ("artefact", None),
        ("", None),
    ],
)
def test_folder_names_are_read_without_regard_to_case(name, label):
    assert label_of(name) == label


def test_class_folders_are_read_and_other_folders_left_out(tmp_path):
    class_folders(tmp_path, ("Neutrophil", "LYMPHOCYTE"), 2)
    (tmp_path / "notes").mkdir()
    samples = read_class_folders(tmp_path)
    assert sorted(s.label for s in samples) == ["lymphocyte"] * 2 + ["neutrophil"] * 2
    assert len({s.group for s in samples}) == 2  # files of one name in two folders: held together, never split apart


def test_a_folder_without_a_class_says_how_to_name_them(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(SourceError, match="neutrophil"):
        read_class_folders(tmp_path)
    with pytest.raises(SourceError, match="not a folder"):
        read_class_folders(tmp_path / "nothing")


def test_kaggle_images_are_grouped_by_their_photograph(tmp_path):
    class_folders(tmp_path / "TRAIN", ("NEUTROPHIL",), 2)
    originals = tmp_path / "originals.csv"
    originals.write_text("class,file,original,group\nNEUTROPHIL,0.png,7,5\nNEUTROPHIL,1.png,5,5\n")
    assert {s.group for s in read_kaggle(tmp_path / "TRAIN", originals)} == {"bccd/5"}
    originals.write_text("class,file,original,group\nNEUTROPHIL,0.png,7,5\n")
    with pytest.raises(SourceError, match="which photograph"):
        read_kaggle(tmp_path / "TRAIN", originals)


def test_boxes_are_grouped_by_slide_and_unknown_labels_refused(tmp_path):
    header = "image,slide,xmin,ymin,xmax,ymax,label\n"
    (tmp_path / "boxes.csv").write_text(header + "a.jpg,S-1,10.4,20.6,30,40,monocyte\n")
    (found,) = read_boxes(tmp_path, "there")
    assert (found.group, found.label, tuple(found.box)) == ("there/S-1", "monocyte", (10, 21, 20, 19))
    (tmp_path / "boxes.csv").write_text(header + "a.jpg,S-1,10,20,30,40,blob\n")
    with pytest.raises(SourceError, match="blob"):
        read_boxes(tmp_path, "there")


def test_voc_boxes_of_one_kind(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22</ymax></bndbox>"
    path = tmp_path / "a.xml"
    path.write_text(
        f"<annotation><object><name>RBC</name>{box}</object><object><name>WBC</name>{box}</object></annotation>"
    )
    assert [tuple(found) for found in voc_boxes(path)] == [(1, 2, 10, 20)]


def test_a_tenth_of_the_groups_of_each_class_is_locked_whatever_the_order():
    samples = [sample("neutrophil", f"a/{i}") for i in range(40)] + [sample("monocyte", f"a/m{i}") for i in range(5)]
    locked = lock_groups(samples)
    assert sum(group.startswith("a/m") for group in locked) == 1
    assert len(locked) == 4 + 1
    random.Random(0).shuffle(samples)
    assert lock_groups(samples) == locked


def test_a_class_with_fewer_than_three_groups_keeps_them_all():
    assert lock_groups([sample(group="a/1"), sample(group="a/2")]) == []


def test_split_leaves_no_group_on_both_sides():
    samples = [sample(group=f"a/{i % 7}") for i in range(50)]
    training, held = split(samples, frozenset({"a/3", "a/5"}))
    assert {s.group for s in held} == {"a/3", "a/5"}
    assert not {s.group for s in training} & {s.group for s in held}
    assert len(training) + len(held) == 50


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_the_committed_splits_are_what_the_rule_chooses_from_the_real_data():
    samples = read_all(REAL)
    assert frozenset(lock_groups(samples)) == locked_groups()
    training, held = split(samples, locked_groups())
    photographs = {s.group for s in training if s.source in ("kaggle", "bccd")}
    assert not photographs & {s.group for s in held}
    assert {s.label for s in training} == {s.label for s in samples}
    assert 0.06 < len(held) / len(samples) < 0.15


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_every_kaggle_image_knows_its_photograph():
    with (REAL / "kaggle_train_originals.csv").open() as lines:
        assert len(read_kaggle(REAL / "kaggle" / "TRAIN", REAL / "kaggle_train_originals.csv")) == len(
            list(csv.DictReader(lines))
        )


def test_splits_file_is_sorted_and_without_doubles():
    locked = json.loads(SPLITS.read_text())["locked"]
    assert locked == sorted(set(locked))
    assert any(group.startswith("bccd/") for group in locked)


def test_folds_share_the_groups_of_each_class_evenly_whatever_the_order():
    samples = [sample("neutrophil", f"a/{i}") for i in range(23)] + [sample("monocyte", f"a/m{i}") for i in range(7)]
    dealt = deal_folds(samples, 5)
    assert set(dealt) == {s.group for s in samples}
    for prefix, groups in (("a/m", 7), ("a/", 30)):
        sizes = [sum(fold == i for group, fold in dealt.items() if group.startswith(prefix)) for i in range(5)]
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) == groups
    random.Random(0).shuffle(samples)
    assert deal_folds(samples, 5) == dealt


def test_a_group_of_two_classes_is_in_one_fold():
    dealt = deal_folds([sample("monocyte", "a/1")] * 2 + [sample("neutrophil", "a/1")], 5)
    assert list(dealt) == ["a/1"]


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_the_committed_folds_are_what_the_rule_deals():
    samples = read_kaggle(REAL / "kaggle" / "TRAIN", REAL / "kaggle_train_originals.csv")
    assert deal_folds(samples) == folds()
    assert {(s.label, folds()[s.group]) for s in samples} == {(s.label, i) for s in samples for i in range(5)}
