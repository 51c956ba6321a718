"""Labelled images for tests: drawn ones, and the real ones where they lie beside the checkout; manifests to edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_wbc.manifest import manifest_path

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
NO_REAL = "the real images (../shared/data) are not here"

NUCLEUS = (150, 60, 95)
RED_CELL = (165, 175, 215)
BACKGROUND = (225, 228, 226)


def drawn_cell(seed: int, lobes: int = 1, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Purple lobes on pink discs: what the locator finds as one white cell. uint8 (height, width, 3) BGR."""
    rng = np.random.default_rng(seed)
    height, width = size
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(image, centre, 24, RED_CELL, cv2.FILLED, cv2.LINE_AA)
    for lobe in range(lobes):
        centre = (width // 2 + 26 * lobe - 13 * (lobes - 1), height // 2)
        cv2.circle(image, centre, 30 // lobes, NUCLEUS, cv2.FILLED, cv2.LINE_AA)
    noise = rng.integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def class_folders(root: Path, labels: tuple[str, ...], each: int) -> Path:
    """A folder of class folders with drawn cells; classes differ in the number of lobes."""
    for i, label in enumerate(labels):
        (root / label).mkdir(parents=True)
        for j in range(each):
            cv2.imwrite(str(root / label / f"{j}.png"), drawn_cell(100 * i + j, lobes=1 + 2 * i))
    return root


def edit_manifest(graph: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest beside a graph, and nothing else; returns the manifest's path."""
    path = manifest_path(graph)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path
