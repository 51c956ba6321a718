from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: nothing can be trained")

from edge_wbc.errors import ModelError, SourceError, UsageError  # noqa: E402
from tests.data import class_folders  # noqa: E402
from training import weights  # noqa: E402
from training.check import folders  # noqa: E402
from training.datasets import Sample, read_class_folders  # noqa: E402
from training.leukonet import Architecture, Leukonet  # noqa: E402
from training.prepare import join_same_images, read_folder  # noqa: E402
from training.tune import Start, absent, hold_out, open_start, refuse_unknown, right  # noqa: E402


def sample(label, group):
    return Sample(None, label, "a", group, None)  # type: ignore[arg-type]


def held(samples):
    return [cell for cell, out in zip(samples, hold_out(samples), strict=True) if out]


def test_a_fifth_of_each_class_is_held_out_and_nothing_of_a_scarce_one():
    samples = [sample("neutrophil", f"a/n{i}") for i in range(20)] + [sample("monocyte", f"a/m{i}") for i in range(5)]
    samples += [sample("platelet", f"a/b{i}") for i in range(4)]
    assert Counter(cell.label for cell in held(samples)) == {"neutrophil": 4, "monocyte": 1}
    assert {cell.group for cell in held(samples[::-1])} == {cell.group for cell in held(samples)}


def test_no_group_is_parted_and_files_of_one_name_in_all_classes_are_still_a_fifth():
    samples = [sample(label, f"a/{i}") for label in ("neutrophil", "monocyte", "basophil") for i in range(10)]
    out = held(samples)
    assert Counter(cell.label for cell in out) == {"neutrophil": 2, "monocyte": 2, "basophil": 2}
    assert not {cell.group for cell in out} & {cell.group for cell in samples if cell not in out}


def test_a_group_with_a_cell_of_a_scarce_class_trains():
    for name in "bcdefgh":
        samples = [sample("basophil", f"{name}/{i}") for i in range(10)]
        samples += [sample("neutrophil", f"{name}/{i}") for i in range(4)]
        assert held(samples)
        assert not {f"{name}/{i}" for i in range(4)} & {cell.group for cell in held(samples)}


def test_copies_of_an_image_are_never_parted(tmp_path):
    class_folders(tmp_path / "cells", ("neutrophil", "monocyte"), 6)
    (tmp_path / "cells" / "monocyte" / "copy.png").write_bytes((tmp_path / "cells" / "monocyte" / "3.png").read_bytes())
    cells = join_same_images(read_folder(tmp_path / "cells", "leukonet", lambda line: None))
    groups = {cell.path.name: cell.group for cell in cells.samples if cell.label == "monocyte"}
    assert groups["copy.png"] == groups["3.png"]
    assert len(set(groups.values())) == 6


def test_a_shipped_model_is_found_by_its_name():
    start = open_start("leukonet")
    assert start.name == "leukonet"
    assert len(start.labels) == 9


def test_what_to_start_from_must_be_weights(tmp_path):
    with pytest.raises(UsageError, match=r"\(leukonet.*\)"):
        open_start("resnet")
    with pytest.raises(UsageError, match="neither"):
        open_start(str(tmp_path))
    (tmp_path / "w.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="not a safetensors file"):
        open_start(str(tmp_path / "w.safetensors"))
    weights.save(tmp_path / "w.safetensors", Leukonet(Architecture(2)), ("neutrophil", "monocyte"), {})
    assert open_start(str(tmp_path / "w.safetensors")).labels == ("neutrophil", "monocyte")


def test_classes_the_model_does_not_know_are_refused_naming_its_own(tmp_path):
    start = Start("m", Leukonet(Architecture(2)), ("neutrophil", "monocyte"), "")
    root = class_folders(tmp_path / "known", ("neutrophil", "monocyte"), 1)
    refuse_unknown(read_class_folders(root), folders(root), start)
    for name in ("blasts", "basophil"):
        root = class_folders(tmp_path / name, ("neutrophil", name), 1)
        with pytest.raises(SourceError, match=f"{name}.*it knows neutrophil, monocyte"):
            refuse_unknown(read_class_folders(root), folders(root), start)


def test_absent_classes_and_right_answers_are_counted():
    labels = ("neutrophil", "monocyte")
    samples = [sample("neutrophil", "a/1"), sample("neutrophil", "a/2")]
    assert absent(samples, labels) == ["monocyte"]
    network = Leukonet(Architecture(2)).eval()
    crops = np.zeros((2, 96, 96, 3), np.uint8)
    for favoured, named in ((0, [True, True]), (1, [False, False])):
        with torch.no_grad():
            network.head.bias[:] = torch.tensor([5.0 - 9 * favoured, 0.0])
        assert right(network, labels, crops, samples) == named
