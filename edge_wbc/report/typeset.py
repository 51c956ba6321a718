"""Text as a font without shaping prints it: missing characters as code points, Arabic joined, lines in visual order."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from functools import cache
from typing import NamedTuple

from edge_wbc.report.text import code_point

_RIGHT_TO_LEFT = ("R", "AL", "AN")
_MIRROR = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")
_JOINER = "\u0640"
"""Tatweel, which joins on both sides."""


def fit(text: str, known: Container[int]) -> str:
    """Text of characters that a font knows, Arabic letters in the forms that their neighbours ask for.

    :param known: the font's code points.
    """
    text = unicodedata.normalize("NFC", text)
    for two, one in _LAM_ALEF.items():
        text = text.replace(two, one)
    joined = _joined(text)
    return "".join(
        one if ord(one) in known else old if ord(old) in known else code_point(old)
        for one, old in joined
        if not _invisible(one)
    )


_LAM_ALEF = {"\u0644\u0622": "\ufef5", "\u0644\u0623": "\ufef7", "\u0644\u0625": "\ufef9", "\u0644\u0627": "\ufefb"}
"""Two letters that are always written as one, alone or at the end: the next code point."""


def visual(lines: Sequence[str]) -> list[str]:
    """The lines of a paragraph, each from left to right as it is seen (Unicode's bidirectional algorithm).

    A mark above or below a letter of these scripts comes before it: so the font has it.
    """
    whole = " ".join(lines)
    if not any(unicodedata.bidirectional(one) in _RIGHT_TO_LEFT for one in whole):
        return list(lines)
    from fpdf.bidi import BidiParagraph, auto_detect_base_direction

    base = auto_detect_base_direction(whole)
    turned = (BidiParagraph(text=line, base_direction=base).get_reordered_characters() for line in lines)
    return ["".join(_mirrored(one.character, one.embedding_level) for one in line) for line in turned]


def _mirrored(character: str, level: int) -> str:
    return character.translate(_MIRROR) if level % 2 else character


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
    two = {one: _Forms(final=chr(ord(one) + 1)) for one in _LAM_ALEF.values()}
    return two | {letter: _Forms(**forms) for letter, forms in found.items()}


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
