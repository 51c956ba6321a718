"""What decisions amount to: moves, undoing, explaining, reading blind, signing, amending, by several at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_wbc.errors import SessionError
from edge_wbc.review import decide
from edge_wbc.review.chain import appending, rows
from edge_wbc.review.decide import Conflict, Refused
from edge_wbc.review.review import CLASSES_OF_A_REVIEW, NOT_CLASSED, Review
from edge_wbc.types import UNIDENTIFIED
from tests.edge_wbc.review.conftest import MANY

NETWORK = {1: "neutrophil", 2: "lymphocyte", 3: UNIDENTIFIED, 4: "neutrophil", 5: "platelet"}
PEOPLE = ("ann", "bob")


def classes(review: Review) -> dict[int, str]:
    return {number: review.class_of(number) for number in review.cells}


def move(review: Review, who: str, number: int, to: str) -> None:
    decide.move(review, who, {number: review.class_of(number)}, to)


def ready(review: Review) -> None:
    """Nothing keeps it from being signed."""
    decide.explain(review, "ann", UNIDENTIFIED, "smudged")


ACTIONS = st.one_of(
    st.tuples(
        st.just("move"),
        st.sampled_from(PEOPLE),
        st.sets(st.integers(1, 5), min_size=1),
        st.sampled_from(CLASSES_OF_A_REVIEW),
    ),
    st.tuples(st.just("undo"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("sign or amend"), st.sampled_from(PEOPLE)),
)


@settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(actions=st.lists(ACTIONS, max_size=20))
def test_whatever_is_decided_a_review_opened_anew_has_what_the_live_ones_have(
    review: Review, in_memory: Path, actions: list[tuple[Any, ...]]
) -> None:
    folder = in_memory / review.folder.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(review.folder, folder)
    live = {who: Review(folder) for who in PEOPLE}
    preliminary = review.preliminary
    model: list[tuple[str, dict[int, str]]] = []
    """Who moved, and the classes before: an undo that is allowed leads back to them."""
    for kind, who, *what in actions:
        mine = live[who]
        mine.refresh()
        before = classes(mine)
        try:
            if kind == "move":
                decide.move(mine, who, {number: before[number] for number in what[0]}, what[1])
                assert classes(mine) == before | dict.fromkeys(what[0], what[1])
                model.append((who, {number: before[number] for number in what[0]}))
            elif kind == "undo":
                row = decide.undo(mine, who)
                last = max(i for i, (by, _) in enumerate(model) if by == who)
                assert classes(mine) == before | model[last][1]
                assert row.body["cells"] == {str(number): label for number, label in model.pop(last)[1].items()}
            elif mine.signed is None:
                for pile in mine.unexplained:
                    decide.explain(mine, who, pile, "seen")
                decide.sign(mine, who)
                model = []
            else:
                decide.amend(mine, who, "again")
        except Refused:
            assert classes(mine) == before
    for one in live.values():
        one.refresh()
    anew = Review(folder)
    for one in live.values():
        assert one.rows == anew.rows
        assert classes(one) == classes(anew)
        assert (one.head, one.version, one.signed) == (anew.head, anew.version, anew.signed)
        assert (one.verified, one.counts()) == (anew.verified, anew.counts())
        assert (one.explained, one.unexplained, one.moved) == (anew.explained, anew.unexplained, anew.moved)
        assert [one.last_move_of(who) for who in PEOPLE] == [anew.last_move_of(who) for who in PEOPLE]
        assert one.preliminary == anew.preliminary == preliminary
    assert {number: one.prediction.label for number, one in anew.cells.items()} == NETWORK


def test_the_verified_differential_is_that_of_the_cells_as_they_stand(review: Review) -> None:
    preliminary = review.preliminary
    assert (review.verified.total, review.verified.unidentified) == (3, 1)
    move(review, "ann", 3, "basophil")
    move(review, "ann", 4, NOT_CLASSED)
    verified = review.verified
    assert {name: share.count for name, share in verified.shares.items() if share.count} == {
        "neutrophil": 1,
        "lymphocyte": 1,
        "basophil": 1,
        "platelet": 1,
    }
    assert (verified.total, verified.unidentified, review.left(NOT_CLASSED)) == (3, 0, (4,))
    assert verified.shares["basophil"].percent == pytest.approx(100 / 3)
    assert review.preliminary == preliminary


def test_several_cells_go_at_once_and_come_back_at_once(review: Review) -> None:
    decide.move(review, "ann", {1: "neutrophil", 2: "lymphocyte"}, "monocyte", "folded nuclei")
    assert len(review.rows) == 1
    decide.undo(review, "ann")
    assert classes(review) == NETWORK
    assert review.moved == {}
    assert review.moved_by(1) is None
    assert [row.kind for row in review.history(1)] == ["moved", "undone"]
    with pytest.raises(Refused, match="nothing is left to undo"):
        decide.undo(review, "ann")


def test_of_two_on_the_same_cell_the_later_sees_the_earlier(review: Review) -> None:
    other = Review(review.folder)
    move(review, "ann", 1, "monocyte")
    with pytest.raises(Conflict) as conflict:
        decide.move(other, "bob", {1: "neutrophil", 2: "lymphocyte"}, "basophil")
    row = review.rows[0]
    assert str(conflict.value) == f"cell 1 was moved to monocyte by ann at {row.at_utc}; look again"
    assert (conflict.value.cells, conflict.value.rows) == ({1: "monocyte"}, {1: row})
    assert classes(other) == classes(review), "it has seen it now, and moved nothing"
    decide.undo(review, "ann")
    with pytest.raises(Conflict, match="cell 1 was moved to neutrophil by ann at"):
        decide.move(other, "bob", {1: "monocyte"}, "basophil")


def test_nobody_undoes_what_another_has_moved_since(review: Review) -> None:
    other = Review(review.folder)
    move(review, "ann", 1, "monocyte")
    other.refresh()
    move(other, "bob", 1, "basophil")
    move(other, "bob", 1, "monocyte")
    with pytest.raises(Conflict, match="cell 1 was moved again since; move the others back by hand"):
        decide.undo(review, "ann")
    decide.undo(other, "bob")
    decide.undo(other, "bob")
    decide.undo(review, "ann")
    assert classes(review) == NETWORK


@pytest.mark.parametrize(
    ("decision", "line"),
    [
        (lambda review: decide.move(review, "ann", {}, "monocyte"), "no cell was named; choose one"),
        (lambda review: decide.move(review, "ann", {6: "monocyte"}, "monocyte"), "no cell 6 in session"),
        (lambda review: decide.move(review, "ann", {1: "neutrophil"}, UNIDENTIFIED), "no class 'unidentified'; known"),
        (lambda review: decide.move(review, "ann", {1: "neutrophil"}, "monocyte", "x" * 1001), "1001 characters"),
        (lambda review: decide.label(review, "ann", "\ud800"), "a text that holds half characters; write it again"),
        (lambda review: decide.explain(review, "ann", "monocyte", "why"), "no pile 'monocyte'"),
        (lambda review: decide.explain(review, "ann", UNIDENTIFIED, " "), "no reason was given; write one"),
        (lambda review: decide.amend(review, "ann", "why"), "not signed; there is nothing to amend"),
        (lambda review: decide.read(review, "ann", {1: "monocytes"}), "no class 'monocytes'"),
        (lambda review: decide.sign(review, "ann"), "1 cell is unidentified; give each a class, or say why"),
    ],
)
def test_what_can_not_be_decided_is_refused_and_nothing_is_written(
    review: Review, decision: Callable[[Review], object], line: str
) -> None:
    with pytest.raises(Refused, match=f"^{line}"):
        decision(review)
    assert rows(review.folder) == ()
    assert not review.recorded.head.protected


def test_an_explanation_is_good_until_cells_come_or_go(review: Review) -> None:
    ready(review)
    move(review, "ann", 1, "monocyte")
    assert review.unexplained == {}, "the pile has not changed"
    move(review, "ann", 3, "monocyte")
    decide.undo(review, "ann")
    assert review.unexplained == {UNIDENTIFIED: 1}
    ready(review)
    move(review, "ann", 2, NOT_CLASSED)
    assert review.unexplained == {NOT_CLASSED: 1}
    with pytest.raises(Refused, match="1 cell is not classed; give each a class, or say why they stay so"):
        decide.sign(review, "ann")
    decide.explain(review, "ann", NOT_CLASSED, "crushed")
    move(review, "ann", 4, NOT_CLASSED)
    assert review.unexplained == {NOT_CLASSED: 2}


def test_what_is_signed_is_read_only_until_it_is_amended(review: Review) -> None:
    ready(review)
    decide.sign(review, "ann")
    assert review.signed is not None
    assert (review.version, review.signed.row.who, review.signed.version) == (1, "ann", 1)
    assert review.signed.row.body["differential"]["total"] == 3
    assert Review(review.folder).recorded.head.protected
    head = review.head
    for decision in (
        lambda: move(review, "ann", 1, "monocyte"),
        lambda: decide.undo(review, "ann"),
        lambda: decide.explain(review, "ann", UNIDENTIFIED, "why"),
        lambda: decide.label(review, "ann", "other"),
        lambda: decide.read(review, "eve", {1: "monocyte"}),
        lambda: decide.sign(review, "ann"),
    ):
        with pytest.raises(Refused, match=r"^signed by ann at .*; amend it to change it$"):
            decision()
    assert Review(review.folder).head == head
    decide.amend(review, "bob", "one cell was wrong")
    assert (review.signed, review.version, len(review.signatures)) == (None, 2, 1)
    with pytest.raises(Refused, match="nothing is left to undo"):
        decide.undo(review, "ann")
    move(review, "ann", 1, "monocyte")
    decide.sign(review, "bob")
    assert [(one.version, one.row.who) for one in review.signatures] == [(1, "ann"), (2, "bob")]


def test_two_who_sign_at_once_sign_once(review: Review) -> None:
    ready(review)
    other = Review(review.folder)
    decide.sign(review, "ann")
    with pytest.raises(Refused, match="signed by ann"):
        decide.sign(other, "bob")


def test_who_has_seen_the_classes_does_not_read_blind(review: Review) -> None:
    decide.read(review, "eve", {1: "monocyte", 2: "lymphocyte"})
    decide.read(review, "eve", {1: "neutrophil"})
    assert review.readers == ("eve",)
    assert review.blind("eve") == {1: "neutrophil", 2: "lymphocyte"}
    assert classes(review) == NETWORK
    ready(review)
    with pytest.raises(Refused, match="ann has reviewed cells of this session and can't read it blind"):
        decide.read(review, "ann", {1: "monocyte"})


def test_of_a_running_session_new_cells_are_taken_in_and_an_explained_pile_can_grow(
    recorder_of: Any, session: Any, results: Any, end_of: Any
) -> None:
    recorder = recorder_of()
    recorder.open(session)
    recorder.frame(results[2])
    until_counted(recorder, 1)
    review = Review(recorder.folder)
    decide.label(review, "ann", "slide 8")
    decide.explain(review, "ann", UNIDENTIFIED, "smudged")
    assert (review.running, len(review.cells), review.label, review.unexplained) == (True, 1, "slide 8", {})
    with pytest.raises(Refused, match="is running; end it first"):
        decide.sign(review, "ann")
    (one,) = results[2].counted
    recorder.last((type(one)(9, one.frame, one.cell, one.prediction, one.sightings),))
    recorder.finish(*end_of(UNIDENTIFIED, UNIDENTIFIED))
    recorder.close()
    review.refresh()
    assert (review.running, list(review.cells), review.unexplained) == (False, [3, 9], {UNIDENTIFIED: 2})
    assert review.recorded == Review(recorder.folder).recorded
    with pytest.raises(Refused, match="2 cells are unidentified"):
        decide.sign(review, "ann")


def until_counted(recorder: Any, cells: int) -> None:
    deadline = time.monotonic() + 10
    while recorder.report()["cells"] < cells:
        assert time.monotonic() < deadline, "never committed"
        recorder.last(())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("moved", {}),
        ("moved", {"cells": ["1"], "to": "monocyte"}),
        ("undone", {"of": 7, "cells": {"1": "neutrophil"}}),
        ("signed", {"version": None}),
        ("read", {"cells": 7}),
    ],
)
def test_a_row_that_says_what_none_of_its_kind_does_is_a_line(review: Review, kind: str, body: dict[str, Any]) -> None:
    with appending(review.folder, None) as chain:
        chain.append("ann", kind, body)
    with pytest.raises(SessionError, match=f"row 1 does not say what was {kind}; see `edge-wbc sessions verify 2026"):
        Review(review.folder)


def test_a_row_of_a_kind_that_is_not_known_changes_nothing(review: Review) -> None:
    with appending(review.folder, None) as chain:
        chain.append("ann", "painted", {"colour": "blue"})
    review.refresh()
    assert classes(review) == NETWORK
    assert len(review.rows) == 1


def test_among_ten_thousand_cells_one_is_moved_in_a_hundredth_of_a_second(many: Path) -> None:
    review = Review(many)
    assert len(review.cells) == MANY
    move(review, "ann", 1, "monocyte")
    took = []
    for number in range(2, 22):
        began = time.process_time()
        move(review, "ann", number, "monocyte")
        review.refresh()
        took.append(time.process_time() - began)
    assert sorted(took)[10] < 0.01, "of processor time"


def test_a_long_chain_is_read_in_a_second_and_taken_up_again_at_once(review: Review) -> None:
    with appending(review.folder, None) as chain:
        for i in range(MANY):
            to = "monocyte" if i % 2 == 0 else "neutrophil"
            chain.append("ann", "moved", {"cells": {"1": "neutrophil"}, "to": to, "why": ""})
    began = time.process_time()
    review.refresh()
    assert time.process_time() - began < 1.5
    assert len(review.rows) == MANY
    began = time.process_time()
    review.refresh()
    assert time.process_time() - began < 0.01
