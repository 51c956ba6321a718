"""The list of sessions: how far each review has come."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_wbc.review import decide
from edge_wbc.review.chain import FILE
from edge_wbc.review.review import PILES, Review
from edge_wbc.sessions.schema import lock
from tests.edge_wbc.web.conftest import Served


@pytest.fixture
def listed(shared: Served, come_in: Callable[..., httpx.Client]) -> Callable[[], dict[str, Any]]:
    """What the page is told."""
    vera = come_in(shared, "vera")
    return lambda: vera.get("/api/sessions").json()


def test_a_review_as_it_goes_on(record: Callable[..., Path], listed: Callable[[], dict[str, Any]]) -> None:
    review = Review(record(label="as recorded"))

    def now(*names: str) -> list[Any]:
        (one,) = listed()["sessions"]
        return [one[name] for name in names]

    assert now("label", "decisions", "version", "signed_by") == ["as recorded", 0, 1, None]
    decide.label(review, "rita", "slide 12")
    for pile in PILES:
        decide.explain(review, "rita", pile, "smudged")
    assert now("label", "decisions", "version", "signed_by") == ["slide 12", 3, 1, None]
    row = decide.sign(review, "rita")
    assert now("version", "signed_by", "signed_utc", "wrong") == [1, "rita", row.at_utc, None]
    decide.amend(review, "rita", "one more look")
    assert now("version", "signed_by", "signed_utc") == [2, None, None]
    with sqlite3.connect(review.folder / FILE) as chain:
        chain.execute("UPDATE rows SET text = replace(text, 'slide 12', 'slide 13')")
    assert now("wrong") == ["row 1 does not fit its hash; it was changed after it was written"]


def test_newest_first_and_what_is_unreadable(
    record: Callable[..., Path], place: Path, listed: Callable[[], dict[str, Any]]
) -> None:
    assert listed() == {"sessions": [], "unreadable": []}
    for day in (1, 3):
        record(f"2026010{day}T000000Z-00000{day}")
    broken = place / "20260102T000000Z-000002"
    broken.mkdir()
    (broken / "session.sqlite").write_bytes(b"no database, whatever it says" * 100)
    found = listed()
    assert [one["session_id"][7:8] for one in found["sessions"]] == ["3", "1"]
    (line,) = found["unreadable"]
    assert line.startswith(f"{broken}/session.sqlite: damaged")


def test_one_that_has_only_begun_is_not_called_unreadable(place: Path, listed: Callable[[], dict[str, Any]]) -> None:
    begun = place / "20260101T000000Z-000001"
    begun.mkdir()
    held = lock(begun)
    try:
        assert listed() == {"sessions": [], "unreadable": []}
    finally:
        os.close(held)
    (line,) = listed()["unreadable"]
    assert "nothing was recorded before it ended" in line
