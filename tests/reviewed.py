"""Sessions of the simulated microscope, recorded for real and reviewed by one who knows what is on the slide.

python -m tests.reviewed PLACE MODEL SOURCE...
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_wbc.bench.counting import ON_THE_CELL
from edge_wbc.cli.session import mode_of, new_session
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Pipeline
from edge_wbc.review import decide
from edge_wbc.review.review import NOT_CLASSED, Review
from edge_wbc.sessions.recorder import Recorder
from edge_wbc.sources.base import open_source
from edge_wbc.types import NOT_A_CELL, CountedCell, FrameResult, KnownCell
from edge_wbc.vision.geometry import part_shared


class Known:
    """A sink that keeps what is really on the slide where each cell was counted."""

    uri = "known:"

    def __init__(self) -> None:
        self.labels: dict[int, str] = {}

    def open(self, session: object) -> None: ...

    def frame(self, result: FrameResult) -> None:
        self.last(result.counted)

    def refused(self, refused: object) -> None: ...

    def last(self, counted: Sequence[CountedCell]) -> None:
        for one in counted:
            best = max(one.frame.truth or (), key=lambda known: part_shared(one.cell.box, known.box), default=None)
            self.labels[one.number] = best.label if best is not None and _shows(one, best) else NOT_A_CELL

    def finish(self, differential: object, summary: object) -> None: ...

    def close(self) -> None: ...

    def report(self) -> Mapping[str, Any]:
        return {}


def _shows(one: CountedCell, known: KnownCell) -> bool:
    return part_shared(one.cell.box, known.box) >= ON_THE_CELL


def reviewed(place: Path, sources: Sequence[str], *, model: str = "leukonet", label: str = "") -> Iterator[Review]:
    """Record each source, move every cell to where it belongs, and sign."""
    with closing(open_engine("openvino", load_model(model), 1)) as engine:
        for uri in sources:
            yield _reviewed(place, uri, engine, label)


def _reviewed(place: Path, uri: str, engine: Engine, label: str) -> Review:
    source = open_source(uri)
    session = new_session(uri, mode_of(source), engine)
    known = Known()
    recorder = Recorder(place, session.session_id, engine.model, engine.name, label=label)
    outcome = Pipeline(source, engine, [recorder, known], session).run()
    assert outcome.error is None
    assert not outcome.failed_sinks
    review = Review(recorder.folder)
    names = engine.model.manifest.labels.names
    wrong: dict[str, dict[int, str]] = defaultdict(dict)
    for number, one in review.cells.items():
        to = known.labels[number] if known.labels[number] in names else NOT_CLASSED
        if to != one.prediction.label:
            wrong[to][number] = one.prediction.label
    for to, cells in wrong.items():
        decide.move(review, "ann", cells, to)
    if NOT_CLASSED in wrong:
        decide.explain(review, "ann", NOT_CLASSED, "the model has no class for it")
    decide.sign(review, "ann")
    return review


if __name__ == "__main__":
    for review in reviewed(Path(sys.argv[1]), sys.argv[3:], model=sys.argv[2]):
        cells = review.cells.values()
        same = sum(review.class_of(one.number) == one.prediction.label for one in cells)
        sys.stdout.write(
            f"{review.folder.name} {len(cells)} cells, {same} as the network said {dict(review.counts())}\n"
        )
