"""Tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_wbc import RESEARCH_USE

if TYPE_CHECKING:
    from edge_wbc.types import Differential, Summary
    from edge_wbc.vision.slide_map import SlideMap


def differential_table(differential: Differential, title: str) -> None:
    """Print a differential with a bar and the interval of each class."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, caption=f"{RESEARCH_USE} Intervals: 95 %, sampling only, exclude classifier error.")
    table.add_column("class")
    table.add_column("cells", justify="right")
    table.add_column("%", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("", min_width=20)
    for label, share in differential.shares.items():
        if share.percent is None:
            table.add_row(label, str(share.count), "", "", "", style="dim")
        else:
            bar = "█" * round(share.percent / 5) or "▏" * bool(share.count)
            table.add_row(label, str(share.count), f"{share.percent:.1f}", f"{share.low:.1f}–{share.high:.1f}", bar)
    table.add_section()
    table.add_row("leukocytes", str(differential.total))
    table.add_row("unidentified", str(differential.unidentified))
    if differential.erythroblasts_per_100 is not None:
        table.add_row("erythroblasts per 100", f"{differential.erythroblasts_per_100:.1f}")
    Console().print(table)


def summary_lines(summary: Summary) -> list[str]:
    """Throughput and stages in words."""
    lines = [
        f"{summary.frames} frames ({summary.dropped} dropped, {summary.refused} refused), {summary.cells} cells, "
        f"{summary.seconds:.1f} s, {summary.fps:.1f} frames/s"
    ]
    lines += troubles(summary)
    if summary.age_ms:
        lines.append(
            "age of a frame when decided: "
            + ", ".join(f"{name} {value:.1f} ms" for name, value in summary.age_ms.items())
        )
    lines.append(
        "stages, p50 / p99 ms: "
        + ", ".join(f"{stage} {times['p50']:.2f} / {times['p99']:.2f}" for stage, times in summary.stages.items())
    )
    return lines


def troubles(summary: Summary) -> list[str]:
    """Losses of the source, and frames that were not judged, in words."""
    lines = []
    if summary.restarts or summary.lost_s:
        lines.append(f"source lost and opened again {summary.restarts}×, {summary.lost_s:.1f} s without frames")
    if summary.rejected:
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items())
        lines.append(f"frames not judged: {reasons}")
    return lines


def slide_line(slide: SlideMap) -> str:
    """How much of the slide was seen, and whether it all hangs together."""
    left, top, right, bottom = slide.extent
    fields = f"{(right - left) / slide.size[0]:.1f} × {(bottom - top) / slide.size[1]:.1f} fields"
    elsewhere = f", {slide.elsewhere} at places apart from these" if slide.elsewhere else ""
    cells = f"{len(slide.cells)} cell{'s' * (len(slide.cells) != 1)}"
    return f"slide: {fields} seen, {cells} there{elsewhere}"
