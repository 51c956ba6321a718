"""Text that a font without shaping prints."""

from __future__ import annotations

import pytest

from edge_wbc.report.typeset import fit, visual

EVERYTHING = range(0x110000)


@pytest.mark.parametrize(
    ("word", "printed"),
    [
        ("سلم", "\ufeb3\ufee0\ufee2"),  # at the beginning, in the middle, at the end
        ("دار", "دار"),  # none of them joins the next
        ("سلام لا", "\ufeb3\ufefcم \ufefb"),  # lam and alef are one
        ("بَب", "\ufe91\u064e\ufe90"),  # a mark does not part letters
        ("پ", "پ"),
        ("ab ب", "ab ب"),
    ],
)
def test_arabic_letters_take_the_form_of_their_place(word: str, printed: str) -> None:
    assert fit(word, EVERYTHING) == printed


def test_letters_without_a_form_in_the_font_stay_as_they_are() -> None:
    known = set(map(ord, "بت"))
    assert fit("بت", known) == "بت"


def test_unknown_characters_are_code_points_and_invisible_ones_nothing() -> None:
    known = set(map(ord, "aé"))
    assert fit("ae\u0301血\u200d\ufe0f", known) == "aé[U+8840]"


def test_lines_are_turned_as_the_whole_paragraph_runs() -> None:
    assert visual(["abc (1)"]) == ["abc (1)"]
    assert visual(["שלום (3)"]) == ["(3) םולש"]
    assert visual(["ab", "שג xy"]) == ["ab", "גש xy"]  # begins from the left, so does its second line
