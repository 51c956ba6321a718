"""A source that fails in every way there is, under supervision; the ways are scripted, the waits short."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from edge_wbc.errors import CameraError, UsageError
from edge_wbc.sources.base import open_source
from edge_wbc.supervisor import Patience, Supervised, open_supervised
from edge_wbc.types import Frame, Refused

DEADLINE_S = 20.0
QUICK = Patience(first_frame_s=0.3, stall_s=0.2, wait_s=0.001, longest_wait_s=0.01, losses=5, window_s=60, away_s=0.5)
URI = "scripted://"


def frame(index: int, time_ns: int | None = None) -> Frame:
    pixels = np.full((64, 64, 3), 40 + index % 200, np.uint8)
    return Frame(pixels, index, time.monotonic_ns() if time_ns is None else time_ns, URI)


class Scripted:
    """Gives frames, then does what it was told to: ``end``, ``hang``, or raises an error."""

    live = True
    continuous = True

    def __init__(self, frames: int, then: str | Exception) -> None:
        self.uri = URI
        self.closed = threading.Event()
        self._frames, self._then = frames, then

    def frames(self) -> Iterator[Frame | Refused]:
        for index in range(self._frames):
            yield frame(index)
        if isinstance(self._then, Exception):
            raise self._then
        if self._then == "hang":
            self.closed.wait(DEADLINE_S)

    def close(self) -> None:
        self.closed.set()


class Opener:
    """Opens one scripted source after another; an exception is raised instead."""

    def __init__(self, *script: Scripted | Exception) -> None:
        self.script = list(script)
        self.opened = 0

    def __call__(self, uri: str) -> Scripted:
        assert uri == URI
        self.opened += 1
        item = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(item, Exception):
            raise item
        return item


GONE = CameraError(f"{URI}: gone; plug it in")
AWAY = CameraError(f"{URI}: no such camera; look for it")


def supervised(*script: Scripted | Exception, **patience: float) -> tuple[Supervised, list[str]]:
    told: list[str] = []
    return Supervised(Opener(*script), URI, told.append, replace(QUICK, **patience)), told


def test_a_source_that_never_fails_is_passed_on_as_it_is() -> None:
    source, told = supervised(Scripted(5, "end"))
    assert [item.index for item in source.frames()] == [0, 1, 2, 3, 4]
    source.close()
    assert (source.live, source.restarts, source.lost_s, told) == (True, 0, 0.0, [])


def test_what_is_lost_is_opened_again_and_indices_go_on() -> None:
    source, told = supervised(Scripted(3, GONE), AWAY, AWAY, Scripted(2, "end"))
    assert [item.index for item in source.frames()] == [0, 1, 2, 3, 4]
    assert source.restarts == 1
    assert source.lost_s > 0.003
    assert told[0] == f"{URI}: gone; opening it again"
    assert told[1].startswith(f"{URI}: frames again after ")
    assert len(told) == 2


def test_a_source_that_stalls_is_closed_and_opened_again() -> None:
    stalling = Scripted(2, "hang")
    source, told = supervised(stalling, Scripted(2, "end"))
    assert [item.index for item in source.frames()] == [0, 1, 2, 3]
    assert stalling.closed.is_set()
    assert told[0] == f"{URI}: no frame for 0.2 s; opening it again"
    assert source.lost_s >= 0.2


def test_an_attempt_that_hangs_does_not_hold_up_the_next() -> None:
    source, _ = supervised(Scripted(1, GONE), Scripted(0, "hang"), Scripted(1, "end"))
    assert len(list(source.frames())) == 2


def test_gaps_of_a_source_stay() -> None:
    class Gaps(Scripted):
        def frames(self) -> Iterator[Frame | Refused]:
            yield frame(4)
            yield Refused(5, URI, "bad")
            yield frame(9)
            raise GONE

    source, _ = supervised(Gaps(0, GONE), Scripted(1, "end"))
    assert [item.index for item in source.frames()] == [0, 1, 5, 6]


def test_the_first_error_is_told_at_once() -> None:
    opener = Opener(AWAY)
    with pytest.raises(CameraError) as caught:
        Supervised(opener, URI)
    assert caught.value is AWAY
    never = Opener(Scripted(0, GONE))
    with pytest.raises(CameraError) as caught:
        list(Supervised(never, URI, patience=QUICK).frames())
    assert caught.value is GONE
    assert (opener.opened, never.opened) == (1, 1)


def test_a_source_that_never_gives_a_frame_is_told_as_such() -> None:
    source, _ = supervised(Scripted(0, "hang"))
    with pytest.raises(CameraError, match="no frame came; check the camera"):
        list(source.frames())
    source.close()


def test_the_budget_of_losses_ends_it() -> None:
    source, told = supervised(Scripted(1, GONE))
    items: list[Frame | Refused] = []
    with pytest.raises(CameraError, match=r"lost 6 times within 60 s, at last: gone; check the camera") as caught:
        items.extend(source.frames())
    assert [item.index for item in items] == list(range(6)), "what was seen was handed on"
    assert source.restarts == 5
    assert "\n" not in str(caught.value)
    assert len(told) == 10


def test_losses_long_ago_are_forgotten() -> None:
    steady = [Scripted(1, GONE) for _ in range(12)]
    source, _ = supervised(*steady, Scripted(1, "end"), window_s=0.0)
    assert len(list(source.frames())) == 13


def test_a_source_that_stays_away_ends_it() -> None:
    source, _ = supervised(Scripted(1, GONE), AWAY)
    began = time.monotonic()
    with pytest.raises(CameraError, match=r"no such camera, for 0\.5 s; check the camera"):
        list(source.frames())
    assert 0.5 < time.monotonic() - began < 5
    assert source.lost_s > 0.5


def test_the_waits_double_up_to_the_longest() -> None:
    opener = Opener(Scripted(1, GONE), AWAY)
    patience = replace(QUICK, wait_s=0.01, longest_wait_s=0.08, away_s=0.7)
    with pytest.raises(CameraError):
        list(Supervised(opener, URI, patience=patience).frames())
    assert 3 < opener.opened <= 14, "10, 20, 40, then 80 ms each"


def test_a_setting_that_is_refused_on_the_way_back_is_not_tried_again() -> None:
    source, _ = supervised(Scripted(1, GONE), UsageError("wrong; write it right"))
    with pytest.raises(UsageError):
        list(source.frames())


def test_a_bug_in_a_source_is_raised() -> None:
    source, _ = supervised(Scripted(1, ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        list(source.frames())


def test_a_frame_from_the_past_is_refused_and_the_next_one_taken() -> None:
    class Backwards(Scripted):
        def frames(self) -> Iterator[Frame | Refused]:
            for index, time_ns in enumerate((2_000_000_000, 1_500_000_000, 1_600_000_000)):
                yield frame(index, time_ns)

    source, _ = supervised(Backwards(0, "end"))
    first, second, third = source.frames()
    assert isinstance(first, Frame)
    assert isinstance(second, Refused)
    assert "0.500 s before the one before it" in second.reason
    assert isinstance(third, Frame)


def test_a_frozen_picture_makes_it_open_again() -> None:
    class Frozen(Scripted):
        def frames(self) -> Iterator[Frame | Refused]:
            for index in range(200):
                yield replace(frame(min(index, 40)), index=index, time_ns=index * 10**9)

    source, told = supervised(Frozen(0, "end"), Scripted(1, "end"))
    items = list(source.frames())
    assert 45 < len(items) < 60
    assert "the same picture for 10 s; opening it again" in told[0]


def test_what_is_opened_again_is_compared_with_nothing_from_before() -> None:
    class Still(Scripted):
        def frames(self) -> Iterator[Frame | Refused]:
            for second in range(*self.seconds):
                yield replace(frame(0, second * 10**9), index=second)
            yield from super().frames()

        seconds = (1, 11)

    class Later(Still):
        seconds = (11, 19)

    source, told = supervised(Still(0, GONE), Later(0, "end"))
    assert len(list(source.frames())) == 18
    assert len(told) == 2, "lost and back, and not frozen"


@pytest.mark.parametrize("script", [(Scripted(1, "hang"),), (Scripted(1, GONE), AWAY)], ids=["reading", "lost"])
def test_close_ends_it_from_another_thread(script: tuple[Scripted | Exception, ...]) -> None:
    source, _ = supervised(*script, stall_s=DEADLINE_S, away_s=DEADLINE_S)
    seen = threading.Event()
    items: list[object] = []

    def read() -> None:
        for item in source.frames():
            items.append(item)
            seen.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert seen.wait(DEADLINE_S)
    source.close()
    source.close()
    reader.join(DEADLINE_S)
    assert not reader.is_alive()
    assert len(items) == 1
    assert list(source.frames()) == []


def test_close_before_the_first_frame() -> None:
    scripted = Scripted(3, "end")
    source, _ = supervised(scripted)
    source.close()
    assert scripted.closed.is_set()
    assert list(source.frames()) == []


def test_what_cannot_come_back_is_not_supervised() -> None:
    told: Callable[[str], None] = [].append
    smear = open_supervised("smear://?seed=1&cells=3&fps=100", told)
    assert type(smear) is type(open_source("smear://?seed=1"))
    with pytest.raises(CameraError):
        open_supervised("v4l2:///dev/no-such-camera", told)
