"""A session of the golden crops, recorded by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_wbc.golden import golden
from edge_wbc.manifest import Model
from edge_wbc.sessions.recorder import Recorder
from edge_wbc.types import Pixels, Session, Sighting

DRAWN = golden(64)


def record_golden(
    place: Path,
    model: Model,
    session: Session,
    result_of: Callable[..., Any],
    end_of: Callable[..., Any],
    crops: Pixels = DRAWN.crops,
    labels: tuple[str, ...] = DRAWN.labels,
) -> Path:
    """Record a session of these crops, each labelled as it is drawn; returns its folder.

    :param result_of: the fixture, as ``end_of``.
    """
    recorder = Recorder(place, session.session_id, model, "openvino")
    recorder.open(session)
    try:
        result = result_of(0, labels)
        counted = tuple(
            replace(one, sightings=(Sighting(one.prediction, crops[i]),)) for i, one in enumerate(result.counted)
        )
        recorder.frame(replace(result, counted=counted))
        differential, summary = end_of(*labels)
        recorder.finish(differential, replace(summary, ended="source"))
    finally:
        recorder.close()
    return recorder.folder
