from __future__ import annotations

import math
import os

import cv2
import numpy as np
import pytest

from edge_wbc.control.slides import MOST_CELLS, focus_of, seen_by, slides, stain_of, take_in, waiting
from edge_wbc.golden import golden
from edge_wbc.sessions.schema import LOCK, lock, opened

CROPS = golden(64).crops


def blurred(sigma):
    return np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in CROPS])


def other_stain(crops, powers):
    """As if each colour's density were so many times what it is."""
    background = np.percentile(crops.reshape(-1, 3), 95, axis=0)
    return np.clip(background * np.power(crops / background, powers), 0, 255).astype(np.uint8)


def test_focus_falls_with_blur_and_does_not_mind_the_lamp():
    sharp = focus_of(CROPS)
    assert focus_of(blurred(0.7)) < 0.85 * sharp
    assert focus_of(blurred(1.5)) < focus_of(blurred(0.7))
    assert focus_of((CROPS * 0.8).astype(np.uint8)) == pytest.approx(sharp, rel=0.02)


def test_stain_colour_is_that_of_the_model_by_hand():
    """A flat nucleus on a flat ground, worked out from the formula of van der Laak et al."""
    crops = np.full((3, 64, 64, 3), (230, 220, 210), np.uint8)
    crops[:, 18:46, 18:46] = (150, 60, 100)
    blue, green, red = math.log(230 / 150), math.log(220 / 60), math.log(210 / 100)
    density = (blue + green + red) / 3
    assert stain_of(crops) == pytest.approx((red / density - 1, (green - blue) / (math.sqrt(3) * density)))


def test_stain_colour_minds_neither_lamp_nor_amount_but_hue():
    here = np.array(stain_of(CROPS))
    for alike in ((CROPS * 0.8).astype(np.uint8), (CROPS * (0.8, 1, 1)).astype(np.uint8), other_stain(CROPS, 0.8)):
        assert stain_of(alike) == pytest.approx(here, abs=0.01)
    assert np.abs(np.array(stain_of(other_stain(CROPS, (0.7, 1, 1.2)))) - here).max() > 0.1


def test_a_finished_session_is_taken_in_once(recorded, place):
    folder = recorded(started_utc="2026-03-01T08:00:00.000+00:00")
    assert waiting(place) == [folder]
    assert take_in(place) == []
    (one,) = slides(place)
    assert (one.session_id, one.started_utc, one.source) == (folder.name, "2026-03-01T08:00:00.000+00:00", "smear://")
    leukocytes = [i for i, label in enumerate(golden(64).labels) if label != "erythroblast"]
    assert one.cells == len(leukocytes) == 63
    assert one.focus == pytest.approx(focus_of(CROPS[leukocytes]), abs=1e-5)
    assert (one.stain_x, one.stain_y) == pytest.approx(stain_of(CROPS[leukocytes]), abs=1e-5)
    assert waiting(place) == []
    take_in(place)
    assert len(slides(place)) == 1


def test_of_many_cells_a_bounded_sample_is_read(recorded, place):
    count = 2 * MOST_CELLS + 1
    recorded(crops=np.resize(CROPS, (count, 64, 64, 3)), labels=("neutrophil",) * count)
    take_in(place)
    assert MOST_CELLS / 2 < slides(place)[0].cells <= MOST_CELLS


def test_a_running_session_waits(recorded, place):
    folder = recorded()
    held = lock(folder)
    try:
        assert waiting(place) == []
        take_in(place)
        assert slides(place) == []
    finally:
        os.close(held)
    take_in(place)
    assert len(slides(place)) == 1


def test_a_session_without_crops_has_no_figures_and_is_not_asked_again(recorded, place):
    folder = recorded()
    with opened(folder, write=True) as connection:
        connection.execute("DELETE FROM crops")
    take_in(place)
    (one,) = slides(place)
    assert (one.cells, one.focus, one.stain_x, one.outside) == (0, None, None, {})
    assert waiting(place) == []


def test_a_session_that_cannot_be_read_is_a_line_and_the_others_are_taken(recorded, place):
    recorded("20260101T000000Z-aaaaaa")
    newer = recorded("20260102T000000Z-bbbbbb")
    with opened(newer, write=True) as connection:
        connection.execute("PRAGMA user_version=99")
    (place / "20260103T000000Z-cccccc").mkdir()
    (place / "20260103T000000Z-cccccc" / LOCK).touch()
    trouble = take_in(place)
    assert [line.split(": ")[1].partition(";")[0] for line in trouble] == [
        "written by a newer version of edge-wbc",
        "nothing was recorded before it ended",
    ]
    assert len(slides(place)) == 1


def test_a_soft_slide_and_another_stain_are_flagged(recorded, place):
    rng = np.random.default_rng(4)
    for i in range(6):
        some = rng.permutation(64)[:40]
        labels = tuple(golden(64).labels[j] for j in some)
        recorded(f"2026010{i + 1}T000000Z-aaaaaa", crops=CROPS[some], labels=labels)
    recorded("20260107T000000Z-bbbbbb", crops=blurred(2.0))
    recorded("20260108T000000Z-cccccc", crops=other_stain(CROPS, (0.6, 1, 1.4)))
    take_in(place)
    found = slides(place)
    assert [bool(one.outside) for one in found] == [False] * 6 + [True, True]
    assert "below the limit" in found[6].outside["focus"]
    assert "stain_x" in found[7].outside
    assert "focus" not in found[7].outside


def test_sources_are_held_apart_by_what_sees_them():
    assert seen_by("smear://?seed=3&cells=40") == "smear://"
    assert seen_by("v4l2:///dev/video0?exposure=3") == "v4l2:///dev/video0"
    assert seen_by("rtsp://anna:secret@10.0.0.2/stream") == "rtsp://10.0.0.2/stream"
    assert {seen_by(one) for one in ("slides/7", "file:///slide.mp4", "C:\\slides")} == {"files"}
