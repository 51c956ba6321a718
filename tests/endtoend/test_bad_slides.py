"""Slides that are no good, through the real pipeline: none of them may put a cell into the differential."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Pipeline
from edge_wbc.sources.smear_slide import Slide
from edge_wbc.sources.smear_view import View
from edge_wbc.types import Frame, FrameResult, Pixels, Summary

EMPTY_FROM = -4000, 500
"""Left of the slide's first field there are red cells and platelets only."""
STEP_PX = 24
FRAMES = 40


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine("openvino", load_model(), threads=1)
    yield engine
    engine.close()


class Pictures:
    """A stage that moves over what is drawn for each of its places."""

    uri = "pictures://"
    live = False
    continuous = True

    def __init__(self, pictures: Sequence[Pixels]) -> None:
        self._pictures = pictures

    def frames(self) -> Iterator[Frame]:
        for index, pixels in enumerate(self._pictures):
            yield Frame(pixels, index, 1 + index * 33_000_000, self.uri)

    def close(self) -> None:
        pass


def session(engine: Engine, pictures: Sequence[Pixels]) -> tuple[Summary, int, list[FrameResult], list[str]]:
    """Returns the summary, how many leukocytes were counted, each frame's result, and what the user was told."""
    told: list[str] = []
    results: list[FrameResult] = []
    pipeline = Pipeline(
        Pictures(pictures),
        engine,
        [],
        new_session("pictures://", "slide", engine),
        notice=told.append,
        watch=lambda frame, result: results.append(result),
    )
    outcome = pipeline.run()
    assert outcome.error is None
    return outcome.summary, outcome.summary.differential.total, results, told


def along(render: Callable[[int, int, int], Pixels]) -> list[Pixels]:
    return [render(EMPTY_FROM[0] + STEP_PX * index, EMPTY_FROM[1], index) for index in range(FRAMES)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slide_without_white_cells_counts_none(engine: Engine, seed: int) -> None:
    view = View(Slide(seed, 1))
    summary, leukocytes, results, told = session(engine, along(view.render))
    assert leukocytes == 0
    assert len(results) == FRAMES
    assert not summary.rejected, "an empty place is nobody's fault"
    assert told == []


def debris(seed: int) -> Pixels:
    """How much light a strip of slide with dirt lets through: stain precipitate, fibres, smudges."""
    rng = np.random.default_rng(seed)
    strip = np.full((480, 640 + STEP_PX * FRAMES, 3), 255, np.uint8)
    for x, y in rng.integers(0, (strip.shape[1], strip.shape[0]), (400, 2)).tolist():  # grains of stain
        cv2.circle(strip, (x, y), int(rng.integers(1, 4)), (120, 30, 60), -1, cv2.LINE_AA)
    for x, y, dx, dy in rng.integers((0, 0, -200, -200), (strip.shape[1], 480, 200, 200), (12, 4)).tolist():
        cv2.line(strip, (x, y), (x + dx, y + dy), (150, 110, 90), 3, cv2.LINE_AA)
    for x, y in rng.integers(0, (strip.shape[1], strip.shape[0]), (10, 2)).tolist():  # dust, grey
        cv2.ellipse(strip, (x, y), (25, 12), int(rng.integers(180)), 0, 360, (120, 120, 120), -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(strip, (5, 5), 0), np.uint8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_debris_and_stain_precipitate_are_no_cells(engine: Engine, seed: int) -> None:
    view, dirt = View(Slide(seed, 1)), debris(seed)

    def render(x: int, y: int, index: int) -> Pixels:
        shown = dirt[:, STEP_PX * index : STEP_PX * index + 640]
        return np.asarray(cv2.multiply(view.render(x, y, index), shown, scale=1 / 255), np.uint8)

    _, leukocytes, results, _ = session(engine, along(render))
    assert leukocytes == 0
    assert len(results) == FRAMES


def test_out_of_focus_throughout_is_told_once_and_counts_none(engine: Engine) -> None:
    view = View(Slide(1, 30))
    pictures = [view.render(STEP_PX * index, 100, index, defocus_px=12.0) for index in range(FRAMES)]
    summary, leukocytes, _, told = session(engine, pictures)
    assert leukocytes == 0
    assert summary.rejected == {"blurred": FRAMES}
    assert told == ["frame 0 is not judged: out of focus; refocus"]


def test_five_hundred_cells_in_one_field_are_found_and_counted(engine: Engine) -> None:
    slide, side, columns, rows = Slide(1, 40), 200, 25, 20
    tiles = []
    for index in range(slide.fields):
        for cell in slide.cells(index):
            around = slide.render(cell.x - side // 2, cell.y - side // 2)[0][:side, :side]
            tiles.append(cv2.resize(around, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
    turned = [np.rot90(tile, turn) for tile in tiles for turn in range(4)]
    chosen = [turned[index] for index in np.random.default_rng(1).integers(0, len(turned), columns * rows).tolist()]
    lines = [np.hstack(chosen[row * columns : (row + 1) * columns]) for row in range(rows)]
    summary, _, (result,), _ = session(engine, [np.asarray(np.vstack(lines), np.uint8)])
    assert len(result.cells) == pytest.approx(500, abs=25), "some reach into their neighbours' tiles"
    assert summary.cells == pytest.approx(len(result.cells), abs=25), "those at the border wait to come in whole"
