"""A recorded session of many cells, to be looked at.

python -m tests.edge_wbc.web.review.big_session PLACE [CELLS]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from edge_wbc.differential import Tally
from edge_wbc.manifest import load_model
from edge_wbc.sessions.recorder import Recorder
from edge_wbc.types import (
    CLASSES,
    UNIDENTIFIED,
    Box,
    Cell,
    CountedCell,
    FrameRef,
    Pixels,
    Prediction,
    Session,
    Sighting,
    Summary,
)

SESSION_ID = "20260102T000000Z-b16b16"
PARTS = {
    "neutrophil": 0.57,
    "lymphocyte": 0.27,
    "monocyte": 0.07,
    "eosinophil": 0.035,
    "basophil": 0.01,
    "immature granulocyte": 0.015,
    "platelet": 0.01,
    UNIDENTIFIED: 0.02,
}
"""Classes of the cells, as parts of one."""
LOBES = {"neutrophil": 4, "eosinophil": 2, "basophil": 5}
SEVERAL_OF = 5
"""Every fifth cell was seen twice; the second look is the sharper one."""


def write(place: Path, cells: int = 10_000, session_id: str = SESSION_ID, origin: str = "smear://?seed=1") -> Path:
    """Record a session in ``place`` and return its folder. The same every time."""
    rng = np.random.default_rng(9)
    model = load_model()
    started = Session(
        session_id=session_id,
        source=origin,
        mode="field",
        model="leukonet 0.1.0 fp32",
        engine="onnxruntime f32",
        started_utc="2026-01-02T00:00:00.000+00:00",
        started_ns=time.monotonic_ns(),
        started_unix_ns=1_767_312_000_000_000_000,
        version="0.1.0",
    )
    labels = rng.choice(list(PARTS), cells, p=list(PARTS.values())).tolist()
    recorder = Recorder(place, session_id, model, "onnxruntime", label=f"{cells} drawn cells")
    recorder.open(started)
    tally = Tally(model.manifest.labels)
    tally.add(labels)
    try:
        for number, label in enumerate(labels, 1):
            frame = FrameRef(number // 4, started.started_ns + number * 1_000_000, origin)
            recorder.last([_cell(number, label, frame, model.manifest.input.size_px, rng)])
        summary = Summary(
            cells // 4 + 1, 0, 0, cells, 30.0, 60.0, {"p50": 5.0}, {}, tally.differential(), ended="source"
        )
        recorder.finish(tally.differential(), summary)
    finally:
        recorder.close()
    return recorder.folder


def _cell(number: int, label: str, frame: FrameRef, size_px: int, rng: np.random.Generator) -> CountedCell:
    best = float(rng.beta(9, 1.2)) if label != UNIDENTIFIED else float(rng.uniform(0.2, 0.5))
    likely = label if label != UNIDENTIFIED else str(rng.choice(CLASSES[:6]))
    rest = dict.fromkeys(CLASSES, (1 - best) / (len(CLASSES) - 1))
    said = Prediction(label, best, {**rest, likely: best})
    crop = drawn(likely, size_px, rng)
    looks = [Sighting(said, crop)]
    if number % SEVERAL_OF == 0:
        looks = [Sighting(said, np.asarray(cv2.blur(crop, (9, 9)), np.uint8), 0.2), Sighting(said, crop, 0.8)]
    box = Box(int(rng.integers(0, 560)), int(rng.integers(0, 400)), 60, 60)
    return CountedCell(number, frame, Cell(box, 0.9), said, tuple(looks))


def drawn(label: str, size_px: int, rng: np.random.Generator) -> Pixels:
    """A stained cell as a child draws it; classes differ in their nucleus."""
    crop = np.full((size_px, size_px, 3), (222, 225, 235), np.uint8)
    middle = size_px // 2
    cv2.circle(crop, (middle, middle), round(0.36 * size_px), (215, 190, 215), cv2.FILLED, cv2.LINE_AA)
    lobes = LOBES.get(label, 1)
    radius = round(size_px * (0.26 if lobes == 1 else 0.13))
    turn = float(rng.uniform(0, 2 * np.pi))
    for lobe in range(lobes):
        far = 0 if lobes == 1 else 0.16 * size_px
        angle = turn + 2 * np.pi * lobe / lobes
        at = round(middle + far * float(np.cos(angle))), round(middle + far * float(np.sin(angle)))
        cv2.circle(crop, at, radius, (140, 45, 105), cv2.FILLED, cv2.LINE_AA)
    noise = rng.integers(-5, 6, crop.shape, np.int16)
    return np.clip(crop + noise, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), *(int(cells) for cells in sys.argv[2:3])))  # noqa: T201
