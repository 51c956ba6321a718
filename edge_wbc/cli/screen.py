"""What a person sees while a session runs: the differential growing, rates, ages, drops, losses, the slide."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge_wbc import RESEARCH_USE
from edge_wbc.cli.show import slide_line, troubles

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edge_wbc.types import Differential, Summary
    from edge_wbc.vision.slide_map import SlideMap

REDRAWN_HZ = 4.0
LATEST_S = 1.0
"""Current rates are of the last second."""
BAR = 30
MAP_COLUMNS, MAP_ROWS = 64, 8
"""The largest map of the slide."""


class Screen:
    """Draws the status of a session whenever it is asked to.

    :param status: where the session stands now.
    :param slide: what is known of the slide, if frames are followed.
    """

    def __init__(
        self,
        title: str,
        status: Callable[[], Summary],
        clock: Callable[[], float] = time.monotonic,
        slide: Callable[[], SlideMap | None] = lambda: None,
    ) -> None:
        self._title = title
        self._status = status
        self._slide = slide
        self._clock = clock
        self._seen: deque[tuple[float, Summary]] = deque()

    def __rich__(self) -> RenderableType:
        """Draw it."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        summary = self._status()
        now = self._clock()
        self._seen.append((now, summary))
        while now - self._seen[0][0] > LATEST_S:
            self._seen.popleft()
        lines = [Text(line) for line in (self._rates(), *self._sinks(summary))]
        slide = self._slide()
        body = Group(_table(summary.differential), *lines, *([] if slide is None else _map(slide)))
        return Panel(body, title=self._title, subtitle=f"{RESEARCH_USE} Ctrl-C ends the session.", title_align="left")

    def _rates(self) -> str:
        (then, before), (now, summary) = self._seen[0], self._seen[-1]
        passed_s = now - then
        rate = (summary.frames - before.frames) / passed_s if passed_s else 0.0
        cells = (summary.cells - before.cells) / passed_s if passed_s else 0.0
        age = f", age of a frame {summary.age_ms['p50']:.0f} ms ({summary.age_ms['p99']:.0f})" if summary.age_ms else ""
        frames = f"{summary.frames} frames, {summary.dropped} dropped, {summary.refused} refused"
        lines = [f"{rate:.0f} frames/s, {cells:.0f} cells/s{age}", f"{frames}, {summary.seconds:.0f} s"]
        return "\n".join(lines + troubles(summary))

    def _sinks(self, summary: Summary) -> Iterator[str]:
        for uri, report in summary.sinks.items():
            yield f"{uri}: {_told(report)}"


def _map(slide: SlideMap) -> Iterator[RenderableType]:
    from rich.text import Text

    from edge_wbc.vision.slide_map import map_lines

    yield Text(slide_line(slide))
    for line in map_lines(slide, MAP_COLUMNS, MAP_ROWS):
        yield Text(line, no_wrap=True)


def _told(report: Any) -> str:
    if "error" in report:
        return str(report["error"])
    shown = {name: value for name, value in report.items() if isinstance(value, int)}
    return ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in shown.items() if value) or "nothing yet"


def _table(differential: Differential) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("", "cells", "%", "95 % interval"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_column("", min_width=BAR, no_wrap=True)
    for label, share in differential.shares.items():
        if share.percent is None or share.low is None or share.high is None:
            table.add_row(label, str(share.count), "", "", "", style="dim")
            continue
        interval = f"{share.low:.1f}–{share.high:.1f}"
        table.add_row(
            label, str(share.count), f"{share.percent:.1f}", interval, _bar(share.percent, share.low, share.high)
        )
    table.add_row("leukocytes", str(differential.total), style="bold")
    table.add_row("unidentified", str(differential.unidentified))
    return table


def _bar(percent: float, low: float, high: float) -> str:
    """The share, and in a lighter shade how far the interval reaches."""
    certain, likely, at_most = (round(value / 100 * BAR) for value in (low, percent, high))
    return "█" * certain + "▓" * (likely - certain) + "░" * (at_most - likely)


@contextmanager
def screen(title: str, status: Callable[[], Summary], slide: Callable[[], SlideMap | None]) -> Iterator[None]:
    """Draw a session on standard error, a terminal, while it runs; nothing is left of it afterwards."""
    from rich.console import Console
    from rich.live import Live

    drawn = Screen(title, status, slide=slide)
    with Live(drawn, console=Console(stderr=True), refresh_per_second=REDRAWN_HZ, transient=True):
        yield
