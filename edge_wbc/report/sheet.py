"""Sheets of A4 with the vendored fonts: text that fits, wrapped and in visual order, and page breaks."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_wbc.errors import EnvironmentMissing
from edge_wbc.report.typeset import fit, visual

FONTS = Path(__file__).with_name("fonts")
WIDTH, HEIGHT = 210.0, 297.0
"""Of A4, in mm, as all lengths here."""
LEFT, TOP, BOTTOM = 12.0, 10.0, 15.0
"""Margins; right is as left."""
INNER = WIDTH - 2 * LEFT
INK, DIM, LINE, GOOD, BAD, MOVED = (
    (20, 24, 29),
    (76, 86, 97),
    (198, 204, 211),
    (10, 92, 54),
    (163, 22, 12),
    (179, 89, 0),
)
LINE_HEIGHT = 1.3
"""In heights of the font."""
_MM_IN_A_POINT = 25.4 / 72


class Sheet:
    """A document that is being made. ``y`` is where the next thing goes."""

    def __init__(self, title: str, made: str, footer: Callable[[int], str]) -> None:
        """
        :param made: ISO 8601: what the document says of when it was made.
        :param footer: of a page, by its number; ``{pages}`` in it becomes how many there are.
        :raises EnvironmentMissing: fpdf2 is not installed.
        """
        self._document = _document()
        self._document.set_title(title)
        self._document.set_lang("en")
        self._document.set_creation_date(_date(made))
        self._document.alias_nb_pages("{pages}")
        for style, file in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
            self._document.add_font("sans", style, FONTS / file)
        self._footer = footer
        self._known = {style: frozenset(self._document.fonts[f"sans{style}"].cmap) for style in ("", "B")}
        self.missed = False
        """Whether the code point of a character stands in its place."""
        self._wrapped: dict[tuple[str, float, float, bool], list[str]] = {}
        self.y = TOP
        self.new_page()

    def new_page(self) -> None:
        self._document.add_page()
        for line in self.lines(self._footer(self._document.page_no()), INNER, 6.5)[:1]:
            self._draw(LEFT, HEIGHT - BOTTOM + 5, line, size=6.5, colour=DIM)
        self.y = TOP

    @property
    def room(self) -> float:
        """Left on this page."""
        return HEIGHT - BOTTOM - self.y

    def lines(self, text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
        """Text wrapped, each line as it is printed."""
        key = text, width, size, bold
        if key not in self._wrapped:
            self._wrapped[key] = self._wrap(*key)
        return self._wrapped[key]

    def _wrap(self, text: str, width: float, size: float, bold: bool) -> list[str]:
        known = self._known["B" if bold else ""]
        fitting = fit(text, known)
        self.missed = self.missed or "[U+" in fitting
        self._document.set_font("sans", "B" if bold else "", size)
        found = self._document.multi_cell(width, text=fitting, align="L", dry_run=True, output="LINES")
        return visual([str(line) for line in found]) or [""]

    def text(
        self,
        x: float,
        text: str,
        width: float,
        size: float,
        *,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
        align: str = "L",
        y: float | None = None,
    ) -> float:
        """Print wrapped text at ``y`` and return its height; without ``y`` goes on from page to page."""
        height = line_height(size)
        lines = self.lines(text, width, size, bold=bold)
        for number, line in enumerate(lines):
            if y is None:
                if self.room < height:
                    self.new_page()
                at = self.y
                self.y += height
            else:
                at = y + number * height
            self._draw(x, at, line, width=width, size=size, bold=bold, colour=colour, align=align)
        return len(lines) * height

    def rule(self, *, width: float = 0.15, colour: tuple[int, int, int] = LINE) -> None:
        """A line across the page, at ``y``."""
        self._document.set_draw_color(*colour)
        self._document.set_line_width(width)
        self._document.line(LEFT, self.y, WIDTH - LEFT, self.y)

    def box(self, x: float, y: float, width: float, height: float, colour: tuple[int, int, int], line: float) -> None:
        self._document.set_draw_color(*colour)
        self._document.set_line_width(line)
        self._document.rect(x, y, width, height)

    def picture(self, png: bytes, x: float, y: float, side: float, said: str) -> None:
        """
        :param said: for those who can't see it.
        """
        self._document.image(io.BytesIO(png), x, y, side, side, alt_text=said)

    def made(self) -> bytes:
        return bytes(self._document.output())

    def _draw(
        self,
        x: float,
        y: float,
        line: str,
        *,
        size: float,
        width: float = INNER,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
        align: str = "L",
    ) -> None:
        document = self._document
        document.set_font("sans", "B" if bold else "", size)
        document.set_text_color(*colour)
        document.set_xy(x, y)
        document.cell(width, line_height(size), line, align=align)


def line_height(size: float) -> float:
    """Of a font's size in points."""
    return size * _MM_IN_A_POINT * LINE_HEIGHT


def _document() -> Any:
    try:
        from fpdf import FPDF
    except ImportError:
        raise EnvironmentMissing("fpdf2 is not installed; pip install 'edge-wbc[web]'") from None
    document = FPDF(format="A4", unit="mm")
    document.set_auto_page_break(False)
    document.set_margin(0)
    document.c_margin = 0
    document.set_creator("edge-wbc")
    return document


def _date(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
