"""An evaluation as one HTML page that needs nothing beside itself: no script, no network, pictures inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import NamedTuple

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.errors import OutputFailed, UsageError, reason
from edge_wbc.files import part_of, replace_whole
from training.evaluate import BACKGROUND, WORST, Photograph
from training.figures import Figures, caveats
from training.plots import confusion_svg, photographs_svg, reliability_svg, require_matplotlib, risk_coverage_svg
from training.show import how_many, interval_words
from training.thumbnails import Thumbnail

_CSS = Path(__file__).with_name("page.css")
_MEANINGS = (
    ("accuracy per image", "share of images whose class was told; unidentified, missed and unreadable ones are errors"),
    ("no threshold", "accuracy per image if unidentified cells were given their most probable class"),
    ("accuracy per photograph", "mean over photographs (or slides) of the accuracy within the photograph"),
    ("balanced accuracy", "mean of the classes' recalls"),
    (
        "95 % interval",
        "bootstrap over photographs; where few of them hold errors, at least the exact one with each counted once",
    ),
    ("calibration error", "expected calibration error of the most probable class, 15 equal bins"),
    ("by chance", "the calibration error that perfect probabilities would show on as many crops"),
    ("rejected", "share of known cells that are unidentified or said to be no cell"),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What was evaluated, when and how."""

    model: str
    graph_sha256: str
    engine: str
    mode: str
    threshold: float
    data: str
    command: str
    date: str
    """ISO 8601, UTC."""
    warning: str = ""
    """What makes the figures look better than they are."""


class Part(NamedTuple):
    """One source, or everything."""

    name: str
    figures: Figures
    photographs: Sequence[Photograph]
    """Every one of them, lowest accuracy first."""
    thumbnails: Sequence[Thumbnail] = ()


def check_page(path: Path) -> None:
    """Refuse a page that could not be written, before the work is done.

    :raises UsageError: its folder is not there or can't be written to, or it is a folder itself.
    :raises EnvironmentMissing: matplotlib is not installed.
    """
    require_matplotlib("plots need")
    if path.is_dir():
        raise UsageError(f"--page {path}: is a folder; name a file in it")
    try:
        part_of(path).open("wb").close()
        part_of(path).unlink()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(f"--page {path}: can't be written ({reason(error)}); choose another place") from None


def write_page(path: Path, text: str) -> None:
    """Atomically, so that a page under the final name is always whole.

    :raises OutputFailed: the disk is full, or the folder went away.
    """
    try:
        replace_whole(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise OutputFailed(
            f"{path}: can't be written ({reason(error)}); make room and run again, the figures are complete"
        ) from None


def page(origin: Origin, whole: Part, sources: Sequence[Part]) -> str:
    """The page as HTML; the same arguments give the same text."""
    title = f"{origin.model} on {origin.data}"
    sources = sorted(sources, key=lambda part: part.name == BACKGROUND)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_CSS.read_text(encoding='utf-8')}</style></head><body>",
            f"<header><h1>{escape(origin.model)}</h1>{_notes([RESEARCH_USE, origin.warning], 'notice')}</header><main>",
            _headline(whole),
            _sources_table([whole, *sources]) if len(sources) > 1 else "",
            *(_section(part) for part in (sources or [whole])),
            _terms("What the figures mean", _MEANINGS),
            _terms("How they were made", [*_origin_rows(origin), ("edge-wbc", __version__)]),
            "</main></body></html>\n",
        ]
    )


def _headline(whole: Part) -> str:
    report, calibration, curve = whole.figures.report, whole.figures.reliability, whole.figures.risk_coverage
    cards = [
        ("accuracy per image", f"{report.accuracy:.1%}", interval_words(report.accuracy_interval)),
        ("per photograph", f"{report.accuracy_per_group:.1%}", interval_words(report.accuracy_per_group_interval)),
        ("balanced accuracy", f"{report.balanced_accuracy:.1%}", interval_words(report.balanced_accuracy_interval)),
    ]
    if calibration is not None:
        chance = f"by chance {calibration.by_chance:.3f}–{calibration.by_chance_clustered:.3f}"
        cards.append(("calibration error", f"{calibration.ece:.3f}", chance))
    if curve is not None:
        cards.append(("rejected", f"{curve.model.rejected:.1%}", curve.model.words.partition(", ")[2]))
    boxes = "".join(f"<div><p>{name}</p><strong>{value}</strong><p>{more}</p></div>" for name, value, more in cards)
    return (
        f"<section><p>{how_many(report)}, {escape(whole.name)}. "
        f"Below each accuracy stands its 95 % interval.</p><div class=cards>{boxes}</div>"
        f"{_notes(caveats(report))}</section>"
    )


def _sources_table(parts: Sequence[Part]) -> str:
    head = (
        "",
        "images",
        "photographs",
        "accuracy",
        "95 % interval",
        "no threshold",
        "per photograph",
        "balanced",
        "calibration error",
    )
    rows = []
    for part in parts:
        report, calibration = part.figures.report, part.figures.reliability
        rows.append(
            (
                part.name,
                str(report.images),
                str(report.groups),
                f"{report.accuracy:.1%}",
                interval_words(report.accuracy_interval),
                f"{report.accuracy_forced:.1%}",
                f"{report.accuracy_per_group:.1%}",
                f"{report.balanced_accuracy:.1%}",
                "–" if calibration is None else f"{calibration.ece:.3f}",
            )
        )
    return f"<section><h2>Sources</h2>{_table(head, rows)}</section>"


def _section(part: Part) -> str:
    report, calibration, curve = part.figures.report, part.figures.reliability, part.figures.risk_coverage
    classes = [
        (
            label,
            str(entry["n"]),
            str(entry["groups"]),
            f"{entry['recall']:.1%}",
            interval_words(entry["interval"]),
            "–" if entry["precision"] is None else f"{entry['precision']:.1%}",
        )
        for label, entry in report.per_class.items()
    ]
    head = ("class", "images", "photographs", "recall", "95 % interval", "precision")
    plots = [_figure(confusion_svg(report.confusion), "What each class was said to be. Orange: errors.")]
    if calibration is not None:
        plots.append(_figure(reliability_svg(calibration), _calibration_words(part.figures)))
    if curve is not None:
        plots.append(
            _figure(
                risk_coverage_svg(curve), f"{curve.known} known cells. At the model's threshold: {curve.model.words}."
            )
        )
    if 1 < report.groups < report.images:
        plots.append(
            _figure(
                photographs_svg(part.photographs),
                "A dot a photograph, larger with more images; orange: the class's mean over photographs.",
            )
        )
    return "\n".join(
        [
            f"<section><h2>{escape(part.name)}</h2>{_notes(caveats(report))}{_table(head, classes)}",
            f"<div class=plots>{''.join(plots)}</div>",
            _worst(part),
            _thumbnails(part),
            "</section>",
        ]
    )


def _calibration_words(figures: Figures) -> str:
    calibration = figures.reliability
    assert calibration is not None
    return (
        f"Calibration error {calibration.ece:.3f} over {calibration.crops} crops. "
        f"By chance: {calibration.by_chance:.3f}, or {calibration.by_chance_clustered:.3f} were photographs right or "
        "wrong as a whole. Orange: the gaps."
    )


def _worst(part: Part) -> str:
    report = part.figures.report
    if not report.worst or report.groups == report.images:
        return ""
    rows = [
        (
            photograph.group,
            photograph.label,
            f"{photograph.right} of {photograph.images}",
            ", ".join(f"{said} {count}" for said, count in photograph.said.items()),
        )
        for photograph in report.worst
    ]
    wrong = sum(photograph.right < photograph.images for photograph in part.photographs)
    title = f"Photographs with errors: {wrong} of {report.groups}" + _bounded(len(rows), wrong, f"the worst {WORST}")
    return f"<h3>{title}</h3>" + _table(("photograph", "class", "right", "said to be"), rows, numbers=False)


def _thumbnails(part: Part) -> str:
    wrong = part.figures.report.images - sum(photograph.right for photograph in part.photographs)
    if not part.thumbnails:
        return ""
    shown = []
    for item, uri in part.thumbnails:
        sure = "" if item.prediction is None else f" {item.prediction.probability:.0%}"
        words = f"{item.sample.label} → {item.said}{sure}"
        shown.append(
            f'<figure><img src="{uri}" alt="{escape(words)}" title="{escape(str(item.sample.path))}" '
            f"width=96 height=96><figcaption>{escape(words)}</figcaption></figure>"
        )
    title = f"Errors: {wrong}" + _bounded(len(shown), wrong, f"{len(shown)}, the surest of each photograph first")
    return f"<h3>{title}</h3><div class=thumbnails>{''.join(shown)}</div>"


def _bounded(shown: int, there: int, words: str) -> str:
    return f"; shown are {words}" if shown < there else ""


def _origin_rows(origin: Origin) -> list[tuple[str, str]]:
    names = [field.name for field in fields(origin) if field.name != "warning"]
    return [(name.replace("_", " "), str(getattr(origin, name))) for name in names]


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    kind = "numbers" if numbers else "words"
    return f"<div class=wide><table class={kind}><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"


def _terms(title: str, rows: Iterable[tuple[str, str]]) -> str:
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<section><h2>{title}</h2><dl>{terms}</dl></section>"


def _notes(sentences: Sequence[str], kind: str = "caveat") -> str:
    return "".join(f"<p class={kind}>{escape(sentence)}</p>" for sentence in sentences if sentence)
