"""Text as a font without shaping prints it: missing characters as code points, Arabic joined, lines in visual order."""

from __future__ import annotations

import unicodedata
from collections.abc import Container
from functools import cache
from typing import NamedTuple

from edge_wbc.report.text import code_point

_RIGHT_TO_LEFT = ("R", "AL")
_JOINER = "\u0640"
"""Tatweel, which joins on both sides."""


def fit(text: str, known: Container[int]) -> str:
    """Text of characters that a font knows, Arabic letters in the forms that their neighbours ask for.

    :param known: the font's code points.
    """
    joined = _joined(unicodedata.normalize("NFC", text))
    return "".join(
        one if ord(one) in known else old if ord(old) in known else code_point(old)
        for one, old in joined
        if not _invisible(one)
    )


def visual(line: str) -> str:
    """One line from left to right as it is seen. Marks follow what they stand on."""
    if not any(unicodedata.bidirectional(one) in (*_RIGHT_TO_LEFT, "AN") for one in line):
        return line
    from fpdf.bidi import BidiParagraph, auto_detect_base_direction

    turned = str(BidiParagraph(text=line, base_direction=auto_detect_base_direction(line)).get_reordered_string())
    return _marks_after(turned)


def _marks_after(line: str) -> str:
    made, marks = [], ""
    for one in line:
        if unicodedata.combining(one):
            marks += one
        elif unicodedata.bidirectional(one) in _RIGHT_TO_LEFT:
            made.append(one + marks[::-1])
            marks = ""
        else:
            made.append(marks + one)
            marks = ""
    return "".join(made) + marks


def _invisible(character: str) -> bool:
    """Joiners, marks of direction, variants of emoji: they change how others look, and have no look of their own."""
    return unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"


class _Forms(NamedTuple):
    isolated: str = ""
    final: str = ""
    initial: str = ""
    medial: str = ""


@cache
def _forms() -> dict[str, _Forms]:
    """Arabic letters as they stand alone, at the end, the beginning and the middle of a word, from Unicode's table of
    presentation forms."""
    found: dict[str, dict[str, str]] = {}
    for number in (*range(0xFB50, 0xFBB2), *range(0xFBD3, 0xFC00), *range(0xFE80, 0xFEF5)):
        form, _, letter = unicodedata.decomposition(chr(number)).partition("> ")
        if letter and " " not in letter:
            found.setdefault(chr(int(letter, 16)), {})[form.lstrip("<")] = chr(number)
    return {letter: _Forms(**forms) for letter, forms in found.items()}


def _joined(text: str) -> list[tuple[str, str]]:
    """Each character as it is printed, and as it was."""
    table = _forms()
    letters = [at for at, one in enumerate(text) if not unicodedata.combining(one)]
    forms = {at: table.get(text[at], _Forms()) for at in letters}
    made = dict(enumerate(text))
    for before, at, after in zip([None, *letters], letters, [*letters[1:], None], strict=False):
        mine = forms[at]
        joins_back = (
            bool(mine.final) and before is not None and (bool(forms[before].initial) or text[before] == _JOINER)
        )
        joins_on = bool(mine.initial) and after is not None and (bool(forms[after].final) or text[after] == _JOINER)
        form = (
            mine.medial if joins_back and joins_on else mine.final if joins_back else mine.initial if joins_on else ""
        )
        made[at] = form or text[at]
    return [(made[at], one) for at, one in enumerate(text)]
