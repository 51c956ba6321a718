"""The little of SVG that the pictures of a benchmark need: a frame with axes, and marks in it.

Colours are those of the page around: ``var(--mark)`` and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 60, 14, 14, 40
"""Margins around what is drawn."""
COLOURS = ("--mark", "--accent", "--third", "--fourth", "--fifth", "--sixth")


class Scale(NamedTuple):
    """Values to pixels, along one side."""

    least: float
    greatest: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, here = self.least, self.greatest, value
        if self.log:
            low, high, here = math.log(low), math.log(high), math.log(max(value, 1e-12))
        return self.begin + (self.end - self.begin) * (here - low) / ((high - low) or 1.0)

    @property
    def ticks(self) -> list[float]:
        """Round numbers within it: 1, 2 and 5 times powers of ten; on a short logarithmic side as on a straight one."""
        if self.log:
            powers = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.greatest)) + 1)
            found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
            found = [value for value in found if self.least <= value <= self.greatest]
            if len(found) > 8:
                found = [value for value in found if f"{value:e}"[0] == "1"]
            if len(found) > 2:
                return found[:: -(-len(found) // 8)]
        step = _step(self.greatest - self.least or 1.0)
        first, last = math.ceil(self.least / step), math.floor(self.greatest / step)
        return [step * number for number in range(first, last + 1)]


def _step(span: float) -> float:
    """So that some five fit."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 6)


def across(least: float, greatest: float, *, log: bool = False) -> Scale:
    return Scale(least, greatest, LEFT, WIDTH - RIGHT, log)


def upwards(least: float, greatest: float, height: int = HEIGHT, *, log: bool = False) -> Scale:
    return Scale(least, greatest, height - BOTTOM, TOP, log)


def axes(x: Scale, y: Scale | None, x_name: str, y_name: str, height: int = HEIGHT) -> str:
    """Lines, ticks and names; without ``y`` only what is below."""
    base = height - BOTTOM
    parts = [f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}" fill="none" stroke="var(--faint)"/>']
    for value in x.ticks:
        at = f"{x(value):.1f}"
        parts.append(f'<path d="M{at} {base}v4" stroke="var(--faint)"/>')
        parts.append(text(x(value), base + 16, _short(value), anchor="middle"))
    for value in y.ticks if y else ():
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="var(--line)"/>' if y else "")
        parts.append(text(LEFT - 6, (y(value) if y else 0) + 4, _short(value), anchor="end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, height - 6, x_name, anchor="middle"))
    if y_name:
        middle = (TOP + base) / 2
        parts.append(
            f'<text transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
        )
    return "".join(parts)


def text(x: float, y: float, said: str, *, anchor: str = "start", colour: str = "--dim") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var({colour})">{escape(said)}</text>'


def bar(x: float, y: float, width: float, height: float, colour: str = "--mark", *, pale: bool = False) -> str:
    opacity = ' fill-opacity="0.3"' if pale else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
        f' fill="var({colour})"{opacity}/>'
    )


def line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="var({colour})" stroke-width="1.5"{dashes}/>'


def dot(x: float, y: float, colour: str, title: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="var({colour})"><title>{escape(title)}</title></circle>'


def picture(name: str, inside: str, height: int = HEIGHT) -> str:
    """:param name: read aloud in its place."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}" font-size="11"'
        f' fill="var(--dim)">{inside}</svg>'
    )


def key(names: Sequence[str], y: float = TOP + 4, shorten: Callable[[str], str] = str) -> str:
    """Colours and what they stand for, one below the other."""
    return "".join(
        bar(LEFT + 10, y + 14 * at - 8, 9, 9, COLOURS[at % len(COLOURS)]) + text(LEFT + 24, y + 14 * at, shorten(name))
        for at, name in enumerate(names)
    )


def _short(value: float) -> str:
    if (value and abs(value) < 1e-3) or abs(value) >= 1e6:
        return f"{value:.0e}"
    return f"{value:g}" if abs(value) < 1000 else f"{value:.0f}"
