"""Sessions to report on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_wbc.manifest import load_model
from edge_wbc.report.content import Report
from edge_wbc.report.gather import content
from edge_wbc.review import decide
from edge_wbc.review.review import NOT_CLASSED, Review
from edge_wbc.sessions.recorder import Recorder
from edge_wbc.types import CountedCell, FrameResult, Refused, Session, Sighting

LABELS = ("neutrophil",) * 9 + ("lymphocyte",) * 4 + ("monocyte", "erythroblast", "erythroblast", "unidentified")
"""Of the cells, in their order: the first is number 1."""


def _crop(number: int, size_px: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size_px, size_px, 3), np.uint8)


def _sure(one: CountedCell, size_px: int) -> CountedCell:
    """The same cell, of a probability of its own, and with a crop of its own."""
    probability = round(0.99 - 0.01 * one.number, 6)
    prediction = replace(
        one.prediction,
        probability=probability,
        probabilities={**one.prediction.probabilities, one.prediction.label: probability},
    )
    sighting = Sighting(prediction, _crop(one.number, size_px))
    return replace(one, prediction=prediction, sightings=(sighting,))


@pytest.fixture
def record(
    session: Session,
    result_of: Callable[..., FrameResult],
    end_of: Callable[..., object],
    tmp_path: Path,
) -> Callable[..., Path]:
    """Records a session of ``labels`` and returns its folder; ``ended`` None leaves it as a kill does."""

    def write(
        *labels: str,
        model: str = "leukonet",
        ended: str | None = "source",
        quota_bytes: int = 10**9,
        label: str = "slide 7",
        notes: tuple[str, ...] = ("second drop",),
    ) -> Path:
        loaded = load_model(model)
        named = replace(session, model=loaded.name)
        more = {"label": label, "notes": notes, "quota_bytes": quota_bytes}
        recorder = Recorder(tmp_path / "sessions", session.session_id, loaded, "openvino", **more)
        recorder.open(named)
        result = result_of(0, labels)
        counted = tuple(_sure(one, loaded.manifest.input.size_px) for one in result.counted)
        recorder.frame(replace(result, counted=counted))
        recorder.frame(result_of(1, ()))
        recorder.refused(Refused(2, "a.png", "a.png: grey image; give a colour image"))
        recorder.refused(Refused(3, "b.png", "b.png: grey image; give a colour image"))
        if ended is not None:
            differential, summary = end_of(*labels)
            rejected = {"blurred": 3, "dark": 1}
            recorder.finish(differential, replace(summary, ended=ended, dropped=5, rejected=rejected))
        recorder.close()
        return recorder.folder

    return write


@pytest.fixture
def review(record: Callable[..., Path]) -> Review:
    """A session as it was recorded, with nothing decided."""
    return Review(record(*LABELS))


@pytest.fixture
def signed(review: Review) -> Review:
    """Two versions: a cell moved wrongly, signed, put right, signed again."""
    decide.move(review, "Anna", {1: "neutrophil", 2: "neutrophil"}, "immature granulocyte", "band forms")
    decide.move(review, "Anna", {10: "lymphocyte"}, NOT_CLASSED)
    _explain(review, "Anna")
    decide.sign(review, "Anna")
    decide.amend(review, "Béla", "cell 2 is a neutrophil after all")
    decide.move(review, "Béla", {2: "immature granulocyte"}, "neutrophil")
    _explain(review, "Béla")
    decide.sign(review, "Béla")
    return review


def _explain(review: Review, who: str) -> None:
    decide.explain(review, who, "unidentified", "smudged")
    decide.explain(review, who, NOT_CLASSED, "a blast, for the haematologist")


@pytest.fixture
def report(signed: Review) -> Report:
    return content(signed)
