"""The accuracy–latency front as a picture."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from edge_wbc.errors import OutputFailed, reason
from edge_wbc.files import replace_whole
from export.front import Row

LEAST_IMAGES = 100
"""A source with fewer is not drawn: one image would move its point by more than the differences sought."""
SUFFIXES = (".svg", ".png")


def draw_front(rows: list[Row], caption: str, out: Path) -> list[str]:
    """Draw balanced accuracy by source against latency; graphs without accuracy as vertical lines.

    :param out: ends in one of ``SUFFIXES``.
    :returns: the sources left out for want of images.
    :raises OutputFailed: can't be written.
    """
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    images: dict[str, list[int]] = {}
    for row in rows:
        for source, found in row.accuracy.items():
            images.setdefault(source, []).append(found.images)
    drawn = [source for source in sorted(images) if min(images[source]) >= LEAST_IMAGES]
    for source, marker in zip(drawn, itertools.cycle("osD^vP*Xph"), strict=False):
        _draw_source(axes, [row for row in rows if source in row.accuracy], source, marker)
    axes.set_xscale("log")
    for row in rows:
        shown = [100 * found.balanced_accuracy for source, found in row.accuracy.items() if source in drawn]
        if shown:
            place = (row.ms, max(shown))
            axes.annotate(row.name, place, (2, 5), textcoords="offset points", rotation=40, fontsize="small")
        else:
            axes.axvline(row.ms, linestyle="--", linewidth=1, color="grey")
            label = f"{row.name}, {row.ms:.2f} ms"
            axes.annotate(
                label,
                (row.ms, 0.02),
                (3, 0),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                rotation=90,
                color="grey",
            )
    axes.margins(0.1, 0.15)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("median time of one crop in ms")
    axes.set_ylabel("balanced accuracy in %, locked groups")
    axes.set_title(caption, fontsize="small")
    axes.grid(alpha=0.3)
    if drawn:
        axes.legend(title="source", fontsize="small")
    _write(figure, out)
    return [source for source in sorted(images) if source not in drawn]


def _draw_source(axes: Axes, rows: list[Row], source: str, marker: str) -> None:
    """Every graph's point and, as steps, the front: the best that is as fast or faster."""
    rows = sorted(rows, key=lambda row: row.ms)
    times = [row.ms for row in rows]
    accuracy = [100 * row.accuracy[source].balanced_accuracy for row in rows]
    images = sorted({row.accuracy[source].images for row in rows})
    (points,) = axes.plot(times, accuracy, marker, label=f"{source} (n = {' or '.join(map(str, images))})")
    axes.step(times, list(itertools.accumulate(accuracy, max)), where="post", color=points.get_color(), alpha=0.4)


def _write(figure: Figure, out: Path) -> None:
    content = io.BytesIO()
    kind = out.suffix.removeprefix(".")
    with mpl.rc_context({"svg.hashsalt": "edge-wbc", "svg.fonttype": "none"}):
        figure.savefig(content, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    try:
        replace_whole(out, content.getvalue())
    except OSError as error:
        raise OutputFailed(f"{out}: can't be written ({reason(error)}); choose another place") from None
