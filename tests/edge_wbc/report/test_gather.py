"""What a report says of a review."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_wbc import __version__
from edge_wbc.manifest import manifest_path
from edge_wbc.report.content import Agreed, Amended, Explained, Moved, Report
from edge_wbc.report.forms import FORMS
from edge_wbc.report.gather import content
from edge_wbc.report.pictures import HALF, MOST
from edge_wbc.report.tables import as_csv
from edge_wbc.report.words import parts
from edge_wbc.review import decide
from edge_wbc.review.chain import rows
from edge_wbc.review.review import Review
from edge_wbc.sessions.schema import DATABASE, lock
from tests.edge_wbc.report.conftest import LABELS


def said(report: Report, title: str) -> dict[str, str]:
    """A part's facts; of several with the same name the last."""
    (part,) = (one for one in parts(report) if one.title == title)
    return dict(part.facts)


def shown(report: Report, name: str) -> list[int]:
    (line,) = (one for one in report.lines if one.name == name)
    return [one.cell for one in line.shown]


def test_the_surest_and_the_most_doubtful_cells_of_a_class_are_shown(review: Review) -> None:
    report = content(review)
    assert shown(report, "neutrophil") == [1, 2, 3, 7, 8, 9]  # the surer, the lower the number
    assert shown(report, "lymphocyte") == [10, 11, 12, 13]
    assert shown(report, "eosinophil") == []
    assert len(shown(report, "neutrophil")) == MOST == 2 * HALF


def test_a_moved_cell_is_the_most_doubtful_of_its_class(review: Review) -> None:
    decide.move(review, "Anna", {1: "neutrophil"}, "lymphocyte")
    (line,) = (one for one in content(review).lines if one.name == "lymphocyte")
    assert [(one.cell, one.moved) for one in line.shown] == [
        (10, False),
        (11, False),
        (12, False),
        (13, False),
        (1, True),
    ]
    assert line.shown[-1].probability == 0.02


def test_of_several_looks_the_sharpest_is_shown(review: Review) -> None:
    with sqlite3.connect(review.folder / DATABASE) as connection:
        (blank,) = connection.execute("SELECT pixels FROM crops WHERE cell = 14").fetchone()
        connection.execute("DELETE FROM crops WHERE cell = 14")
        for weight, value in ((0.2, 1), (0.9, 2), (0.9, 3)):
            connection.execute("INSERT INTO sightings VALUES (14, ?, ?, '{}')", (bytes([value]) * len(blank), weight))
    connection.close()
    (line,) = (one for one in content(Review(review.folder)).lines if one.name == "monocyte")
    import cv2
    import numpy as np

    assert np.unique(cv2.imdecode(np.frombuffer(line.shown[0].png, np.uint8), cv2.IMREAD_COLOR)).tolist() == [2]


def test_who_signed_amended_moved_and_explained_what(signed: Review) -> None:
    report = content(signed)
    decided = report.decided
    assert [(one.version, one.who, one.cells) for one in decided.signatures] == [(1, "Anna", 17), (2, "Béla", 17)]
    assert decided.signatures[1].row_hash == decided.head == rows(signed.folder)[-1].hash
    assert set(decided.signatures[1].digests) >= {"cells_sha256", "crops_sha256"}
    at = next(row.at_utc for row in signed.rows if row.kind == "amended")
    assert decided.amendments == (Amended(2, "Béla", at, "cell 2 is a neutrophil after all"),)
    assert decided.moved == (
        Moved("lymphocyte", "not classed", 1),
        Moved("neutrophil", "immature granulocyte", 1),
    )  # as they stand, not each move
    assert [(one.pile, one.cells, one.why, one.who) for one in report.explained] == [
        ("unidentified", 1, "smudged", "Béla"),
        ("not classed", 1, "a blast, for the haematologist", "Béla"),
    ]
    facts = said(report, "Review")
    assert facts["moved"] == "2 of 17 cells: 1 lymphocyte → not classed, 1 neutrophil → immature granulocyte"
    assert facts["amended"].endswith(": cell 2 is a neutrophil after all")
    assert report.status.startswith("Version 2, signed by Béla on ")
    assert report.printed_by == __version__
    assert report.recorded.version == "0.1.0"


def test_an_amended_session_is_not_signed_until_it_is_again(signed: Review) -> None:
    decide.amend(signed, "Anna", "look again")
    report = content(signed)
    assert report.status == "PRELIMINARY – not signed: version 3, after version 2 signed by Béla"
    assert not report.decided.signed


def test_what_nobody_explained_is_said(review: Review) -> None:
    report = content(review)
    assert report.explained == (Explained("unidentified", 1, "", "", ""),)
    assert said(report, "Review")["unidentified"] == "1 cell; nobody has said yet why"


def test_frames_with_reasons(review: Review) -> None:
    report = content(review)
    assert dict(report.frames.reasons) == {"grey image; give a colour image": 2}
    assert said(report, "Frames") == {
        "in": "4, of which 2 refused; 5 dropped",
        "rejected": "3 blurred, 1 dark",
        "refused": "2 × grey image; give a colour image",
    }


def test_many_reasons_are_cut_on_paper_alone(review: Review) -> None:
    with sqlite3.connect(review.folder / DATABASE) as connection:
        connection.executemany("INSERT INTO refused VALUES (?, 'x', ?)", [(i, f"reason {i}") for i in range(9)])
    connection.close()
    report = content(Review(review.folder))
    assert len(report.frames.reasons) == 10
    assert said(report, "Frames")["refused"] == "4 × 4 more reasons; the table and JSON have them"


def test_the_network_and_how_far_it_can_be_trusted(review: Review) -> None:
    network = content(review).network
    assert network.temperature == pytest.approx(0.6864)
    assert network.unidentified_below == pytest.approx(0.5582)
    assert network.calibration_error["kaggle"] == 1.3
    assert "locked groups" in network.measured_on
    assert "kaggle 1.3 %" in said(content(review), "Network")["calibration error"]


def test_another_manifest_than_that_of_the_recording_says_nothing(review: Review, copied: Path) -> None:
    with sqlite3.connect(review.folder / DATABASE) as connection:
        connection.execute("UPDATE session SET graph = ?", (str(copied),))
    connection.close()
    assert content(Review(review.folder)).network.calibration_error["kaggle"] == 1.3
    path = manifest_path(copied)
    manifest = json.loads(path.read_text())
    manifest["metrics"]["kaggle"]["ece"] = 0.0
    path.write_text(json.dumps(manifest))
    found = content(Review(review.folder))
    assert found.network.calibration_error == {}
    assert said(found, "Network")["calibration error"] == "not known: its manifest is not at hand"


def test_a_running_session(record: Callable[..., Path]) -> None:
    import os

    folder = record(*LABELS, ended=None)
    held = lock(folder)
    try:
        report = content(Review(folder))
    finally:
        os.close(held)
    assert report.warnings == ("The session is running: its figures will change.",)
    assert_every_form(report)


def test_a_session_that_broke_off(record: Callable[..., Path]) -> None:
    folder = record(*LABELS, ended=None)
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("UPDATE session SET ended = NULL, ended_utc = NULL, summary = NULL")
    connection.close()
    report = content(Review(folder))
    assert report.warnings[0].startswith("The recording broke off")
    assert report.frames.rejected is None
    assert said(report, "Frames")["rejected"] == "not known, as the session has no end"
    assert said(report, "Frames")["in"] == "4, of which 2 refused; dropped: not known"
    assert_every_form(report)


def test_cells_that_were_changed_after_the_signature_are_told(signed: Review) -> None:
    assert content(Review(signed.folder)).warnings == ()
    with sqlite3.connect(signed.folder / DATABASE) as connection:
        connection.execute("UPDATE cells SET label = 'basophil' WHERE number = 5")
    connection.close()
    (warning,) = content(Review(signed.folder)).warnings
    assert warning.startswith("What was recorded is not what was signed")


def test_without_crops_the_report_says_why(record: Callable[..., Path]) -> None:
    report = content(Review(record(*LABELS, quota_bytes=-1)))
    assert report.crops_missing == "It was recorded without crops, as the quota was used up."
    assert all(not line.shown for line in report.lines)
    assert_every_form(report)


def test_removed_crops_say_when(review: Review) -> None:
    with sqlite3.connect(review.folder / DATABASE) as connection:
        connection.execute("DELETE FROM crops")
        connection.execute("UPDATE session SET crops_removed_utc = '2026-02-03T04:05:06+00:00'")
    connection.close()
    report = content(Review(review.folder))
    assert report.crops_missing == "The crops were removed on 2026-02-03 to keep the quota."


def test_ten_thousand_cells(review: Review) -> None:
    with sqlite3.connect(review.folder / DATABASE) as connection:
        for table, columns in (("cells", 16), ("crops", 2)):
            row = connection.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
            more = [(number, *row[1:]) for number in range(18, 10_001)]
            if table == "cells":
                connection.executemany(f"INSERT INTO cells VALUES ({','.join('?' * columns)})", more)
    connection.close()
    report = content(Review(review.folder))
    assert report.cells == 10_000
    assert report.verified.leukocytes == 14 + 9983
    assert_every_form(report)


def test_a_name_that_no_class_has(record: Callable[..., Path]) -> None:
    """Of a model with classes of its own."""
    folder = record("neutrophil")
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("UPDATE cells SET label = 'blast'")
    connection.close()
    (line,) = (one for one in content(Review(folder)).lines if one.name == "blast")
    assert line.verified.cells == 1
    assert len(line.shown) == 1


def test_quality_control_and_a_blind_reader(review: Review) -> None:
    decide.read(review, "Dora", {1: "neutrophil"})
    agreed = (Agreed("Dora", 40, 38, 0.93, 0.79, 0.99), Agreed("Emil", 1, 1, None, None, None))
    report = content(review, control=("2026-01-01: focus outside its limits",), agreement=agreed)
    assert said(report, "Quality control") == {"flag": "2026-01-01: focus outside its limits"}
    (part,) = (one for one in parts(report) if one.title == "Review")
    assert ("read blind", "by Dora") in part.facts
    assert [text for name, text in part.facts if name == "agreement"] == [
        "Dora and the review give 38 of 40 cells the same class; Cohen's κ 0.93, 95 % interval 0.79 to 0.99",
        "Emil and the review give 1 of 1 cells the same class",
    ]
    assert said(content(review, control=()), "Quality control") == {"flags": "none"}
    assert said(content(review), "Quality control") == {"flags": "not looked for"}
    assert "control,flags.1,2026-01-01: focus outside its limits" in as_csv(report).decode()


def assert_every_form(report: Report) -> None:
    for form in FORMS.values():
        assert form(report)


def test_content_needs_no_library_of_the_web() -> None:
    """The page, the table and JSON are made where only the bare runtime is installed."""
    import subprocess

    code = (
        "import sys; sys.modules['fpdf'] = None; import edge_wbc.report.forms, edge_wbc.report.gather; "
        "print(sorted({'fastapi', 'jinja2', 'fontTools', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
