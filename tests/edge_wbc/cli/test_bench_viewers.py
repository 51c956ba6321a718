"""``bench viewers`` in its short form, on the real pages with real viewers."""

from __future__ import annotations

from collections.abc import Callable

from edge_wbc.web.viewed import Endured
from tests.conftest import Done


def test_alone_and_viewed(edge_wbc_command: Callable[..., Done]) -> None:
    done = edge_wbc_command("bench", "viewers", "--smoke", "--size", "320x240", "--fps", "10", "--json")
    assert done.code == 0, done.err
    (one,) = done.json["rounds"]
    assert one["alone"]["decided"] > 5
    assert one["viewed"]["decided"] > 5
    *pages, slow = one["viewers"]
    assert len(pages) == 3
    assert all(got["fields"] >= 3 and got["bytes"] > 10_000 and got["failed"] == 0 for got in pages)
    assert 0 < slow["bytes"] < 60_000  # a kilobyte every tenth of a second
    assert one["pages_s"] > 0


def test_views_without_the_waiting(edge_wbc_command: Callable[..., Done]) -> None:
    done = edge_wbc_command("bench", "viewers", "--hours", "1", "--smoke", "--json")
    assert done.code == 0, done.err
    assert done.json["views"] == 200
    assert done.json["viewers"][0]["views"] > 150
    assert 20 < done.json["pages_mb"][0] < 400


def test_growth_is_that_of_whichever_process_grew_more() -> None:
    assert Endured(8, (), (100.0, 100.0, 100.0, 101.0), (50.0, 50.0, 51.0, 55.0)).growth > 0.09
    assert Endured(8, (), (90.0, 100.0, 100.0, 100.0), (60.0, 50.0, 50.0, 50.0)).growth == 0.0
