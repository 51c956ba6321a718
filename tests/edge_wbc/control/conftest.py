"""The engine, and sessions of the golden crops, signed and not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import Model
from edge_wbc.review.decide import sign
from edge_wbc.review.review import Review
from edge_wbc.types import Session
from tests.golden_session import record_golden


@pytest.fixture(scope="session")
def engine(model: Model) -> Iterator[Engine]:
    engine = open_engine("openvino", model, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def recorded(
    model: Model, session: Session, place: Path, result_of: Callable[..., Any], end_of: Callable[..., Any]
) -> Callable[..., Path]:
    """Records a session of ``crops`` and ``labels``, the golden ones by default; the rest changes the `Session`."""

    def record(session_id: str = session.session_id, *, started_utc: str = session.started_utc, **more: Any) -> Path:
        told = replace(session, session_id=session_id, started_utc=started_utc)
        return record_golden(place, model, told, result_of, end_of, **more)

    return record


@pytest.fixture
def signed(recorded: Callable[..., Path]) -> Review:
    """The review of the golden crops' session, signed."""
    review = Review(recorded())
    sign(review, "anna")
    return review
