"""The simulated microscope shows what it says it shows."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter

import numpy as np
import pytest

from edge_wbc.errors import UsageError
from edge_wbc.sources.base import open_source
from edge_wbc.sources.smear import SmearSource
from edge_wbc.sources.smear_slide import FREQUENCIES, Slide
from edge_wbc.types import CLASSES, Box, Frame


def frames(text: str) -> list[Frame]:
    source = open_source(text)
    try:
        return [frame for frame in source.frames() if isinstance(frame, Frame)]
    finally:
        source.close()


@pytest.fixture(scope="module")
def slide() -> list[Frame]:
    return frames("smear://?seed=7&cells=30")


def test_the_same_seed_gives_the_same_bytes() -> None:
    once, again = frames("smear://?seed=3&cells=6"), frames("smear://?seed=3&cells=6")
    assert [f.pixels.tobytes() for f in once] == [f.pixels.tobytes() for f in again]
    assert [f.truth for f in once] == [f.truth for f in again]


def test_another_seed_gives_another_slide() -> None:
    one, other = frames("smear://?seed=3&cells=2")[0], frames("smear://?seed=4&cells=2")[0]
    assert not np.array_equal(one.pixels, other.pixels)


def test_a_place_is_drawn_the_same_in_any_order() -> None:
    there, back = Slide(5, 12), Slide(5, 12)
    late = [back.render(*back.position(i), i)[0] for i in reversed(range(back.fields))]
    early = [there.render(*there.position(i), i)[0] for i in range(there.fields)]
    assert all(np.array_equal(a, b) for a, b in zip(early, reversed(late), strict=True))


def test_overlapping_fields_show_the_same_cells() -> None:
    slide = Slide(5, 30)
    number = next(i for i in range(1, slide.fields) if slide.cells(i))
    cell = slide.cells(number)[0]
    (x, y), (width, height) = slide.position(number), slide.field
    here, _ = slide.render(x, y)
    moved, truth = slide.render(cell.x - width // 2, cell.y - height // 2)
    known = next(k for k in truth if k.cell_id == cell.cell_id)
    assert known.label == cell.label
    one = cut(here, Box(cell.box.xmin - x, cell.box.ymin - y, cell.box.width, cell.box.height))
    assert np.abs(one.astype(int) - cut(moved, known.box)).mean() < 12, "only noise and vignetting differ"


def test_every_cell_is_shown_once(slide: list[Frame]) -> None:
    ids = [cell.cell_id for frame in slide for cell in frame.truth or ()]
    assert ids == sorted(set(ids)) == list(range(30))
    assert slide[-1].truth, "the source ends with the last cell"
    assert [frame.index for frame in slide] == list(range(len(slide)))


def test_frames_are_what_the_contract_says(slide: list[Frame]) -> None:
    for frame in slide:
        assert frame.pixels.shape == (480, 640, 3)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous
        assert frame.origin == "smear://?seed=7&cells=30"
    assert all(a.time_ns <= b.time_ns for a, b in itertools.pairwise(slide))


@pytest.mark.parametrize("size", ["640x480", "320x240", "1280x720", "480x640"])
def test_boxes_lie_in_the_frame_and_apart(size: str) -> None:
    width, height = map(int, size.split("x"))
    for frame in frames(f"smear://?seed=2&cells=8&size={size}"):
        assert frame.pixels.shape == (height, width, 3)
        boxes = [cell.box for cell in frame.truth or ()]
        for box in boxes:
            assert min(box) >= 0
            assert box.xmin + box.width <= width
            assert box.ymin + box.height <= height
            assert min(box.width, box.height) > 0.1 * min(width, height)
        assert not any(overlap(a, b) for a, b in itertools.combinations(boxes, 2))


def test_every_box_holds_a_nucleus(slide: list[Frame]) -> None:
    for frame in slide:
        dark = nuclear(frame)
        outside = dark.copy()
        for cell in frame.truth or ():
            share = cut(dark, cell.box).mean()
            assert 0.08 < share < 0.85, f"{cell.label}: {share:.2f} of the box is nucleus"
            cut(outside, cell.box)[:] = False
        assert outside.mean() < 0.005, "nothing but platelets is as blue elsewhere"


def test_classes_do_not_look_alike() -> None:
    """What a haematologist goes by: orange eosinophils, small lymphocytes, large monocytes."""
    redness: dict[str, list[float]] = {}
    length: dict[str, list[float]] = {}
    for seed in range(3):
        drawn = Slide(seed, 60)
        drawn.labels = list(itertools.islice(itertools.cycle(FREQUENCIES), 60))
        for number in range(12):
            pixels, truth = drawn.render(*drawn.position(number), number)
            for cell in truth:
                blue, _, red = np.median(cut(pixels, cell.box).reshape(-1, 3).astype(int), axis=0)
                redness.setdefault(cell.label, []).append(float(red - blue))
                length.setdefault(cell.label, []).append(max(cell.box.width, cell.box.height))
    assert set(redness) == set(FREQUENCIES)
    typical = {label: float(np.median(values)) for label, values in redness.items()}
    assert max(typical, key=lambda label: typical[label]) == "eosinophil"
    size = {label: float(np.median(values)) for label, values in length.items()}
    assert max(size, key=lambda label: size[label]) == "monocyte"
    assert size["lymphocyte"] < 0.85 * size["neutrophil"]


def test_the_mix_follows_the_frequencies() -> None:
    plan = Slide(1, 20_000)
    counts = Counter(plan.labels)
    assert set(counts) <= set(CLASSES)
    for label, frequency in FREQUENCIES.items():
        assert counts[label] / 20_000 == pytest.approx(frequency, abs=0.001)
    assert plan.labels != sorted(plan.labels), "shuffled"
    per_field = np.diff(plan.first_cell[: plan.fields + 1])
    assert per_field.max() == 3
    assert 1.2 < per_field.mean() < 1.4


@pytest.mark.parametrize("seed", range(5))
def test_a_usual_slide_holds_every_class(seed: int) -> None:
    assert set(Slide(seed, 200).labels) == set(FREQUENCIES)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("smear://?sed=1", "seed, cells, size, fps, path, faults, crops"),
        ("smear://?seed=one", "seed=1"),
        ("smear://?seed=-1", "seed=1"),
        ("smear://?cells=0", "cells=200"),
        ("smear://?cells=many", "cells=200"),
        ("smear://?cells=10000000", "cells=200"),
        ("smear://?size=640", "size=640x480"),
        ("smear://?size=640x", "size=640x480"),
        ("smear://?size=-640x480", "size=640x480"),
        ("smear://?size=64x48", "size=640x480"),
        ("smear://?size=9000x9000", "size=640x480"),
        ("smear://?size=4000x400", "size=640x480"),
        ("smear://?fps=0", "fps=30"),
        ("smear://?fps=nan", "fps=30"),
        ("smear://?fps=-5", "fps=30"),
        ("smear://?fps=fast", "fps=30"),
        ("smear://slide-1", "smear://?seed=1"),
    ],
)
def test_nonsense_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_source(text)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_fps_it_is_not_live() -> None:
    assert not open_source("smear://").live
    assert open_source("smear://?fps=30").live


def test_a_live_source_keeps_its_pace() -> None:
    times = [frame.time_ns for frame in frames("smear://?seed=1&cells=4&fps=20")]
    assert len(times) > 1
    assert all(b - a > 0.9e9 / 20 for a, b in itertools.pairwise(times))


def test_close_ends_a_waiting_source_at_once() -> None:
    source = open_source("smear://?cells=50&fps=0.01")
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.extend(source.frames()))
    start = time.monotonic()
    reader.start()
    source.close()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert time.monotonic() - start < 5, "a hundred seconds were not waited for"
    assert got == []
    source.close()


def test_close_ends_a_source_between_frames() -> None:
    source = SmearSource("smear://", seed=1, cells=100, size=(640, 480), fps=None)
    taken = source.frames()
    next(taken)
    source.close()
    assert list(taken) == []


def cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    return pixels[box.ymin : box.ymin + box.height, box.xmin : box.xmin + box.width]


def nuclear(frame: Frame) -> np.ndarray:
    """Where a frame is as dark in red and as blue over green as a stained nucleus."""
    blue, green, red = (frame.pixels[..., i].astype(int) for i in range(3))
    return np.asarray((red < 150) & (blue - green > 35))


def overlap(a: Box, b: Box) -> bool:
    return (
        a.xmin <= b.xmin + b.width
        and b.xmin <= a.xmin + a.width
        and a.ymin <= b.ymin + b.height
        and b.ymin <= a.ymin + a.height
    )
