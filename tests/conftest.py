"""What tests of several packages share: the command line as a process, a drawn field, the shipped model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_wbc
from edge_wbc.manifest import Model, load_model, manifest_path
from edge_wbc.types import Box, Pixels
from tests.faults import faults_library

ROOT = Path(edge_wbc.__file__).parents[1]
DEADLINE_S = 60


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object that ``--json`` prints."""
        return json.loads(self.out.splitlines()[-1])

    def said(self) -> list[str]:
        """What it had to tell the user."""
        return [line for line in self.err.splitlines() if line.startswith("edge-wbc: ")]


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where sessions are recorded, here and in every process that tests start: not in the user's own data folder."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("data-home")
        patch.setenv("XDG_DATA_HOME", str(place))
        yield place


@pytest.fixture(scope="session")
def edge_wbc_command() -> Callable[..., Done]:
    """Runs ``edge-wbc ARGUMENTS…`` as a process."""

    def run(*arguments: str | Path) -> Done:
        command = [sys.executable, "-m", "edge_wbc", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def start_edge_wbc() -> Callable[..., subprocess.Popen[str]]:
    """Starts ``edge-wbc ARGUMENTS…``, to be used as a context manager."""

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge_wbc", *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    return start


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`faults.c` as a library to preload."""
    return faults_library(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def model() -> Model:
    """The shipped model."""
    return load_model()


@pytest.fixture
def copied(model: Model, tmp_path: Path) -> Path:
    """The shipped graph beside its manifest, in a folder of the test's own."""
    shutil.copy(model.graph, tmp_path)
    shutil.copy(manifest_path(model.graph), tmp_path)
    return tmp_path / model.graph.name


@pytest.fixture(scope="session")
def draw_field() -> Callable[..., Pixels]:
    """Draws a field: a pale ground, pink red cells away from the nuclei, purple nuclei.

    Lengths are those of a 640×480 field; another size shows the same, finer or coarser.
    """

    def draw(nuclei: Sequence[Box] = (), size: tuple[int, int] = (640, 480), seed: int = 1) -> Pixels:
        rng = np.random.default_rng(seed)
        scale = min(size[0] / 640, size[1] / 480)
        field = np.full((size[1], size[0], 3), (222, 225, 235), np.uint8)

        def disc(x: float, y: float, across: float, down: float, colour: tuple[int, int, int]) -> None:
            axes = round(across * scale), round(down * scale)
            cv2.ellipse(field, (round(x * scale), round(y * scale)), axes, 0, 0, 360, colour, cv2.FILLED, cv2.LINE_AA)

        middles = [(box.xmin + box.width / 2, box.ymin + box.height / 2, max(box[2:])) for box in nuclei]
        for x, y in rng.uniform(0, (640, 480), (40, 2)).tolist():
            if all(np.hypot(x - across, y - down) > length + 25 for across, down, length in middles):
                disc(x, y, 20, 20, (172, 171, 213))
        for (x, y, _), box in zip(middles, nuclei, strict=True):
            disc(x, y, 0.7 * box.width, 0.7 * box.height, (215, 190, 215))
        for (x, y, _), box in zip(middles, nuclei, strict=True):
            disc(x, y, box.width / 2, box.height / 2, (140, 45, 105))
        noise = rng.integers(-4, 5, field.shape, np.int16)
        return np.clip(field + noise, 0, 255).astype(np.uint8)

    return draw
