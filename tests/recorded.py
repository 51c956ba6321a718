"""Sessions recorded by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_wbc.manifest import Model
from edge_wbc.sessions.recorder import Recorder
from edge_wbc.types import FrameResult, Pixels, Refused, Session, Sighting

LABELLED = (("neutrophil", "lymphocyte"), (), ("unidentified",), ("neutrophil", "platelet"))
"""The cells of each frame."""


def crop_of(number: int) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)


def with_crops(result: FrameResult) -> FrameResult:
    """The same result, each crop with pixels of its own."""
    return replace(
        result,
        counted=tuple(
            replace(one, sightings=(Sighting(one.prediction, crop_of(one.number)),)) for one in result.counted
        ),
    )


@pytest.fixture
def results(result_of: Callable[..., FrameResult]) -> list[FrameResult]:
    """Four frames with five cells."""
    firsts = np.cumsum([1, *map(len, LABELLED)]).tolist()
    return [with_crops(result_of(i, labels, firsts[i])) for i, labels in enumerate(LABELLED)]


@pytest.fixture
def recorder_of(model: Model, session: Session, tmp_path: Path) -> Callable[..., Recorder]:
    """Makes a recorder of session ``id``, in a place of the test's own."""

    def make(session_id: str = session.session_id, **more: object) -> Recorder:
        return Recorder(tmp_path / "sessions", session_id, model, "openvino", **more)

    return make


@pytest.fixture
def record(
    recorder_of: Callable[..., Recorder], session: Session, results: list[FrameResult], end_of: Callable[..., object]
) -> Callable[..., Path]:
    """Records the four frames and a refused one, as session ``id``, and returns its folder."""

    def write(session_id: str = session.session_id, **more: object) -> Path:
        recorder = recorder_of(session_id, **more)
        recorder.open(replace(session, session_id=session_id))
        try:
            for result in results:
                recorder.frame(result)
            recorder.refused(Refused(4, "a.png", "a.png: grey image; give a colour image"))
            differential, summary = end_of(*(label for labels in LABELLED for label in labels))
            recorder.finish(differential, replace(summary, ended="source"))
        finally:
            recorder.close()
        return recorder.folder

    return write
