from __future__ import annotations

from pathlib import Path

from calibration.sampling import choose, every_second_group, listed
from training.datasets import Sample, read_class_folders


def cell(label, source, group, number):
    return Sample(Path(f"{source}-{group}-{number}.png"), label, source, f"{source}/{group}", None)


CELLS = (
    *(cell("neutrophil", "a", "many", i) for i in range(40)),
    *(cell("neutrophil", "a", "few", i) for i in range(2)),
    *(cell("neutrophil", "b", "x", i) for i in range(5)),
    *(cell("basophil", "a", "rare", i) for i in range(3)),
)


def test_classes_then_sources_then_photographs_have_their_turn():
    chosen = choose(CELLS, 8, 1)
    assert [item.label for item in chosen].count("basophil") == 3
    neutrophils = [item for item in chosen if item.label == "neutrophil"]
    assert [item.source for item in neutrophils].count("b") in (2, 3)
    assert {item.group for item in neutrophils} == {"a/many", "a/few", "b/x"}


def test_the_same_cells_give_the_same_choice_in_the_same_order():
    assert choose(CELLS, 9, 1) == choose(tuple(reversed(CELLS)), 9, 1)
    assert set(choose(CELLS, 9, 1)) != set(choose(CELLS, 9, 2))


def test_no_cell_twice_and_all_where_there_are_no_more():
    assert sorted(map(str, choose(CELLS, 999, 1))) == sorted(map(str, CELLS))


def test_the_list_holds_a_hash_of_each_file(folders):
    samples = read_class_folders(folders)[:2]
    rows = listed(samples, folders)
    assert rows[0]["file"] == samples[0].path.relative_to(folders).as_posix()
    assert len({row["sha256"] for row in rows}) == 2


def test_every_second_group_of_each_class_is_held_whatever_the_order():
    samples = [cell(label, "a", f"{label} {i // 3}", i) for label in ("neutrophil", "basophil") for i in range(18)]
    held = every_second_group(samples, 1)
    assert len(held) == 6
    assert sum("basophil" in group for group in held) == 3
    assert every_second_group(samples[::-1], 1) == held
    assert every_second_group(samples, 2) != held
