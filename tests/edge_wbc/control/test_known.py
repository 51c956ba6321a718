from __future__ import annotations

import io

import numpy as np
import pytest

from edge_wbc.control.history import rows
from edge_wbc.control.known import LEAST_CELLS, MOST_CELLS, choice, choose, choose_golden, known
from edge_wbc.errors import InputRefused
from edge_wbc.golden import golden
from edge_wbc.review.decide import amend, explain, move, sign
from edge_wbc.review.review import Review
from edge_wbc.sessions.schema import opened


def test_the_golden_crops_are_known_where_nothing_was_set(place, model):
    found = known(place, model.manifest.input)
    assert found.choice.drawn
    assert found.choice.row == 0
    assert np.array_equal(found.crops, golden(64).crops)
    assert found.labels == golden(64).labels
    assert not place.exists(), "to look writes nothing"


def test_a_signed_session_gives_its_crops_and_the_classes_that_were_signed(recorded, place, model):
    review = Review(recorded())
    was = review.class_of(7)
    to = "lymphocyte" if was != "lymphocyte" else "monocyte"
    move(review, "anna", {7: was, 8: review.class_of(8)}, to)
    sign(review, "anna")
    chosen = choose(place, "otto", review)
    assert (chosen.who, chosen.signed_by, chosen.session_id, chosen.chain) == (
        *("otto", "anna", review.folder.name, review.head),
    )
    assert not chosen.drawn
    found = known(place, model.manifest.input)
    assert found.choice == chosen == choice(place)
    assert np.array_equal(found.crops, golden(64).crops)
    expected = list(golden(64).labels)
    expected[6:8] = [to, to]
    assert list(found.labels) == expected
    assert sum(chosen.by_class.values()) == 64


def test_only_a_signed_review_gives_a_set(recorded, place, signed):
    amend(signed, "anna", "looked again")
    with pytest.raises(InputRefused, match="not signed; review and sign it first"):
        choose(place, "otto", signed)
    assert rows(place, "set") == ()


def test_cells_that_were_changed_after_signing_give_none(signed, place):
    with opened(signed.folder, write=True) as connection:
        connection.execute("UPDATE crops SET pixels = zeroblob(12288) WHERE cell = 3")
    with pytest.raises(InputRefused, match="not those that were signed"):
        choose(place, "otto", signed)


def test_cells_without_a_class_are_left_out_and_too_few_are_refused(recorded, place):
    review = Review(recorded(crops=golden(64).crops[: LEAST_CELLS + 1], labels=golden(64).labels[: LEAST_CELLS + 1]))
    for number in (1, 2):
        move(review, "anna", {number: review.class_of(number)}, "not classed")
    explain(review, "anna", "not classed", "smudges")
    sign(review, "anna")
    with pytest.raises(InputRefused, match=f"has {LEAST_CELLS - 1} cells with a class and a crop; a set needs"):
        choose(place, "otto", review)


def test_of_many_cells_each_class_gives_in_turn(recorded, place, model):
    labels = ("neutrophil",) * 300 + ("basophil",) * 5
    crops = np.random.default_rng(1).integers(0, 256, (305, 64, 64, 3), np.uint8)
    review = Review(recorded(crops=crops, labels=labels))
    sign(review, "anna")
    choose(place, "otto", review)
    found = known(place, model.manifest.input)
    assert len(found.labels) == MOST_CELLS
    assert found.labels.count("basophil") == 5
    assert np.array_equal(found.crops[-5:], crops[300:])
    assert np.array_equal(found.crops[:251], crops[:251])


def changed_crop(path):
    with np.load(path) as file:
        parts = dict(file)
    parts["crops"] = parts["crops"].copy()
    parts["crops"][0, 0, 0, 0] ^= 1
    np.savez(path, **parts)


def changed_label(path):
    with np.load(path) as file:
        parts = dict(file)
    parts["labels"] = np.roll(parts["labels"], 1)
    np.savez(path, **parts)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed_crop, "the locked set was changed"),
        (changed_label, "the locked set was changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "the locked set was changed"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_a_locked_set_that_was_changed_is_refused(signed, place, model, spoil, said):
    spoil(place / choose(place, "otto", signed).file)
    with pytest.raises(InputRefused, match=f"{said}.*set one again by `edge-wbc control set`") as caught:
        known(place, model.manifest.input)
    assert len(str(caught.value).splitlines()) == 1


def test_a_set_never_runs_what_a_file_holds(signed, place, model, monkeypatch):
    """Even with a hash that fits, pickled objects are not read."""
    chosen = choose(place, "otto", signed)
    file = io.BytesIO()
    np.savez(file, crops=np.zeros((2, 64, 64, 3), np.uint8), labels=np.array([{}, {}], dtype=object))
    (place / chosen.file).write_bytes(file.getvalue())
    monkeypatch.setattr("edge_wbc.control.known.hashlib.sha256", lambda data: _Hash(chosen.sha256))
    with pytest.raises(InputRefused, match="no set of cells"):
        known(place, model.manifest.input)


class _Hash:
    def __init__(self, digest):
        self._digest = digest

    def hexdigest(self):
        return self._digest


def test_a_model_with_other_crops_is_refused(signed, place, model):
    choose(place, "otto", signed)
    with pytest.raises(InputRefused, match="crops of 64 pixels, this model takes 96"):
        known(place, model.manifest.input.model_copy(update={"size_px": 96}))


def test_the_golden_crops_can_be_taken_again(signed, place, model):
    choose(place, "otto", signed)
    chosen = choose_golden(place, "anna")
    assert chosen.drawn
    assert chosen.row == 2
    assert known(place, model.manifest.input).choice == chosen
