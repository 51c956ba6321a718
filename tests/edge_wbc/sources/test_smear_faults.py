"""Each fault of the simulated microscope does what it is named for, and nothing to the truth."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from edge_wbc.errors import UsageError
from edge_wbc.sources import smear_faults
from edge_wbc.sources.base import open_source
from edge_wbc.sources.smear_faults import FAULTS, IN_FOCUS_PX, in_view_and_focus
from edge_wbc.sources.smear_paths import PATHS
from edge_wbc.sources.smear_slide import Slide
from edge_wbc.sources.smear_view import Shot, View
from edge_wbc.types import Box, Frame, KnownCell


@pytest.fixture(scope="module")
def slide() -> Slide:
    return Slide(3, 12)


def frames(text: str, start: int, stop: int, step: int = 1) -> list[Frame]:
    shown = itertools.islice(open_source(text).frames(), start, stop, step)
    return [frame for frame in shown if isinstance(frame, Frame)]


def shots(slide: Slide, count: int, *faults: str) -> list[Shot]:
    return list(itertools.islice(View(slide, frozenset(faults)).shots(PATHS["raster"](slide), moving=True), count))


def detail(pixels: np.ndarray) -> float:
    """How strong details of a few pixels are; noise from pixel to pixel does not count."""
    fine, coarse = (cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), deviation) for deviation in (1.5, 3))
    return float((fine - coarse).std())


def test_all_faults_follow_from_the_seed() -> None:
    text = "smear://?seed=3&cells=12&path=wander&faults=all"
    once, again = frames(text, 0, 20, 4), frames(text, 0, 20, 4)
    assert [f.pixels.tobytes() for f in once] == [f.pixels.tobytes() for f in again]
    assert [(f.index, f.truth, f.defocus_px) for f in once] == [(f.index, f.truth, f.defocus_px) for f in again]


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("drop", "double")])
def test_a_fault_is_seen_and_by_default_there_is_none(slide: Slide, fault: str) -> None:
    count = 70 if fault == "focus" else 4
    good, bad = shots(slide, count), shots(slide, count, fault)
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in zip(good, bad, strict=True))
    assert {shot.defocus_px for shot in good} == {0.0}


def test_focus_is_lost_for_a_stretch_and_found_again() -> None:
    walk = np.array(list(itertools.islice(smear_faults.defocus(3), 6000)))
    assert (walk >= 0).all()
    assert np.abs(np.diff(walk)).max() < 0.5, "slowly"
    bad = walk >= IN_FOCUS_PX
    assert 0.05 < bad.mean() < 0.3
    stretches = [len(list(group)) for lost, group in itertools.groupby(bad.tolist()) if lost]
    assert len(stretches) > 3
    assert min(stretches[:-1]) >= 15


def test_a_frame_out_of_focus_is_blurred_as_it_says(slide: Slide) -> None:
    view = View(slide)
    grades = [detail(view.render(0, 0, 1, defocus_px=deviation)) for deviation in (0.0, 1.0, 2.0, 3.5, 5.0)]
    assert all(worse < 0.9 * better for better, worse in itertools.pairwise(grades))
    for deviation in (1.0, 1.9, 2.1, 3.0, 5.0):
        slopes = []
        for edge in (40, 41):  # what is computed at half the size depends on where pixels meet
            step = np.zeros((80, 80, 3), np.uint8)
            step[:, edge:] = 200
            slopes.append(np.diff(smear_faults.blurred(step, deviation)[40, :, 0].astype(float)).max())
        assert 200 / np.mean(slopes) / np.sqrt(2 * np.pi) == pytest.approx(deviation, rel=0.1)


def test_motion_blurs_along_its_way_only(slide: Slide) -> None:
    still = (255 * slide.transmission(0, 0, (640, 480))).astype(np.uint8).transpose(1, 2, 0)
    blurred = smear_faults.moved(still, (40, 0))
    (across, down), (less, as_much) = (
        [np.diff(pixels.astype(float), axis=axis).std() for axis in (1, 0)] for pixels in (still, blurred)
    )
    assert less < 0.7 * across
    assert as_much > 1.2 * less * down / across
    dot = np.zeros((61, 61, 3), np.uint8)
    dot[30, 30] = 240
    rows, columns = np.nonzero(smear_faults.moved(dot, (24, -24))[..., 0])
    assert np.corrcoef(rows, columns)[0, 1] < -0.9, "up to the right"
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (60, 60), "about the middle of the exposure"
    assert np.array_equal(smear_faults.moved(dot, (0, 0)), dot)


def test_a_stage_that_stops_for_each_field_does_not_blur() -> None:
    plain, blurring = (
        frames(f"smear://?seed=3&cells=3{more}", 0, 3) for more in ("&faults=vignette", "&faults=vignette,blur")
    )
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(plain, blurring, strict=True))


def test_vibration_shakes_picture_and_truth_alike(slide: Slide) -> None:
    shifts = list(itertools.islice(smear_faults.vibration(3), 60))
    assert len(set(shifts)) > 3
    assert np.abs(shifts).max() <= 4
    compared = 0
    for shot, steady, (across, down) in zip(shots(slide, 60, "vibration"), shots(slide, 60), shifts, strict=True):
        for cell in shot.truth:
            x, y, width, height = cell.box
            if x > 5 and y > 5 and x + width < 635 and y + height < 475:
                was = next(known.box for known in steady.truth if known.cell_id == cell.cell_id)
                assert cell.box == Box(was.xmin - across, was.ymin - down, width, height)
                here, before = (
                    one.pixels[box.ymin : box.ymin + height, box.xmin : box.xmin + width].astype(int)
                    for one, box in ((shot, cell.box), (steady, was))
                )
                assert np.abs(here - before).mean() < 6, "noise and the lamp's unevenness"
                compared += (across, down) != (0, 0)
    assert compared > 10


def test_dust_and_vignette_stay_where_they_are_while_the_slide_moves(slide: Slide) -> None:
    good, dusty = shots(slide, 40), shots(slide, 40, "dust", "vignette")
    shares = [b.pixels[::, ::, 1] / np.maximum(a.pixels[::, ::, 1], 1.0) for a, b in zip(good, dusty, strict=True)]
    first, second = np.mean(shares[:20], axis=0), np.mean(shares[20:], axis=0)
    assert first.min() < 0.8, "a speck"
    assert np.abs(first - second).mean() < 0.005
    assert np.unravel_index(first.argmin(), first.shape) == pytest.approx(
        np.unravel_index(second.argmin(), second.shape), abs=4
    )
    assert first[:20, :20].mean() < 0.85 * first[220:260, 310:330].mean()


def test_stain_changes_colour_and_leaves_empty_places(slide: Slide) -> None:
    table = smear_faults.stain(3)
    assert (table[0] == 0).all()
    assert (table[255] == 255).all()
    assert np.abs(table[128].astype(int) - 128).max() > 3
    assert (np.diff(table.astype(int), axis=0) >= 0).all()


def test_noise_is_as_strong_as_it_says(slide: Slide) -> None:
    one, other = (shot.pixels.astype(int) for shot in shots(slide, 1, "noise") + shots(slide, 1))
    assert smear_faults.NOISE < (one - other).std() < smear_faults.NOISE + 1


def test_dropped_frames_leave_gaps_and_the_others_as_they_were() -> None:
    fate = list(itertools.islice(smear_faults.delivery(3, frozenset({"drop"})), 10_000))
    assert 0.01 < fate.count("lost") / len(fate) < 0.03
    seed, fate = next(
        (seed, fate)
        for seed in range(100)
        if "lost" in (fate := list(itertools.islice(smear_faults.delivery(seed, frozenset({"drop"})), 20)))
    )
    slide, came = Slide(seed, 12), [number for number, comes in enumerate(fate) if comes == "new"]
    steady, dropping = shots(slide, 20), shots(slide, len(came), "drop")
    assert [shot.number for shot in dropping] == came
    for shot in dropping:
        assert np.array_equal(shot.pixels, steady[shot.number].pixels)
        assert shot.truth == steady[shot.number].truth


def test_a_doubled_frame_is_the_one_before() -> None:
    slide = Slide(3, 12)
    came = shots(slide, 40, "double")
    assert [shot.number for shot in came] == list(range(40))
    same = [b for a, b in itertools.pairwise(came) if np.array_equal(a.pixels, b.pixels)]
    assert 0 < len(same) < 20
    for shot in same:
        assert shot.truth == came[shot.number - 1].truth


def test_what_counts_as_in_view_and_in_focus() -> None:
    pixels = np.zeros((480, 640, 3), np.uint8)
    boxes = (
        Box(1, 1, 100, 100),
        Box(0, 50, 90, 100),
        Box(540, 50, 100, 100),
        Box(300, 400, 80, 79),
        Box(9, 380, 9, 100),
    )
    truth = tuple(KnownCell(box, "monocyte", number) for number, box in enumerate(boxes))
    assert [cell.cell_id for cell in in_view_and_focus(Frame(pixels, 0, 0, "", truth, 0.3))] == [0, 3]
    assert in_view_and_focus(Frame(pixels, 0, 0, "", truth, IN_FOCUS_PX)) == ()
    assert in_view_and_focus(Frame(pixels, 0, 0, "")) == ()


@pytest.mark.parametrize("text", ["", "fog", "focus,fog", "focus,", "All"])
def test_an_unknown_fault_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not one of focus, vibration, .*; write for example faults=") as caught:
        open_source(f"smear://?faults={text}")
    assert "\n" not in str(caught.value)
