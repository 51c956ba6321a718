"""Figures as tables for people."""

from __future__ import annotations

from training.evaluate import Report


def report_table(report: Report, title: str) -> None:
    """Print recall, precision and what each class was taken for."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}: accuracy {report.accuracy:.1%} of {report.images}")
    for column in ("class", "n", "recall", "95 % interval", "precision"):
        table.add_column(column, justify="left" if column == "class" else "right")
    table.add_column("taken for")
    for label, figures in report.per_class.items():
        others = sorted(
            ((said, count) for said, count in report.confusion[label].items() if said != label),
            key=lambda pair: -pair[1],
        )
        low, high = figures["interval"]
        precision = "" if figures["precision"] is None else f"{figures['precision']:.1%}"
        table.add_row(
            label,
            str(figures["n"]),
            f"{figures['recall']:.1%}",
            f"{low:.1%}–{high:.1%}",
            precision,
            ", ".join(f"{said} {count}" for said, count in others[:3]),
        )
    Console().print(table)
