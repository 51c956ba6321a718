"""Where frames lie on the slide."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest

from edge_wbc.types import Box, Pixels
from edge_wbc.vision.keyframes import Image, Keyframes, thumb
from edge_wbc.vision.mosaic import mosaic
from edge_wbc.vision.motion import Displacement, View, displacement
from edge_wbc.vision.places import Places, Where

Window = Callable[..., Pixels]


def walk(places: Places, window: Window, *corners: tuple[int, int], step: int = 90) -> list[tuple[Where, int, int]]:
    """Straight from corner to corner; where each frame was thought to lie, and where it did."""
    way = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / step))
        for i in range(steps + 1):
            x, y = round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps)
            where = places.see(window(x, y))
            assert where is not None
            way.append((where, x, y))
    return way


def drift(way: list[tuple[Where, int, int]]) -> float:
    """Largest error of a place beside the first frame's."""
    first, x0, y0 = way[0]
    return max(
        float(np.hypot(where.place.x - first.place.x - x + x0, where.place.y - first.place.y - y + y0))
        for where, x, y in way
    )


def test_a_round_trip_ends_where_it_began(window: Window) -> None:
    places = Places()
    way = walk(places, window, (0, 0), (1600, 0), (1600, 960), (0, 960), (0, 0), (1600, 960))
    assert {where.island for where, _, _ in way} == {0}
    assert drift(way) < 6


def test_a_jump_over_half_a_frame_is_followed(window: Window) -> None:
    places = Places()
    way = walk(places, window, (100, 200), (420, 200), (740, 440), step=330)
    assert {where.island for where, _, _ in way} == {0}
    assert drift(way) < 4


def test_a_black_frame_has_no_place_and_the_next_one_is_found_again(window: Window) -> None:
    places = Places()
    way = walk(places, window, (0, 0), (900, 0))
    assert places.see(np.zeros((480, 640, 3), np.uint8)) is None
    way += walk(places, window, (500, 60), (500, 60))
    assert way[-1][0].island == 0
    assert drift(way) < 4


def test_lost_places_are_an_island_until_they_are_recognised(window: Window) -> None:
    places = Places()
    before = walk(places, window, (0, 0), (700, 0))
    lost = walk(places, window, (1600, 900), (1500, 900))
    assert {where.island for where, _, _ in lost} == {1}
    assert places.searched(before[0][0].anchor.key)
    back = walk(places, window, (1500, 900), (700, 450), (700, 60), (700, 60), (700, 60), (700, 60))
    assert back[-1][0].island == 0
    assert drift([*before, back[-1]]) < 6
    for where, x, y in lost:  # what was found on the island has moved along
        island, place = places.at(where.anchor)
        assert island == 0
        assert np.hypot(place.x - x, place.y - y) < 6
    assert places.version > 0


def test_an_island_is_not_searched_until_all_others_were_compared(window: Window) -> None:
    places = Places()
    walk(places, window, (0, 0), (1600, 0))
    (first, _, _), *_ = walk(places, window, (0, 950), (0, 950))
    assert first.island == 1
    assert not places.searched(first.anchor.key)
    walk(places, window, (0, 950), *[(0, 950)] * 12)
    assert places.searched(first.anchor.key)


def test_a_contradiction_is_spread_over_the_way(window: Window) -> None:
    places = Places()
    walk(places, window, (0, 0), (1600, 0))
    at = places.keyframes.at
    true = at.copy()
    at += np.linspace(0, 40, len(at))[:, None]  # as if every step had been measured a little wrong
    places.keyframes.relax()
    assert float(np.abs(at - at[0] - true + true[0]).max()) < 0.5


def test_images_stay_within_their_memory(window: Window) -> None:
    places = Places(most_bytes=75_000)
    way = walk(places, window, (0, 0), (1600, 0), (1600, 960), (0, 960), (0, 480), (1600, 480), (0, 0))
    assert places.keyframes.bytes <= 75_000
    assert len(places.keyframes.images) < places.keyframes.count
    assert {where.island for where, _, _ in way} == {0}


@pytest.mark.parametrize("most_bytes", [30_000, 40_000, 60_000, 70_000])
def test_a_neighbour_whose_image_went_meanwhile_is_left_alone(
    window: Window, most_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keeping a frame may make room for it at the cost of those that it is to be compared with."""
    monkeypatch.setattr("edge_wbc.vision.keyframes.RECENT_VIEWS", 1)  # it hides what is gone
    places = Places(most_bytes)
    way = walk(places, window, (0, 0), (1200, 0), (1200, 190), (0, 190), (0, 0), (1200, 190))
    assert {where.island for where, _, _ in way} == {0}


def test_the_mosaic_shows_what_was_seen(window: Window, ground: tuple[Pixels, object]) -> None:
    places = Places()
    walk(places, window, (0, 0), (1600, 0), (1600, 960))
    made = mosaic(places.keyframes)
    assert made is not None
    picture = made.picture
    assert picture.dtype == np.uint8
    assert (made.scale, *made.corner) == pytest.approx((0.25, 0, 0), abs=2)
    assert made.box(Box(400, 80, 40, 20)) == pytest.approx((100, 20, 10, 5), abs=1)
    assert np.abs(np.array(picture.shape) - (360, 560, 3)).max() <= 30  # the last piece is no keyframe
    seen = cv2.blur(picture[25:100, 25:525], (5, 5)).astype(float)
    real = cv2.resize(cv2.blur(ground[0], (20, 20))[100:400, 100:2100], (500, 75), interpolation=cv2.INTER_AREA)
    assert np.abs(seen - real).mean() < 4, "everything is where it was"
    assert (picture[200:, :300] == 255).all(), "never seen"
    assert not (picture[8:112, 8:-8] == 255).all(axis=2).any(), "no holes"
    assert mosaic(Places().keyframes) is None
    assert mosaic(places.keyframes, 1) is None


def test_a_mosaic_leaves_out_images_but_nothing_that_they_show() -> None:
    rng, keyframes = np.random.default_rng(3), Keyframes()
    image = Image(b"", thumb(np.full((480, 640, 3), 90, np.uint8)), (640, 480))
    places = np.cumsum(rng.uniform((200, -60), (260, 60), (60, 2)), axis=0)
    for i, (x, y) in enumerate(places.tolist()):
        keyframes.add(0, x, y, image, i)
    made = mosaic(keyframes)
    assert made is not None
    shown = np.zeros(made.picture.shape[:2], np.uint8)
    for x, y in np.rint((places - made.corner) / 4).astype(int).tolist():
        shown[y : y + 120, x : x + 160] = 1
    inner = cv2.erode(shown, np.ones((17, 17), np.uint8), borderValue=0)
    assert (made.picture[inner == 1] < 200).all()
    assert (made.picture[shown == 0] == 255).all()


def test_a_mosaic_of_a_wide_slide_is_smaller_rather_than_larger(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places()
    walk(places, window, (0, 0), (1600, 0), (1600, 960))
    whole = mosaic(places.keyframes)
    monkeypatch.setattr("edge_wbc.vision.mosaic.MOST_PIXELS", 20_000)
    made = mosaic(places.keyframes)
    assert whole is not None
    assert made is not None
    assert 18_000 < made.picture.shape[0] * made.picture.shape[1] < 21_000
    shown = cv2.resize(whole.picture, made.picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(float) - made.picture).mean() < 8


def test_blurred_frames_are_not_placed_by_the_shadow_on_the_lens(window: Window) -> None:
    """Blur leaves little but the vignette, which is in every frame at the same place."""
    down, across = np.mgrid[-1:1:480j, -1:1:640j]
    shadow = (1 - 0.25 * np.exp(-8 * ((across - 0.3) ** 2 + down**2)))[..., None]
    places = Places()
    for x in range(0, 900, 90):
        assert places.see((window(x, 0) * shadow).astype(np.uint8)) is not None
    for x in range(900, 1600, 140):
        where = places.see((cv2.GaussianBlur(window(x, 500), (0, 0), 12) * shadow).astype(np.uint8))
        assert where is None or abs(where.place.x - x) < 20
    where = places.see((window(1600, 950) * shadow).astype(np.uint8))
    assert where is not None
    assert where.island == 1


def test_a_loop_is_closed(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measurement is wrong by a pixel or two; back at the start, the place is the start's all the same."""

    def biased(first: View, second: View) -> Displacement:
        dx, dy, certainty = displacement(first, second)
        return Displacement(dx + 0.3, dy + 0.2, certainty)

    monkeypatch.setattr("edge_wbc.vision.places.displacement", biased)
    places = Places()
    corners = [(0, 0), (1600, 0), (1600, 960), (0, 960), (0, 0)]
    way = walk(places, window, *corners)
    assert drift(way) > 12
    first, last = way[0][0], way[-1][0]
    assert places.version > 0
    (_, began), (_, ended) = places.at(first.anchor), places.at(last.anchor)
    assert np.hypot(began.x - ended.x, began.y - ended.y) < 4
