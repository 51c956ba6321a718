"""Plots as SVG text, each from plain data. Colours are CSS variables, so that a page can have a light and a dark face.

Needs matplotlib, imported when something is drawn. The same data give the same bytes with the same matplotlib.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from edge_wbc.errors import EnvironmentMissing
from edge_wbc.types import LABELS
from training.evaluate import Photograph
from training.reliability import Reliability, RiskCoverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Parameters = ParamSpec("Parameters")

INK, FAINT, PAPER, MARK, ACCENT = "#1f2328", "#8b949e", "#ffffff", "#0072b2", "#d55e00"
"""Light face. Blue and vermilion of Okabe and Ito's palette, told apart by colour-blind readers too."""
COLOURS = {"ink": INK, "faint": FAINT, "paper": PAPER, "mark": MARK, "accent": ACCENT}
WIDTH_IN = 4.6
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edge-wbc",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def require_matplotlib(user: str) -> None:
    """:param user: what needs it, and the verb.
    :raises EnvironmentMissing: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise EnvironmentMissing(f"{user} matplotlib; pip install 'edge-wbc[train]'")


def _styled(plot: Callable[Parameters, str]) -> Callable[Parameters, str]:
    """Draw in our style, whatever the user's matplotlibrc says."""

    @wraps(plot)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> str:
        from matplotlib import style

        with style.context(["default", _STYLE]):
            return plot(*args, **kwargs)

    return drawn


@_styled
def confusion_svg(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """Counts, shaded by their share of the true class.

    :param confusion: true class → what was said → count.
    """
    rows = _in_order(confusion)
    columns = _in_order({*rows, *(said for row in confusion.values() for said in row)})
    figure, axes = _figure(0.34 * len(rows) + 2.1)
    for y, label in enumerate(rows):
        total = sum(confusion[label].values())
        for x, said in enumerate(columns):
            count = confusion[label].get(said, 0)
            if not count:
                continue
            share = count / total
            colour = MARK if said == label else ACCENT
            axes.bar(x, 0.94, 0.94, y - 0.47, color=colour, alpha=0.12 + 0.88 * share)
            axes.text(x, y, str(count), ha="center", va="center_baseline", color=PAPER if share > 0.6 else INK)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel="said to be", ylabel="true class")
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.yaxis.labelpad = 8
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return _svg(figure)


@_styled
def reliability_svg(reliability: Reliability) -> str:
    """Accuracy against probability, bin by bin, over the number of crops in each bin."""
    figure, (upper, lower) = _figures(3.6, (3, 1))
    width = reliability.bins[0].high - reliability.bins[0].low
    upper.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
    for shown in reliability.bins:
        upper.bar(shown.low, shown.accuracy, width, align="edge", color=MARK, alpha=0.35, edgecolor=MARK)
        upper.plot([shown.confidence] * 2, [shown.confidence, shown.accuracy], color=ACCENT, linewidth=1.5)
        upper.plot(shown.confidence, shown.accuracy, "o", color=ACCENT, markersize=4)
        lower.bar(shown.low, shown.crops, width, align="edge", color=MARK, alpha=0.35, edgecolor=MARK)
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="accuracy")
    lower.set(xlabel="probability of the most probable class", ylabel="crops", yscale="log")
    lower.set_ylim(bottom=0.7)
    lower.yaxis.set_major_formatter("{x:g}")
    lower.minorticks_off()
    return _svg(figure)


@_styled
def risk_coverage_svg(curve: RiskCoverage) -> str:
    """Error on the cells that are left against the share of cells rejected, with the model's threshold marked."""
    figure, axes = _figure(3.2)
    points = [point for point in curve.points if point.error is not None]
    errors = [100 * point.error for point in points if point.error is not None]
    axes.step([100 * point.rejected for point in points], errors, where="post", color=MARK, linewidth=1.8)
    here = curve.model
    if here.error is not None:
        axes.plot(100 * here.rejected, 100 * here.error, "o", color=ACCENT, markersize=7, clip_on=False)
    axes.set_title(f"● threshold {here.threshold:g}:\n{here.words}", loc="left", color=ACCENT, fontsize=10)
    highest = max([*errors, 100 * (here.error or 0), 1.0])
    axes.set(xlim=(0, 100), ylim=(0, min(100, 1.1 * highest)))
    axes.set(xlabel="known cells rejected, %", ylabel="errors on the rest, %")
    return _svg(figure)


@_styled
def photographs_svg(photographs: Sequence[Photograph]) -> str:
    """A dot a photograph: its accuracy, in the row of its class, larger with more images."""
    rows = _in_order({photograph.label for photograph in photographs})
    figure, axes = _figure(0.55 * len(rows) + 0.8)
    most = max(photograph.images for photograph in photographs)
    for y, label in enumerate(rows):
        shown = sorted(
            (photograph for photograph in photographs if photograph.label == label), key=lambda one: one.accuracy
        )
        level = [y + 0.3 * ((7 * i) % 11 - 5) / 5 for i in range(len(shown))]
        sizes = [8 + 50 * photograph.images / most for photograph in shown]
        accuracy = [100 * photograph.accuracy for photograph in shown]
        axes.scatter(accuracy, level, s=sizes, color=MARK, alpha=0.5, edgecolors=MARK, clip_on=False)
        mean = sum(accuracy) / len(accuracy)
        axes.plot([mean, mean], [y - 0.38, y + 0.38], color=ACCENT, linewidth=2)
    axes.set(xlim=(-2, 102), ylim=(len(rows) - 0.5, -0.5), xlabel="right of a photograph's images, %")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    return _svg(figure)


def _in_order(names: Mapping[str, Any] | set[str]) -> list[str]:
    """Classes in the project's order, then what else was said."""
    return [name for name in LABELS if name in names] + sorted(set(names) - set(LABELS))


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure, (axes,) = _figures(height_in, (1,))
    return figure, axes


def _figures(height_in: float, heights: Sequence[int]) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    grid = figure.add_gridspec(len(heights), height_ratios=heights)
    first = figure.add_subplot(grid[0])
    return figure, [first, *(figure.add_subplot(grid[i], sharex=first) for i in range(1, len(heights)))]


def _svg(figure: Figure) -> str:
    """An ``<svg>`` element that can stand alone or in a page: no metadata, no ids but those referred to."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<g id=\"[\w.]+_\d+\">", "<g>", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", text)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    return text
