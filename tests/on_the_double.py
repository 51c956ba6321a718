"""TensorRT and CUDA as the double has them, a folder of engines of a test's own, and engines built in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_wbc.engines.engine_file import Place
from edge_wbc.manifest import load_model
from export.engine import build
from tests.doubles import Machine, installed


@contextmanager
def tensorrt_here(cache: Path, version: str = "10.3.0", **options: Any) -> Iterator[Machine]:
    """:param options: of ``tests.doubles.installed``."""

    def build_here(place: Place) -> None:
        build(load_model(place.graph), place.dla, lambda line: None)

    with pytest.MonkeyPatch.context() as patch, installed(version, **options) as machine:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr("edge_wbc.engines.tensorrt.build_first", build_here)
        yield machine
