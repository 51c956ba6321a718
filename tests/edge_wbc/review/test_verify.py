"""Whatever is changed behind a review's back is found, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.errors import SessionError, UsageError
from edge_wbc.review import chain, decide
from edge_wbc.review.chain import FILE, appending, first_hash
from edge_wbc.review.review import Review
from edge_wbc.review.verify import verify
from edge_wbc.sessions.archive import protect
from edge_wbc.sessions.room import make_room
from edge_wbc.types import UNIDENTIFIED
from tests.edge_wbc.review.conftest import sql, write_anew

SESSION = "session.sqlite"


@pytest.fixture
def signed(review: Review) -> Path:
    """Signed twice: rows 1 moved, 2 undone, 3 moved, 4 explained, 5 signed, 6 amended, 7 moved, 8 signed."""
    decide.move(review, "ann", {1: "neutrophil"}, "monocyte")
    decide.undo(review, "ann")
    decide.move(review, "ann", {2: "lymphocyte", 4: "neutrophil"}, "monocyte")
    decide.explain(review, "ann", UNIDENTIFIED, "smudged")
    decide.sign(review, "ann")
    decide.amend(review, "bob", "one was wrong")
    decide.move(review, "bob", {4: "monocyte"}, "neutrophil")
    decide.sign(review, "bob")
    return review.folder


def findings(folder: Path, head: str | None = None) -> list[str]:
    found = verify(folder, head)
    assert found.holds == (not found.findings)
    assert all("\n" not in line for line in (*found.findings, *found.notes))
    return list(found.findings)


def test_what_nobody_touched_holds(signed: Path) -> None:
    found = verify(signed)
    assert (found.holds, found.findings, found.notes) == (True, (), ())
    assert (found.rows, found.head) == (8, Review(signed).head)
    assert [(one.version, one.row.who) for one in found.signatures] == [(1, "ann"), (2, "bob")]


def test_a_session_that_nobody_reviewed_holds(record: Callable[..., Path]) -> None:
    folder = record()
    assert verify(folder).holds
    assert verify(folder, first_hash(folder)).holds
    assert not (folder / FILE).exists()


@pytest.mark.parametrize("number", range(1, 9))
def test_a_changed_row_is_found(signed: Path, number: int) -> None:
    sql(signed, """UPDATE rows SET text = replace(text, '"who":"', '"who":"x') WHERE number = ?""", number)
    assert f"row {number} does not fit its hash" in findings(signed)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_deleted_row_is_found(signed: Path, number: int) -> None:
    sql(signed, "DELETE FROM rows WHERE number = ?", number)
    assert findings(signed)[0] == f"row {number} is missing"


def test_a_row_put_in_is_found(signed: Path) -> None:
    sql(signed, "INSERT INTO rows SELECT 9, text, hash FROM rows WHERE number = 7")
    assert findings(signed)[:1] == ["row 9 is no row of a chain"]


def renamed(row: dict[str, Any]) -> None:
    row["who"] = row["who"].replace("bob", "eve")


def test_a_chain_written_anew_holds_by_itself_and_is_found_by_a_reports_head(signed: Path) -> None:
    head = Review(signed).head
    assert findings(signed, head) == []
    write_anew(signed, renamed)
    assert findings(signed) == []
    assert findings(signed, head) == [f"no row has the hash {head}: the chain was written anew or cut off since"]


def test_a_chain_that_was_cut_off_is_found_by_a_reports_head(signed: Path) -> None:
    head = Review(signed).head
    sql(signed, "DELETE FROM rows WHERE number > 4")
    assert findings(signed) == []
    (line,) = findings(signed, head)
    assert line.startswith(f"no row has the hash {head}")
    (signed / FILE).unlink()
    assert findings(signed) == []
    assert len(findings(signed, head)) == 1


def test_a_reports_head_is_found_when_more_was_decided_since(signed: Path) -> None:
    review = Review(signed)
    head = review.rows[4].hash
    for written in (head, head.upper(), f"{head[:32]} {head[32:]}\n", head[:16]):
        found = verify(signed, written)
        assert found.holds
        assert found.notes == (f"the head {head[:16]}… is that of row 5; rows were appended since: 3",)


@pytest.mark.parametrize("head", ["", "abc", "g" * 64, "a" * 65, "a" * 15])
def test_what_is_no_head_is_refused(signed: Path, head: str) -> None:
    with pytest.raises(UsageError, match="is no hash; give the chain's head as a report shows it"):
        verify(signed, head)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cells SET probability = probability + 1e-9 WHERE number = 5",
        "UPDATE cells SET xmin = xmin + 1 WHERE number = 1",
        "UPDATE cells SET origin = CAST(origin AS BLOB) WHERE number = 1",
        "UPDATE cells SET utc = '' WHERE number = 3",
    ],
)
def test_a_changed_cell_is_found(signed: Path, change: str) -> None:
    sql(signed, change, file=SESSION)
    first, second = Review(signed).signatures
    assert findings(signed) == [
        f"the cells recorded are not those signed as version {one.version} by {one.row.who} at {one.row.at_utc}"
        for one in (first, second)
    ]


def test_a_changed_class_of_the_network_is_found_though_it_is_in_no_row(signed: Path) -> None:
    sql(signed, "UPDATE cells SET label = 'basophil' WHERE number = 1", file=SESSION)
    found = findings(signed)
    assert "row 1 moves cell 1 from neutrophil, where it was basophil" in found
    assert "row 8 signs another differential than the cells and decisions before it give" in found
    assert sum("the cells recorded are not those signed" in line for line in found) == 2


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM cells WHERE number = 5",
        "INSERT INTO cells SELECT 6, * FROM (SELECT {} FROM cells WHERE number = 1)",
    ],
    ids=["gone", "one more"],
)
def test_cells_that_come_or_go_are_found(signed: Path, change: str) -> None:
    with closing(sqlite3.connect(signed / SESSION)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(cells)")][1:]
    sql(signed, change.format(", ".join(columns)), file=SESSION)
    found = findings(signed)
    assert sum("the cells recorded are not those signed" in line for line in found) == 2
    assert any("signs other numbers of cells" in line for line in found)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE crops SET pixels = zeroblob(length(pixels)) WHERE cell = 3",
        "UPDATE crops SET cell = 9 WHERE cell = 5",
        "DELETE FROM crops WHERE cell = 1",
        "DELETE FROM crops",
        "UPDATE crops SET pixels = 'text' WHERE cell = 1",
        "INSERT INTO sightings VALUES (1, zeroblob(12288), 1.0, '{}')",
    ],
)
def test_a_changed_crop_is_found(signed: Path, change: str) -> None:
    sql(signed, change, file=SESSION)
    found = findings(signed)
    assert [line.split(" signed as ")[0] for line in found] == ["the crops recorded are not those"] * 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE session SET graph_sha256 = 'other'",
        "UPDATE session SET source = 'smear://?seed=2'",
        "UPDATE session SET label = 'other'",
        "UPDATE session SET frames = frames + 1",
        "UPDATE refused SET reason = 'other'",
    ],
)
def test_a_changed_circumstance_is_found(signed: Path, change: str) -> None:
    sql(signed, change, file=SESSION)
    assert [line.split(" signed as ")[0] for line in findings(signed)] == ["the session recorded are not those"] * 2


def test_crops_that_the_quota_removed_are_a_note(signed: Path) -> None:
    protect(signed, False)
    assert findings(signed) == []
    make_room(signed.parent, 0)
    found = verify(signed)
    assert found.holds
    first, second = found.signatures
    assert found.notes == tuple(
        f"the crops signed as version {one.version} by {one.row.who} at {one.row.at_utc} are no longer there, and "
        "can't be checked"
        for one in (first, second)
    )


def test_what_was_recorded_is_damaged_or_gone(signed: Path) -> None:
    sql(signed, "UPDATE cells SET probabilities = '{' WHERE number = 3", file=SESSION)
    (line,) = findings(signed)
    assert line.startswith(f"what was recorded can't be read: {signed / SESSION}: damaged (")
    (signed / SESSION).unlink()
    (line,) = findings(signed)
    assert "nothing was recorded before it ended" in line


@pytest.mark.parametrize(
    ("kind", "body", "line"),
    [
        ("moved", {"cells": {"1": "neutrophil"}, "to": "monocyte"}, "row 9 comes after version 2 was signed, which is"),
        ("moved", {}, "row 9 says nothing that can be moved"),
        ("signed", {"version": 3}, "row 9 says nothing that can be signed"),
    ],
)
def test_a_row_appended_by_hand_that_could_not_be_decided_is_found(
    signed: Path, kind: str, body: dict[str, Any], line: str
) -> None:
    with appending(signed, None) as one:
        one.append("eve", kind, body)
    assert any(found.startswith(line) for found in findings(signed))


def test_moves_by_hand_that_do_not_follow_are_found(review: Review) -> None:
    with appending(review.folder, None) as one:
        one.append("eve", "moved", {"cells": {"1": "monocyte", "7": "monocyte"}, "to": "basophil", "why": ""})
        one.append("eve", "undone", {"of": 3, "cells": {"1": "neutrophil"}})
        one.append("eve", "amended", {"version": 2, "why": "x"})
        one.append("eve", "painted", {})
    assert findings(review.folder) == [
        "row 1 moves cell 1 from monocyte, where it was neutrophil",
        "row 1 moves cell 7, which was not recorded",
        "row 2 says nothing that can be undone",
        "row 3 amends what was not signed",
    ]
    assert verify(review.folder).notes == ("row 4 was painted, of which this version knows nothing",)


def test_a_rewritten_signature_over_other_numbers_is_found(signed: Path) -> None:
    def more(row: dict[str, Any]) -> None:
        if row["number"] == 8:
            row["body"]["differential"]["shares"]["neutrophil"]["count"] += 1

    write_anew(signed, more)
    assert findings(signed) == ["row 8 signs another differential than the cells and decisions before it give"]


def test_a_clock_that_was_set_back_is_a_note(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([datetime(2026, 1, 2, tzinfo=timezone.utc) - timedelta(hours=i) for i in range(2)])

    class Clock:
        @staticmethod
        def now(zone: timezone) -> datetime:
            return next(times)

    monkeypatch.setattr(chain, "datetime", Clock)
    decide.label(review, "ann", "a")
    decide.label(review, "ann", "b")
    found = verify(review.folder)
    assert found.holds
    assert found.notes == (
        "row 2 is of 2026-01-01T23:00:00.000+00:00, the one before of 2026-01-02T00:00:00.000+00:00: the clock was set "
        "back",
    )


def test_a_chain_of_a_newer_version_is_refused(signed: Path) -> None:
    with closing(sqlite3.connect(signed / FILE)) as connection:
        connection.execute("PRAGMA user_version=2")
    with pytest.raises(SessionError, match="written by a newer version"):
        verify(signed)
