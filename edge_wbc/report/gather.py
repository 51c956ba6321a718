"""A report's content, made of a review as it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.errors import ModelError
from edge_wbc.manifest import MODELS, Manifest, manifest_path, read_manifest, sha256
from edge_wbc.report.content import (
    Agreed,
    Amended,
    Decided,
    Explained,
    Figures,
    Frames,
    Line,
    Moved,
    Network,
    Recorded,
    Report,
    Shown,
    Signed,
    Totals,
)
from edge_wbc.report.pictures import chosen, pictures, probability
from edge_wbc.report.text import day, plain
from edge_wbc.review.review import NOT_CLASSED, PILES, Review
from edge_wbc.sessions.archive import INTERRUPTED, RUNNING, Head
from edge_wbc.types import LABELS, UNIDENTIFIED, Differential, Share

NOT_SIGNED = "PRELIMINARY – not signed"


def content(review: Review, *, control: Sequence[str] | None = None, agreement: Sequence[Agreed] = ()) -> Report:
    """What a report of a review as it stands shows.

    :param control: flags of quality control at the time of the session, such as a run outside its limits.
    :param agreement: how far a blind reader agrees.
    :raises SessionError: the session can't be read.
    """
    head = review.recorded.head
    lines = _lines(review)
    return Report(
        notice=RESEARCH_USE,
        status=_status(review),
        warnings=_warnings(review),
        recorded=_recorded(review),
        cells=len(review.cells),
        lines=lines,
        verified=_totals(review.verified, len(review.left(NOT_CLASSED))),
        preliminary=_totals(review.preliminary, 0),
        explained=_explained(review),
        crops_missing=_crops_missing(head, lines),
        frames=_frames(review),
        network=_network(head),
        decided=_decided(review, agreement),
        control=None if control is None else tuple(map(plain, control)),
        printed_by=__version__,
    )


def _explained(review: Review) -> tuple[Explained, ...]:
    found = []
    for pile in PILES:
        cells, row = len(review.left(pile)), review.explained.get(pile)
        if cells:
            said = ("", "", "") if row is None else (plain(row.body["why"]), plain(row.who), row.at_utc)
            found.append(Explained(pile, cells, *said))
    return tuple(found)


def _status(review: Review) -> str:
    if (signed := review.signed) is not None:
        return f"Version {signed.version}, signed by {plain(signed.row.who)} on {day(signed.row.at_utc)}"
    if review.signatures:
        last = review.signatures[-1]
        return f"{NOT_SIGNED}: version {review.version}, after version {last.version} signed by {plain(last.row.who)}"
    return NOT_SIGNED


def _warnings(review: Review) -> tuple[str, ...]:
    head = review.recorded.head
    said = []
    if review.signed is not None and review.signed.row.body.get("differential") != asdict(review.verified):
        said.append(
            "What was recorded is not what was signed: the signature is under another differential. "
            f"See `edge-wbc sessions verify {plain(head.session.session_id)}`."
        )
    if head.ended == RUNNING:
        said.append("The session is running: its figures will change.")
    elif head.ended == INTERRUPTED:
        said.append("The recording broke off: it was killed, or the disk was full. What there is until then is here.")
    return tuple(said)


def _recorded(review: Review) -> Recorded:
    head = review.recorded.head
    session = head.session
    return Recorded(
        session_id=plain(session.session_id),
        label=plain(review.label),
        notes=tuple(map(plain, head.notes)),
        source=plain(session.source),
        mode=plain(session.mode),
        started_utc=session.started_utc,
        ended_utc=head.ended_utc,
        ended=plain(head.ended),
        version=plain(session.version),
    )


def _lines(review: Review) -> tuple[Line, ...]:
    cells: dict[str, list[int]] = {}
    for number in review.cells:
        cells.setdefault(review.class_of(number), []).append(number)
    shown = {name: chosen(review, some) for name, some in cells.items()}
    crops = pictures(review.folder, review.recorded.head.size_px, (one for some in shown.values() for one in some))
    names = dict.fromkeys((*LABELS, *review.preliminary.shares, *cells, *PILES))
    verified, preliminary = review.verified.shares, review.preliminary.shares

    def line(name: str) -> Line:
        some = tuple(
            Shown(
                number,
                round(probability(review, number), 3),
                review.class_of(number) != review.cells[number].prediction.label,
                crops[number],
            )
            for number in shown.get(name, ())
            if number in crops
        )
        now = _figures(verified.get(name) or Share(len(cells.get(name, ())), None, None, None))
        before: Figures | None
        if name == UNIDENTIFIED:
            before = Figures(review.preliminary.unidentified, None, None, None)
        elif name == NOT_CLASSED:
            before = Figures(0, None, None, None)
        else:
            before = _figures(preliminary[name]) if name in preliminary else None
        return Line(plain(name), now, before, some)

    return tuple(line(name) for name in (*(name for name in names if name not in PILES), *PILES))


def _figures(share: Share) -> Figures:
    return Figures(share.count, *(_one_decimal(value) for value in (share.percent, share.low, share.high)))


def _one_decimal(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _totals(differential: Differential, not_classed: int) -> Totals:
    per_100 = _one_decimal(differential.erythroblasts_per_100)
    return Totals(differential.total, differential.unidentified, not_classed, per_100)


def _crops_missing(head: Head, lines: Sequence[Line]) -> str:
    if any(line.shown for line in lines) or not head.cells:
        return ""
    if head.crops_removed_utc:
        return f"The crops were removed on {head.crops_removed_utc[:10]} to keep the quota."
    return "It was recorded without crops, as the quota was used up."


def _frames(review: Review) -> Frames:
    recorded = review.recorded
    summary = recorded.head.summary or {}
    reasons = Counter(plain(one.reason.removeprefix(f"{one.origin}: ")) for one in recorded.refused)
    return Frames(
        judged=recorded.head.frames,
        refused=recorded.head.refused,
        reasons=dict(reasons.most_common()),
        dropped=summary.get("dropped"),
        rejected={plain(name): count for name, count in summary["rejected"].items()} if "rejected" in summary else None,
    )


def _network(head: Head) -> Network:
    manifest = _manifest(head)
    metrics = {} if manifest is None else manifest.metrics
    errors = {
        plain(name): round(100 * found["ece"], 1)
        for name, found in metrics.items()
        if isinstance(found, dict) and isinstance(found.get("ece"), float)
    }
    return Network(
        model=plain(head.session.model),
        engine=plain(head.session.engine),
        graph_sha256=head.graph_sha256,
        manifest_sha256=head.manifest_sha256,
        temperature=head.temperature,
        unidentified_below=head.unidentified_below,
        threshold_from=plain(head.labels.threshold_from),
        calibration_error=errors,
        measured_on=plain(str(metrics.get("on", ""))) if errors else "",
    )


def _manifest(head: Head) -> Manifest | None:
    """The one it was recorded with, if that is still where it was."""
    graph = MODELS / f"{head.graph}.onnx"
    path = manifest_path(Path(head.graph) if head.graph.endswith(".onnx") else graph)
    try:
        return read_manifest(path) if sha256(path) == head.manifest_sha256 else None
    except (ModelError, OSError, ValueError):
        return None


def _decided(review: Review, agreement: Sequence[Agreed]) -> Decided:
    said = ((one.prediction.label, review.class_of(number)) for number, one in review.cells.items())
    moved = Counter(pair for pair in said if pair[0] != pair[1])
    in_order = sorted(moved.items(), key=lambda item: (-item[1], item[0]))
    return Decided(
        version=review.version,
        signed=review.signed is not None,
        signatures=tuple(
            Signed(
                one.version,
                plain(one.row.who),
                one.row.at_utc,
                one.row.body.get("cells", 0),
                one.row.hash,
                {name: str(value) for name, value in one.row.body.items() if name.endswith("_sha256")},
            )
            for one in review.signatures
        ),
        amendments=tuple(
            Amended(row.body["version"], plain(row.who), row.at_utc, plain(row.body["why"]))
            for row in review.rows
            if row.kind == "amended"
        ),
        moved=tuple(Moved(plain(before), plain(after), cells) for (before, after), cells in in_order),
        rows=len(review.rows),
        head=review.head,
        readers=tuple(map(plain, review.readers)),
        agreement=tuple(agreement),
    )
