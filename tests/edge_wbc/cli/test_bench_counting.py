"""``bench counting`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_a_short_form_counts_and_says_so(edge_wbc_command: Callable[..., Any]) -> None:
    done = edge_wbc_command(
        "bench", "counting", "--smoke", "--cells", "2", "--path", "raster", "--every", "6", "--json"
    )
    figures = done.json
    assert done.code == (0 if figures["passed"] else 1)
    assert figures["pairs"] == 12
    assert [slide["seed"] for slide in figures["slides"]] == [0, 1]
    assert figures["in_view"] == sum(slide["in_view"] for slide in figures["slides"]) > 0


def test_an_unknown_path_is_refused(edge_wbc_command: Callable[..., Any]) -> None:
    done = edge_wbc_command("bench", "counting", "--path", "astray")
    assert done.code == 2
    assert "wander" in done.err
