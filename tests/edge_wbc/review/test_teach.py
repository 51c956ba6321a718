"""Signed sessions to a labelled folder: what goes in, what stays out, what is refused, what an interruption leaves."""

from __future__ import annotations

import csv
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_wbc.cli.main import main
from edge_wbc.errors import SessionError, SourceError, UsageError
from edge_wbc.review import decide, teach
from edge_wbc.review.lessons import Lessons, lessons, read_list
from edge_wbc.review.review import NOT_CLASSED, Review
from edge_wbc.sessions.schema import DATABASE, lock
from tests.conftest import Done
from tests.recorded import crop_of

OTHER = "20260102T000000Z-def456"


@pytest.fixture
def signed(record: Callable[..., Path]) -> Callable[..., Review]:
    """A session of five cells: 1 moved to monocyte by ann, 2 not classed, 3 unidentified and explained; bob signs."""

    def make(*name: str, label: str = "") -> Review:
        review = Review(record(*name))
        decide.move(review, "ann", {1: "neutrophil"}, "monocyte")
        decide.move(review, "ann", {2: "lymphocyte"}, NOT_CLASSED)
        decide.label(review, "ann", label)
        for pile in ("unidentified", NOT_CLASSED):
            decide.explain(review, "ann", pile, "smudged")
        decide.sign(review, "bob")
        return review

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """To teach to; not there yet."""
    return tmp_path / "taught"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def taught(*reviews: Review) -> list[Lessons]:
    return [lessons(review) for review in reviews]


def test_cells_are_in_the_folders_where_the_person_left_them_bit_for_bit(signed: Any, tmp_path: Path) -> None:
    review = signed()
    name = review.folder.name
    written = teach.teach(taught(review), tmp_path / "cells")
    assert (written.new, written.gone, written.cells) == (3, 0, 3)
    assert set(files(tmp_path / "cells")) == {
        "groups.csv",
        f"monocyte/{name}_000001.png",
        f"neutrophil/{name}_000004.png",
        f"platelet/{name}_000005.png",
    }
    for row in read_list(tmp_path / "cells"):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "cells" / row.file)), crop_of(row.cell))


def test_the_list_says_of_each_cell_its_group_who_decided_and_under_which_head(signed: Any, folder: Path) -> None:
    review = signed()
    teach.teach(taught(review), folder)
    rows = list(csv.DictReader((folder / "groups.csv").read_text().splitlines()))
    assert [(row["cell"], row["field"], row["said"], row["label"], row["decided_by"]) for row in rows] == [
        ("1", "0", "neutrophil", "monocyte", "ann"),
        ("4", "3", "neutrophil", "neutrophil", "bob"),
        ("5", "3", "platelet", "platelet", "bob"),
    ]
    head = review.recorded.head
    for row in rows:
        assert (row["session"], row["version"], row["head"]) == (review.folder.name, "1", review.head)
        assert (row["crop_px"], row["margin"], row["graph_sha256"]) == ("64", "1.5", head.graph_sha256)
    assert lessons(review).left_out == {"unidentified": 1, NOT_CLASSED: 1, "without a crop": 0}


def test_sessions_of_one_label_are_one_slide_and_the_label_stays_behind(signed: Any, folder: Path) -> None:
    teach.teach(taught(signed(label="Ada Lovelace"), signed(OTHER, label=" Ada Lovelace")), folder)
    assert len({row.slide for row in read_list(folder)}) == 1
    assert b"Lovelace" not in (folder / "groups.csv").read_bytes()
    assert {row.slide for row in lessons(signed("20260103T000000Z-aaaaaa")).rows} == {"20260103T000000Z-aaaaaa"}


def test_the_same_again_changes_nothing_and_another_session_is_added(signed: Any, folder: Path) -> None:
    one, two = signed(), signed(OTHER)
    teach.teach(taught(one), folder)
    before = files(folder)
    next(folder.rglob("*.png")).write_bytes(b"opened and saved by something else")
    again = teach.teach(taught(one), folder)
    assert (again.new, again.gone, again.cells) == (0, 0, 3)
    assert files(folder) == before
    both = teach.teach(taught(two), folder)
    assert (both.new, both.cells) == (3, 6)
    assert before.items() - files(folder).items() == {("groups.csv", before["groups.csv"])}


def test_a_newer_version_moves_its_cells_and_leaves_no_empty_folder(signed: Any, folder: Path) -> None:
    review = signed()
    teach.teach(taught(review), folder)
    decide.amend(review, "ann", "looked again")
    with pytest.raises(SessionError, match=r"is not signed; review and sign it"):
        lessons(review)
    decide.move(review, "ann", {1: "monocyte", 5: "platelet"}, "basophil")
    for pile in ("unidentified", NOT_CLASSED):
        decide.explain(review, "ann", pile, "smudged")
    decide.sign(review, "bob")
    written = teach.teach(taught(review), folder)
    assert (written.new, written.gone, written.cells) == (2, 2, 3)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["basophil", "neutrophil"]
    assert {row.version for row in read_list(folder)} == {2}


def test_after_an_interruption_the_same_again_completes_the_folder(
    signed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    review = signed()
    teach.teach(taught(review), tmp_path / "whole")
    real, left = teach.write_whole, [2]

    def broken(path: Path, data: bytes, advice: str) -> None:
        if not left[0]:
            path.with_name(f"{path.name}.part").write_bytes(data[:9])  # as a kill leaves it
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, data, advice)

    for done in range(4):
        folder, left[0] = tmp_path / str(done), done
        monkeypatch.setattr(teach, "write_whole", broken)
        with pytest.raises(KeyboardInterrupt):
            teach.teach(taught(review), folder)
        whole = files(tmp_path / "whole")
        assert {
            name: data for name, data in files(folder).items() if not name.endswith(".part")
        }.items() <= whole.items()
        monkeypatch.setattr(teach, "write_whole", real)
        teach.teach(taught(review), folder)
        assert files(folder) == whole


def test_a_session_that_was_changed_after_it_was_signed_teaches_nothing(signed: Any) -> None:
    review = signed()
    with closing(sqlite3.connect(review.folder / DATABASE)) as connection, connection:
        connection.execute("UPDATE crops SET pixels = zeroblob(12288) WHERE cell = 4")
    with pytest.raises(SessionError, match="changed after it was signed"):
        lessons(review)


def test_a_cell_without_a_crop_stays_out_and_is_counted(record: Callable[..., Path], folder: Path) -> None:
    folder = record()
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.execute("DELETE FROM crops WHERE cell = 4")
    review = Review(folder)
    decide.move(review, "ann", {3: "unidentified"}, "basophil")
    decide.sign(review, "ann")
    found = lessons(review)
    assert [row.cell for row in found.rows] == [1, 2, 3, 5]
    assert found.left_out["without a crop"] == 1
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.execute("DELETE FROM crops")
    bare = Review(record(OTHER))
    with closing(sqlite3.connect(bare.folder / DATABASE)) as connection, connection:
        connection.execute("DELETE FROM crops")
    decide.move(bare, "ann", {3: "unidentified"}, "basophil")
    decide.sign(bare, "ann")
    with pytest.raises(SessionError, match="without crops"):
        lessons(bare)


def test_a_folder_of_something_else_is_left_alone(signed: Any, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter.txt").write_text("dear")
    given = taught(signed())
    with pytest.raises(UsageError, match=r"letter\.txt and no groups\.csv; name a new folder"):
        teach.teach(given, tmp_path / "own")
    (tmp_path / "own" / "groups.csv").write_text("name,age\n")
    with pytest.raises(SourceError, match=r"no list of taught cells .* to a new folder"):
        teach.teach(given, tmp_path / "own")
    with pytest.raises(UsageError, match="not a directory; name a new folder"):
        teach.teach(given, tmp_path / "own" / "letter.txt" / "below")
    assert sorted(files(tmp_path / "own")) == ["groups.csv", "letter.txt"]


@pytest.mark.parametrize(
    "file", ["neutrophil/../x.png", "../neutrophil/x.png", "/x.png", "neutrophil/..", "lymphocyte/x.png"]
)
def test_a_list_that_names_files_elsewhere_is_refused(signed: Any, folder: Path, file: str) -> None:
    teach.teach(taught(signed()), folder)
    path = folder / "groups.csv"
    (name,) = [row.file for row in read_list(folder) if row.label == "neutrophil"]
    path.write_text(path.read_text().replace(name, file, 1))
    with pytest.raises(SourceError):
        read_list(folder)


def test_crops_of_two_sizes_do_not_mix(signed: Any, folder: Path) -> None:
    teach.teach(taught(signed()), folder)
    path = folder / "groups.csv"
    path.write_text(path.read_text().replace(",64,", ",96,"))
    before = files(folder)
    with pytest.raises(UsageError, match=r"are 96 pixels wide, those of 20260102T000000Z-def456 64; teach them to"):
        teach.teach(taught(signed(OTHER)), folder)
    assert {name: data for name, data in files(folder).items() if name in before} == before


def test_a_running_session_teaches_nothing(record: Callable[..., Path]) -> None:
    folder = record()
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.execute("UPDATE session SET ended = NULL, ended_utc = NULL")
    held = lock(folder)
    try:
        with pytest.raises(SessionError, match=r"is running; end it, then review and sign it"):
            lessons(Review(folder))
    finally:
        os.close(held)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs ``edge-wbc sessions teach ARGUMENTS…`` in this process."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["sessions", "teach", *map(str, arguments)])
        said = capsys.readouterr()
        return Done(int(str(ended.value.code)), said.out, said.err)

    return run


def test_the_command_tells_what_was_taught_and_what_to_type_next(
    signed: Any, command: Callable[..., Done], tmp_path: Path
) -> None:
    review = signed()
    done = command("last", review.folder.name, "--to", tmp_path / "c", "--record", review.folder.parent, "--json")
    assert done.code == 0
    assert done.json["classes"] == {"monocyte": 1, "neutrophil": 1, "platelet": 1}
    assert (done.json["new"], done.json["corrected"], done.json["sessions"]) == (3, 1, [review.folder.name])
    assert done.json["left_out"] == {"unidentified": 1, NOT_CLASSED: 1, "without a crop": 0}
    assert "3 cells of 1 session in" in done.err
    assert "1 unidentified, 1 not classed, 0 without a crop" in done.err
    assert f"next: edge-wbc train --from leukonet --data {tmp_path / 'c'}" in done.err


def test_one_unsigned_session_among_others_is_refused_before_anything_is_written(
    signed: Any,
    record: Callable[..., Path],
    command: Callable[..., Done],
    tmp_path: Path,
) -> None:
    review, open_ = signed(), record(OTHER)
    done = command(review.folder.name, open_.name, "--to", tmp_path / "c", "--record", open_.parent)
    assert (done.code, done.out) == (3, "")
    assert done.said() == [f"edge-wbc: session {OTHER} is not signed; review and sign it in `edge-wbc serve`"]
    assert not (tmp_path / "c").exists()
