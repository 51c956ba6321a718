"""Figures as tables for people."""

from __future__ import annotations

from training.evaluate import Report
from training.figures import Figures, caveats
from training.intervals import Interval


def interval_words(interval: Interval | None) -> str:
    """``90.6%–99.0%``; a dash where there is none."""
    return "–" if interval is None else f"{interval[0]:.1%}–{interval[1]:.1%}"


def how_many(report: Report) -> str:
    """``844 images of 24 photographs``."""
    return f"{report.images} images of {report.groups} photograph{'s' if report.groups > 1 else ''}"


def report_table(figures: Figures, title: str) -> None:
    """Print recall, precision and what each class was taken for."""
    from rich.console import Console
    from rich.table import Table

    report = figures.report
    table = Table(title=f"{title}: {how_many(report)}", caption_justify="left")
    for column in ("class", "n", "recall", "95 % interval", "precision"):
        table.add_column(column, justify="left" if column == "class" else "right")
    table.add_column("taken for")
    for label, entry in report.per_class.items():
        others = [f"{said} {count}" for said, count in report.confusion[label].items() if said != label]
        table.add_row(
            label,
            str(entry["n"]),
            f"{entry['recall']:.1%}",
            interval_words(entry["interval"]),
            "" if entry["precision"] is None else f"{entry['precision']:.1%}",
            ", ".join(others[:3]),
        )
    table.caption = "\n".join([*summary_lines(figures), *caveats(report)])
    Console().print(table)


def summary_lines(figures: Figures) -> list[str]:
    """Accuracies with their intervals, calibration and threshold, a line each."""
    report = figures.report
    lines = [
        f"accuracy {report.accuracy:.1%} ({interval_words(report.accuracy_interval)}), "
        f"per photograph {report.accuracy_per_group:.1%} ({interval_words(report.accuracy_per_group_interval)}), "
        f"balanced {report.balanced_accuracy:.1%} ({interval_words(report.balanced_accuracy_interval)}), "
        f"without a threshold {report.accuracy_forced:.1%}"
    ]
    if (calibration := figures.reliability) is not None:
        lines.append(
            f"calibration error {calibration.ece:.3f}; by chance {calibration.by_chance:.3f}, "
            f"or {calibration.by_chance_clustered:.3f} were photographs right or wrong as a whole"
        )
    if (curve := figures.risk_coverage) is not None:
        lines.append(f"threshold {curve.model.threshold:g} {curve.model.words}")
    return lines
