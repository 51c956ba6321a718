"""Text of users, fit to be shown in every form of a report."""

from __future__ import annotations

import unicodedata

_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that override the direction of text."""


def plain(text: str) -> str:
    """Text on one line. What can't be shown, or would turn what stands beside it, becomes its code point."""
    return "".join(_plain(character) for character in " ".join(text.splitlines()))


def code_point(character: str) -> str:
    return f"[U+{ord(character):04X}]"


def _plain(character: str) -> str:
    if character == "\t":
        return " "
    hidden = unicodedata.category(character) in ("Cc", "Cs") or character in _TURNS
    return code_point(character) if hidden else character


def day(utc: str | None) -> str:
    """ISO 8601 in UTC, for people."""
    return "not known" if utc is None else f"{utc[:19].replace('T', ' ')} UTC"
