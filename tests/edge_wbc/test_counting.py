"""Which cells count, and as what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_wbc.counting import EachCell, EachFrame, pooled
from edge_wbc.sources.base import open_source
from edge_wbc.types import UNIDENTIFIED, Box, Cell, CountedCell, Frame, Place, Prediction, Sighting
from edge_wbc.vision.geometry import inside, match
from edge_wbc.vision.keyframes import Image
from edge_wbc.vision.locate import locate
from edge_wbc.vision.places import Anchor, Where
from edge_wbc.vision.track import Placed

CROP = np.zeros((8, 8, 3), np.uint8)
NAMES = ("monocyte", "basophil", "lymphocyte")
SLIDE = "smear://?seed=1004&cells=12&path=raster"


def prediction(*probabilities: float) -> Prediction:
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    return Prediction(NAMES[best], probabilities[best], dict(zip(NAMES, probabilities, strict=True)))


def looked(weight: float, *probabilities: float) -> Sighting:
    return Sighting(prediction(*probabilities), CROP, weight)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [frame for frame in open_source(SLIDE).frames() if isinstance(frame, Frame)][:400]


def counted(frames: Sequence[Frame]) -> Iterator[CountedCell]:
    """What is counted when the network knows the truth; each crop holds its frame's number and nothing else."""
    counting = EachCell(0.5)
    for frame in frames:
        seen = counting.see(frame, locate(frame.pixels))
        known = [cell.box for cell in frame.truth or ()]
        real = dict(match([cell.box for cell in seen.cells], known, 0.2))
        names = [frame.truth[real[i]].label if i in real else "not_a_cell" for i in range(len(seen.cells))]
        predictions = [Prediction(name, 1.0, {name: 1.0}) for name in names]
        crops = [np.full((8, 8, 3), frame.index, np.uint16)] * len(names)
        yield from counting.count(frame.ref, seen, predictions, crops)
    yield from counting.finish()


def identity(cell: CountedCell) -> int | None:
    """Which of the slide's cells it is."""
    truth = cell.frame.truth or ()
    pairs = match([cell.cell.box], [known.box for known in truth], 0.2)
    return truth[pairs[0][1]].cell_id if pairs else None


def test_a_cell_in_many_frames_counts_once(frames: list[Frame]) -> None:
    found = list(counted(frames))
    shown = Counter(cell.cell_id for frame in frames for cell in frame.truth or ())
    times = Counter(map(identity, found))
    assert len(shown) >= 8
    assert min(shown.values()) > 10, "each is in many frames"
    assert set(times.values()) == {1}
    assert set(shown) - set(times) <= {identity_ for identity_, frames_ in shown.items() if frames_ < 12}
    assert [cell.number for cell in found] == list(range(1, len(found) + 1))


def test_a_counted_cell_is_told_by_its_sharpest_look_and_place(frames: list[Frame]) -> None:
    for cell in counted(frames):
        weights = [sighting.weight for sighting in cell.sightings]
        assert 1 <= len(weights) <= 12
        assert cell.place is not None
        truth = {known.cell_id: known for known in cell.frame.truth or ()}
        assert identity(cell) in truth
        seen_in = [int(sighting.crop[0, 0, 0]) for sighting in cell.sightings]
        assert seen_in == sorted(seen_in)
        assert cell.frame.index == seen_in[weights.index(max(weights))]


def test_the_same_frames_give_the_same_cells(frames: list[Frame]) -> None:
    assert list(counted(frames[:150])) == list(counted(frames[:150]))


def test_nothing_is_kept_of_cells_that_are_done(frames: list[Frame]) -> None:
    counting = EachCell(0.5)
    for frame in frames:
        seen = counting.see(frame, locate(frame.pixels))
        looks = [Prediction("monocyte", 1.0, {"monocyte": 1.0})] * len(seen.cells)
        counting.count(frame.ref, seen, looks, [CROP] * len(looks))
    counting.finish()
    assert counting._looks == {}


def test_nothing_is_kept_of_what_was_no_cell(frames: list[Frame]) -> None:
    counting = EachCell(0.5)
    frame = next(frame for frame in frames if any(inside(cell.box, (640, 480), 30) for cell in locate(frame.pixels)))
    for number in range(12):
        seen = counting.see(frame, locate(frame.pixels) if number == 0 else [])
        looks = [Prediction("monocyte", 1.0, {"monocyte": 1.0})] * len(seen.cells)
        assert bool(looks) == (number == 0)
        assert counting.count(frame.ref, seen, looks, [CROP] * len(looks)) == ()
    assert counting.finish() == (), "a flicker of the locator over a stage that stood still"
    assert counting._looks == {}


def test_the_slide_s_map_has_every_counted_cell_at_its_place(frames: list[Frame]) -> None:
    counting = EachCell(0.5)
    assert counting.slide() is None
    found = []
    for frame in frames:
        seen = counting.see(frame, locate(frame.pixels))
        looks = [Prediction("monocyte", 1.0, {"monocyte": 1.0})] * len(seen.cells)
        found += counting.count(frame.ref, seen, looks, [CROP] * len(looks))
    slide = counting.slide()
    assert slide is not None
    assert slide.size == (640, 480)
    assert slide.here is not None
    assert np.abs(slide.visited - slide.here).max(axis=1).min() < 0.7 * 640, "near a keyframe"
    assert [(cell.number, cell.label) for cell in slide.cells] == [(one.number, "monocyte") for one in found]
    assert slide.elsewhere == 0
    for one, cell in zip(found, slide.cells, strict=True):
        assert one.place is not None
        assert abs(cell.box.xmin + cell.box.width / 2 - one.place.x) < 10
        assert abs(cell.box.ymin + cell.box.height / 2 - one.place.y) < 10
        assert abs(cell.box.width - one.cell.box.width) < 20


def test_the_mosaic_shows_every_counted_cell_in_its_box(frames: list[Frame]) -> None:
    counting = EachCell(0.5)
    assert counting.mosaic() is None
    for frame in frames:
        seen = counting.see(frame, locate(frame.pixels))
        looks = [Prediction("monocyte", 1.0, {"monocyte": 1.0})] * len(seen.cells)
        counting.count(frame.ref, seen, looks, [CROP] * len(looks))
    made = counting.mosaic()
    assert made is not None
    mosaic, slide = made
    green = mosaic.picture[:, :, 1].astype(float)
    assert len(slide.cells) >= 5
    for cell in slide.cells:
        x, y, width, height = mosaic.box(cell.box)
        middle = green[y + height // 4 : y + 3 * height // 4 + 1, x + width // 4 : x + 3 * width // 4 + 1]
        assert middle.mean() < np.median(green) - 40, "a nucleus"


def test_the_map_is_of_the_largest_part_and_says_what_lies_elsewhere() -> None:
    counting = EachCell(0.5)
    places, register = counting.tracker.places, counting.tracker._register
    image = Image(b"", b"", (640, 480))
    for number, island in enumerate([0, 0, 1, 1, 1]):
        places.keyframes.add(island, 300.0 * number, 0.0, image, number)
        where = Where(Anchor(number, 0.0, 0.0), Place(300.0 * number, 0.0), island, True)
        counting._counted.append(register.add(where, Box(100, 50, 40, 30), True))
        counting._labels[counting._counted[-1]] = "monocyte"
    for island, here in ((0, None), (1, Place(600.0, 7.0))):
        counting._here = Placed(Place(600.0, 7.0), island, ())
        slide = counting.slide()
        assert slide is not None
        assert (slide.island, slide.elsewhere, slide.here) == (1, 2, here)
        assert [cell.number for cell in slide.cells] == [3, 4, 5]
        assert slide.cells[0].box == Box(700, 50, 40, 30)
        assert slide.visited.tolist() == [[600, 0], [900, 0], [1200, 0]]


def test_a_counted_cell_that_is_merged_into_an_older_track_keeps_its_name_and_number(frames: list[Frame]) -> None:
    counting = EachCell(0.5)
    shown = iter(frames)
    counted = ()
    while not counted:
        frame = next(shown)
        seen = counting.see(frame, locate(frame.pixels))
        looks = [Prediction("monocyte", 1.0, {"monocyte": 1.0})] * len(seen.cells)
        counted = counting.count(frame.ref, seen, looks, [CROP] * len(looks))
    tracker = counting.tracker
    (track,) = counting._counted
    older = tracker._register.add(tracker.places._last[1], Box(300, 200, 40, 40), False)
    tracker._merge(older, track)
    slide = counting.slide()
    assert slide is not None
    assert [(cell.number, cell.label) for cell in slide.cells] == [(1, "monocyte")]
    frame = next(shown)
    again = counting.see(frame, locate(frame.pixels)).again
    assert "monocyte" in [cell.label for cell in again]


def test_frames_that_have_nothing_to_do_with_each_other_count_everything() -> None:
    counting = EachFrame()
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 0, 0, "x")
    cells = [Cell(Box(1, 1, 9, 9), 0.5), Cell(Box(20, 1, 9, 9), 0.5)]
    for first in (1, 3):
        seen = counting.see(frame, cells)
        both = counting.count(frame.ref, seen, [prediction(0.7, 0.2, 0.1)] * 2, [CROP] * 2)
        assert [cell.number for cell in both] == [first, first + 1]
    assert counting.slide() is None
    assert counting.finish() == ()


def test_a_blurred_look_weighs_less() -> None:
    sharp, blurred = looked(0.9, 0.9, 0.05, 0.05), looked(0.1, 0.0, 1.0, 0.0)
    assert pooled([sharp, blurred], 0.5) == Prediction(
        "monocyte", 0.81, {"monocyte": 0.81, "basophil": 0.145, "lymphocyte": 0.045}
    )
    assert pooled([looked(1.0, 0.9, 0.1, 0.0), looked(1.0, 0.0, 0.9, 0.1)], 0.6).label == UNIDENTIFIED


def test_one_look_is_what_the_network_said() -> None:
    only = looked(0.3, 0.4, 0.3, 0.3)
    assert pooled([only], 0.99) is only.prediction


@given(
    st.lists(
        st.tuples(st.floats(0.001, 1), st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda p: sum(p) > 0)),
        min_size=1,
        max_size=8,
    )
)
def test_pooled_probabilities_lie_between_those_pooled(given_looks: list[tuple[float, list[float]]]) -> None:
    looks = [looked(weight, *(p / sum(shares) for p in shares)) for weight, shares in given_looks]
    together = pooled(looks, 0.0)
    assert sum(together.probabilities.values()) == pytest.approx(1, abs=1e-5)
    for name in NAMES:
        said = [look.prediction.probabilities[name] for look in looks]
        assert min(said) - 1e-6 <= together.probabilities[name] <= max(said) + 1e-6
