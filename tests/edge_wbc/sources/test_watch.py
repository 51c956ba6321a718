"""A folder into which images come while it is watched, whole, in pieces, renamed in, or never whole."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_wbc.cli.session import new_session
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import SourceError, UsageError
from edge_wbc.manifest import load_model
from edge_wbc.pipeline import Pipeline
from edge_wbc.sources import watch
from edge_wbc.sources.base import Source, open_source
from edge_wbc.types import Frame, Refused
from tests.data import drawn_cell

DEADLINE_S = 20.0


def encoded(level: int, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.full((64, 80, 3), level, np.uint8))[1].tobytes()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    monkeypatch.setattr(watch, "SETTLED_S", 0.03)
    monkeypatch.setattr(watch, "GIVE_UP_S", DEADLINE_S)


class Taker:
    """Takes what a source gives, in a thread."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.items: list[Frame | Refused] = []
        self.error: SourceError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        try:
            for item in self.source.frames():
                with self._changed:
                    self.items.append(item)
                    self._changed.notify_all()
        except SourceError as error:
            self.error = error

    def wait_for(self, count: int) -> list[Frame | Refused]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, DEADLINE_S), self.items
            return list(self.items)

    def end(self) -> list[Frame | Refused]:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.items


@pytest.fixture
def taker(tmp_path: Path) -> Iterator[Taker]:
    (tmp_path / "old.png").write_bytes(encoded(10))
    taker = Taker(open_source(f"watch:{tmp_path}"))
    yield taker
    taker.source.close()
    taker.end()


def levels(items: list[Frame | Refused]) -> list[int]:
    return [int(item.pixels[0, 0, 0]) if isinstance(item, Frame) else -1 for item in items]


def test_new_files_come_once_in_order_and_old_ones_not(taker: Taker, tmp_path: Path) -> None:
    assert taker.source.live
    for number, name in enumerate(["c.png", "b.png", "a.bmp"], 1):
        (tmp_path / name).write_bytes(encoded(50 * number, Path(name).suffix))
        taker.wait_for(number)
    (tmp_path / "a.bmp").write_bytes(encoded(200, ".bmp"))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".d.png.Xy12").write_bytes(encoded(9))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "e.png").write_bytes(encoded(220))
    items = taker.wait_for(4)
    assert levels(items) == [50, 100, 150, 220]
    assert [item.index for item in items] == [0, 1, 2, 3]
    assert items[0].origin == str(tmp_path / "c.png")


def test_a_file_written_in_pieces_comes_when_it_is_whole(taker: Taker, tmp_path: Path) -> None:
    data = encoded(120)
    with (tmp_path / "slow.png").open("wb", buffering=0) as file:
        for piece in (data[:30], data[30:60], data[60:-5]):
            file.write(piece)
            (tmp_path / f"mark{file.tell()}.png").write_bytes(encoded(60))
            taker.wait_for(len(list(tmp_path.glob("mark*"))))  # the watcher saw the pieces, too
        assert 120 not in levels(taker.items)
        file.write(data[-5:])
    assert levels(taker.wait_for(4)) == [60, 60, 60, 120]


def test_a_file_that_is_renamed_in_comes(taker: Taker, tmp_path: Path) -> None:
    (tmp_path / "image.tmp").write_bytes(encoded(77))
    (tmp_path / "image.tmp").rename(tmp_path / "image.png")
    assert levels(taker.wait_for(1)) == [77]


def test_a_file_that_never_gets_whole_is_refused_once(
    taker: Taker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "GIVE_UP_S", 0.1)
    (tmp_path / "half.png").write_bytes(encoded(80)[:40])
    (item,) = taker.wait_for(1)
    assert isinstance(item, Refused)
    assert "half.png: the image breaks off" in item.reason
    (tmp_path / "next.png").write_bytes(encoded(90))
    assert levels(taker.wait_for(2)) == [-1, 90]


def test_a_file_that_goes_away_unread_is_forgotten(taker: Taker, tmp_path: Path) -> None:
    (tmp_path / "gone.png").write_bytes(b"half")
    (tmp_path / "gone.png").unlink()
    (tmp_path / "next.png").write_bytes(encoded(90))
    assert levels(taker.wait_for(1)) == [90]


def test_existing_files_come_the_oldest_first(tmp_path: Path) -> None:
    for number, name in enumerate(["z.png", "a.png"]):
        (tmp_path / name).write_bytes(encoded(100 + number))
        os.utime(tmp_path / name, (1e9 + number, 1e9 + number))
    taker = Taker(open_source(f"watch://{tmp_path}?existing=1"))
    assert levels(taker.wait_for(2)) == [100, 101]
    taker.source.close()
    taker.end()


def test_each_page_of_a_tiff_is_a_frame(taker: Taker, tmp_path: Path) -> None:
    pages = [np.full((64, 80, 3), level, np.uint8) for level in (30, 60, 90)]
    cv2.imwritemulti(str(tmp_path / "stack.tif"), pages)
    (tmp_path / "one.png").write_bytes(encoded(120))
    items = taker.wait_for(4)
    assert sorted(levels(items)) == [30, 60, 90, 120]
    assert [item.index for item in items] == [0, 1, 2, 3]


def test_a_folder_that_vanishes_ends_it_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "slides").mkdir()
    taker = Taker(open_source(f"watch:{tmp_path}/slides"))
    shutil.rmtree(tmp_path / "slides")
    taker.end()
    assert taker.error is not None
    assert "no such file or directory; bring the folder back" in str(taker.error)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("watch:", UsageError),
        ("watch:///tmp?existing=maybe", UsageError),
        ("watch:///tmp?old=1", UsageError),
        ("watch:/no/such/folder", SourceError),
        ("watch:/etc/passwd", SourceError),
    ],
)
def test_what_cannot_be_watched(text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"; "):
        open_source(text)


def test_a_session_counts_every_image_at_once_and_stops_when_told(tmp_path: Path) -> None:
    """No image waits for the next ones, none is dropped, and Ctrl-C needs no further image."""
    engine = open_engine("openvino", load_model(), threads=1)
    source = open_source(f"watch:{tmp_path}")
    seen = threading.Semaphore(0)
    pipeline = Pipeline(
        source, engine, [], new_session(source.uri, "cell", engine), watch=lambda frame, result: seen.release()
    )

    def drive() -> None:
        for number in range(2):
            cv2.imwrite(str(tmp_path / f"{number}.png"), drawn_cell(number))
            assert seen.acquire(timeout=DEADLINE_S)
        for number in range(2, 12):
            cv2.imwrite(str(tmp_path / f"{number}.png"), drawn_cell(number))
        for _ in range(10):
            assert seen.acquire(timeout=DEADLINE_S)
        pipeline.stop()

    driver = threading.Thread(target=drive)
    driver.start()
    outcome = pipeline.run()
    driver.join(DEADLINE_S)
    engine.close()
    assert (outcome.summary.frames, outcome.summary.dropped, outcome.error) == (12, 0, None)
