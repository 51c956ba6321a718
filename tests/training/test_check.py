from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_wbc.errors import SourceError
from edge_wbc.types import Box
from tests.data import NO_REAL, REAL, class_folders
from training.check import cells_sha256, digests, folders, refuse_doubles, with_others
from training.datasets import Sample, locked_groups, read_all, read_class_folders


def sample(path, label="neutrophil", group="a/1", box=None):
    return Sample(Path(path), label, "a", group, box)


FILES = {Path("a"): "1", Path("b"): "1", Path("c"): "2"}


def test_one_image_under_two_labels_is_refused_naming_both():
    with pytest.raises(SourceError, match=r"^a \(neutrophil\) and b \(monocyte\) are one image"):
        refuse_doubles([sample("a"), sample("c"), sample("b", "monocyte")], FILES, ())


def test_two_boxes_of_one_field_may_have_two_labels():
    refuse_doubles([sample("a", box=Box(0, 0, 9, 9)), sample("a", "monocyte", box=Box(20, 0, 9, 9))], FILES, ())


def test_one_image_locked_and_trained_on_is_refused_whichever_comes_first():
    cells = [sample("a", group="x/1"), sample("c", group="x/3"), sample("b", group="x/2")]
    for locked in ({"x/1"}, {"x/2"}):
        with pytest.raises(SourceError, match="leak"):
            refuse_doubles(cells, FILES, locked)
    refuse_doubles(cells, FILES, {"x/3"})
    refuse_doubles(cells, FILES, {"x/1", "x/2"})


def test_folders_that_give_no_cell_are_named(tmp_path):
    class_folders(tmp_path, ("neutrophil", "blasts"), 1)
    (tmp_path / "monocyte").mkdir()
    (tmp_path / "notes").mkdir()
    found = folders(tmp_path)
    assert found.unknown == (tmp_path / "blasts",)
    assert found.empty == (tmp_path / "monocyte",)
    unknown, empty = found.warnings()
    assert f"{tmp_path / 'blasts'}: passed over" in unknown
    assert f"{tmp_path / 'monocyte'}: no image" in empty


def test_folders_beside_the_sets_are_named(tmp_path):
    class_folders(tmp_path / "pbc", ("neutrophil", "blasts"), 1)
    class_folders(tmp_path, ("monocyte",), 1)
    found = folders(tmp_path)
    assert found.unknown == (tmp_path / "pbc" / "blasts",)
    assert found.aside == (tmp_path / "monocyte",)


def test_all_unreadable_images_are_counted(tmp_path):
    cells = read_class_folders(class_folders(tmp_path, ("neutrophil",), 5))
    error = SourceError("as it was")
    assert with_others(error, cells) is error
    cells[1].path.write_bytes(b"")
    assert "1.png: the file is empty" in str(with_others(error, cells))
    cells[3].path.write_bytes(b"junk")
    cells[4].path.write_bytes(b"junk")
    assert str(with_others(error, cells)) == (
        f"{cells[1].path}: the file is empty; copy it again; 2 more can't be read, the next is {cells[3].path}"
    )


def test_the_hash_of_a_list_follows_everything_but_where_the_folder_lies(tmp_path):
    one = read_class_folders(class_folders(tmp_path / "cells", ("neutrophil", "monocyte"), 2), "s")
    shutil.move(tmp_path / "cells", tmp_path / "moved")
    two = read_class_folders(tmp_path / "moved", "s")
    digest = cells_sha256(one, tmp_path / "cells")
    assert digest == cells_sha256(two, tmp_path / "moved")
    first = two[0]
    for other in (
        Sample(first.path, "basophil", "s", first.group, None),
        Sample(first.path, first.label, "s", "s/other", None),
        Sample(first.path, first.label, "s", first.group, Box(1, 2, 3, 4)),
        Sample(first.path.with_name("other.png"), first.label, "s", first.group, None),
    ):
        assert cells_sha256([other, *two[1:]], tmp_path / "moved") != digest
    assert cells_sha256(two[::-1], tmp_path / "moved") != digest


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.is_dir(), reason=NO_REAL)
def test_the_real_data_leak_nothing_and_contradict_themselves_nowhere():
    samples = read_all(REAL)
    refuse_doubles(samples, digests(samples), locked_groups())
    assert folders(REAL).warnings() == []
