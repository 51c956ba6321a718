"""What `edge-wbc sessions` tells of reviews, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_wbc.cli.sessions import sessions
from edge_wbc.errors import SessionError
from edge_wbc.review import decide
from edge_wbc.review.chain import FILE, rows
from edge_wbc.review.review import NOT_CLASSED, Review
from edge_wbc.sessions.archive import contents, protect
from edge_wbc.sessions.room import make_room
from edge_wbc.types import UNIDENTIFIED
from tests.edge_wbc.review.conftest import sql, write_anew

OTHER = "20260102T000000Z-def456"


def run(verb: str, review: Review, *arguments: str) -> Result:
    place = str(review.folder.parent)
    done = CliRunner().invoke(sessions, [verb, *arguments, "--record", place], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done


def told(verb: str, review: Review, *arguments: str) -> Any:
    return json.loads(run(verb, review, *arguments, "--json").stdout)


@pytest.fixture
def signed(review: Review) -> Review:
    decide.label(review, "ann", "slide 8")
    decide.move(review, "ann", {1: "neutrophil"}, "monocyte")
    decide.move(review, "ann", {2: "lymphocyte"}, NOT_CLASSED)
    for pile in (UNIDENTIFIED, NOT_CLASSED):
        decide.explain(review, "ann", pile, "smudged")
    decide.sign(review, "bob")
    return review


def test_the_list_tells_label_and_review_of_those_that_have_one(signed: Review, record: Callable[..., Path]) -> None:
    other = Review(record(OTHER, label="mine"))
    heading, first, second = run("list", signed).stdout.splitlines()
    assert heading.split()[-2:] == ["ended", "review"]
    assert first.startswith(f"{signed.folder.name}*  slide 8  ")
    assert first.endswith("  source  version 1 signed by bob")
    assert second.endswith("  source")
    decide.amend(signed, "ann", "again")
    assert run("list", signed).stdout.splitlines()[1].endswith("  version 2 open")
    one, two = told("list", signed)["sessions"]
    assert (one["label"], two["label"], two["review"]) == ("slide 8", "mine", None)
    (signature,) = signed.signatures
    assert one["review"] == {
        "version": 2,
        "signed": False,
        "signatures": [{"version": 1, "by": "bob", "at_utc": signature.row.at_utc, "hash": signature.row.hash}],
        "rows": 7,
        "head": signed.head,
    }
    assert run("list", other).return_value == 0


def test_where_nobody_has_reviewed_the_list_and_what_is_shown_are_as_before(review: Review) -> None:
    assert run("list", review).stdout.splitlines()[0].endswith("  ended")
    shown = run("show", review, "last").stdout
    assert "Differential" in shown
    assert "differential" not in shown.replace("Differential", "")
    assert "moved to" not in shown
    assert told("show", review, "last")["review"] is None


def test_both_differentials_are_shown_and_who_signed(signed: Review) -> None:
    decide.amend(signed, "ann", "label")
    decide.label(signed, "ann", "slide\n8")
    decide.sign(signed, "bob")
    shown = run("show", signed, "last").stdout
    assert shown.index("Preliminary differential, the network's") < shown.index("Verified differential")
    assert f"session {signed.folder.name}: slide 8" in shown
    assert f"review: version 1 signed by bob at {signed.signatures[0].row.at_utc}" in shown
    heading, first, _, third, *_ = shown.splitlines()
    assert (heading.split()[-2:], first.split()[-1], third.split()[1]) == (["moved", "to"], "monocyte", UNIDENTIFIED)
    record = told("show", signed, "last")
    assert record["differential"]["shares"]["neutrophil"]["count"] == 2
    assert record["review"]["verified"]["shares"]["neutrophil"]["count"] == 1
    assert record["review"]["moved"] == {"1": "monocyte", "2": NOT_CLASSED}
    assert (record["review"]["not_classed"], record["review"]["unexplained"]) == (1, {})
    assert record["cells"][0]["label"] == "neutrophil", "what the network said"
    decide.amend(signed, "ann", "again")
    decide.move(signed, "ann", {4: "neutrophil"}, NOT_CLASSED)
    shown = run("show", signed, "last").stdout
    assert "review: version 3 is open" in shown
    assert "2 cells are not classed, and nobody has said why they stay so" in shown


def test_a_chain_that_does_not_hold_is_a_line_and_the_rest_is_told(signed: Review) -> None:
    sql(signed.folder, "UPDATE rows SET text = replace(text, 'slide 8', 'slide 9') WHERE number = 1")
    line = f"edge-wbc: {signed.folder / FILE}: row 1 does not fit its hash; see `edge-wbc sessions verify"
    for verb, *arguments in (("list",), ("show", "last")):
        done = run(verb, signed, *arguments)
        assert done.return_value == 3
        assert done.stderr.startswith(line)
        assert signed.folder.name in done.stdout
        assert "slide 9" not in done.stdout
    assert run("list", signed).stdout.splitlines()[1].endswith("  source  unreadable")
    assert told("list", signed)["sessions"][0]["review"] is None
    assert told("show", signed, "last")["review"] is None


def test_verify_ends_with_0_or_1_and_a_line_for_each_finding(signed: Review) -> None:
    done = run("verify", signed, "last")
    assert done.return_value == 0
    signature = f"review: version 1 signed by bob at {signed.signatures[0].row.at_utc}"
    holds = f"session {signed.folder.name}: the chain of 6 rows holds, head {signed.head}"
    assert done.stdout.splitlines() == [signature, holds]
    head = signed.head
    write_anew(signed.folder, lambda row: row.update(who="eve"))
    assert run("verify", signed, "last").return_value == 0
    done = run("verify", signed, "last", "--head", head)
    assert done.return_value == 1
    finding, _, outcome = done.stdout.splitlines()
    assert finding == f"no row has the hash {head}: the chain was written anew or cut off since"
    assert "the chain of 6 rows does NOT hold" in outcome
    record = told("verify", signed, "last", "--head", head)
    assert (record["holds"], record["findings"], record["rows"]) == (False, [finding], 6)
    assert record["head"] == Review(signed.folder).head
    assert record["signatures"][0]["by"] == "eve"


def test_a_signed_session_is_removed_only_when_that_is_said(signed: Review) -> None:
    folder = signed.folder
    decide.amend(signed, "ann", "again")  # its first version stays signed
    with pytest.raises(SessionError, match=r"was signed by bob at .*; `.* --even-signed` removes it"):
        run("remove", signed, folder.name)
    sql(folder, "UPDATE rows SET hash = 'x' WHERE number = 2")
    with pytest.raises(SessionError, match=r"row 2 does not fit its hash.*--even-signed` removes"):
        run("remove", signed, folder.name)
    (folder / FILE).write_bytes(b"text\n" * 1000)
    with pytest.raises(SessionError, match=r"damaged.*--even-signed` removes"):
        run("remove", signed, folder.name)
    run("remove", signed, folder.name, "--even-signed")
    assert not folder.exists()


def test_an_open_review_goes_with_its_session(review: Review) -> None:
    decide.move(review, "ann", {1: "neutrophil"}, "monocyte")
    run("remove", review, review.folder.name)
    assert not review.folder.exists()


def test_the_quota_leaves_a_review_alone(signed: Review) -> None:
    protect(signed.folder, False)
    before = (signed.folder / FILE).read_bytes()
    make_room(signed.folder.parent, 0)
    assert contents(signed.folder).head.crops_removed_utc is not None
    assert (signed.folder / FILE).read_bytes() == before
    assert run("verify", signed, "last").return_value == 0


def test_what_is_signed_is_left_alone_by_the_quota(signed: Review) -> None:
    make_room(signed.folder.parent, 0)
    assert contents(signed.folder).head.crops_removed_utc is None


@pytest.mark.parametrize("form", ["csv", "jsonl", "folder"])
def test_a_reviewed_session_is_exported_as_before(review: Review, tmp_path: Path, form: str) -> None:
    def exported(name: str) -> dict[str, bytes]:
        to = tmp_path / name
        run("export", review, "last", "--to", f"{form}:{to}")
        files = [to] if to.is_file() else sorted(file for file in to.rglob("*") if file.is_file())
        return {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in files}

    before = exported("before")
    assert len(before) == (5 if form == "folder" else 1)
    decide.move(review, "ann", {1: "neutrophil"}, "monocyte")
    assert exported("after") == before
    assert len(rows(review.folder)) == 1
