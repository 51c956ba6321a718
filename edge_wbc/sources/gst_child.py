"""A pipeline of GStreamer in a child process ``gst-launch-1.0``, and its frames through a pipe.

The child keeps only its newest frame and sends it, with its time, as :mod:`edge_wbc.sources.gdp` reads.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO

import numpy as np
import numpy.typing as npt

from edge_wbc.errors import CameraError, SourceError
from edge_wbc.sources.capture_clock import CaptureClock
from edge_wbc.sources.gdp import NotGdp, Reader
from edge_wbc.sources.pixels import check_pixels
from edge_wbc.types import Frame, Refused

LAUNCH = "gst-launch-1.0"
INSTALL = (
    "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)
PLUGIN = "install the plugin that brings it; those of CSI cameras come with a Jetson's system"
NEWEST = "queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0"
TO_BGR = "videoconvert ! video/x-raw,format=BGR ! gdppay"
F_SETPIPE_SZ = 1031
"""Of Linux's ``fcntl.h``."""
PIPE_BYTES = 2**20
"""Room of the pipe; Linux gives a process without privileges at most so much. A 640×480 frame goes in whole."""
LEAVE_S = 0.6
"""How long a child may take to end in order, which Argus needs; then it is killed."""
KEPT_LINES = 40


class GStreamer:
    """The frames of a pipeline. The child starts with ``frames()``."""

    live = True
    continuous = True
    reopens = True

    def __init__(self, uri: str, pipeline: Sequence[str], *, ends: bool = False, remedy: str = "start again") -> None:
        """
        :param pipeline: words of gst-launch-1.0, up to raw video in the memory of the processor.
        :param ends: an end of the stream is the end of the source and not a loss.
        :param remedy: what to do when it fails.
        """
        self.uri = uri
        self._pipeline = pipeline
        self._ends = ends
        self.remedy = remedy
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._child: subprocess.Popen[str] | None = None

    def frames(self) -> Iterator[Frame | Refused]:
        reading, writing = os.pipe()
        try:
            child = self._start(reading, writing)
        finally:
            os.close(writing)
        said: deque[str] = deque(maxlen=KEPT_LINES)
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            if child is None or child.stdout is None:
                return
            listener = threading.Thread(target=said.extend, args=(child.stdout,), daemon=True)
            listener.start()
            index, garbage = 0, ""
            try:
                for item in self._read(pipe):
                    yield item
                    index += 1
            except NotGdp as error:
                garbage = f"what came is no raw BGR video ({error})"
            finally:
                pipe.close()  # a child that has not ended learns it so
                self._leave(child)
                listener.join(LEAVE_S)
                if not listener.is_alive():
                    child.stdout.close()
        if self._closed.is_set() or (self._ends and index and child.returncode == 0 and not garbage):
            return
        what = garbage or complaint(said) or ("the stream ended" if index else "the pipeline ended without a frame")
        remedy = PLUGIN if what.startswith("no element") else self.remedy
        raise CameraError(f"{self.uri}: {what}; {remedy}")

    @property
    def child_pid(self) -> int | None:
        """The process of gst-launch-1.0, once started."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        self._closed.set()
        with self._starting:
            child = self._child
        if child is not None:
            self._stop(child)

    def _start(self, reading: int, writing: int) -> subprocess.Popen[str] | None:
        import fcntl  # Windows has none, and no child either

        with suppress(OSError):  # the user has many pipes: the usual 64 KiB do
            fcntl.fcntl(reading, F_SETPIPE_SZ, PIPE_BYTES)
        tail = shlex.split(f"! {NEWEST} ! {TO_BGR} ! fdsink fd={writing}")
        with self._starting:
            if self._closed.is_set():
                return None
            try:
                self._child = subprocess.Popen(
                    [LAUNCH, "-q", *self._pipeline, *tail],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,  # nvarguscamerasrc talks there
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    pass_fds=(writing,),
                    start_new_session=True,  # Ctrl-C is ours to handle
                    restore_signals=False,  # a broken pipe then ends it in order
                    env={**os.environ, "LC_ALL": "C.UTF-8"},
                )
            except OSError as error:
                raise CameraError(f"{self.uri}: {LAUNCH} does not start ({error}); {INSTALL}") from None
            return self._child

    def _read(self, pipe: IO[bytes]) -> Iterator[Frame | Refused]:
        reader = Reader(lambda into: _filled(pipe, into), time.monotonic_ns)
        clock = CaptureClock()
        index = 0
        while not self._closed.is_set() and (buffer := reader.next()) is not None:
            time_ns = clock.captured_ns(buffer.pts_ns, buffer.arrived_ns)
            try:
                yield Frame(check_pixels(buffer.pixels, self.uri), index, time_ns, self.uri)
            except SourceError as error:
                yield Refused(index, self.uri, str(error))
            index += 1

    def _leave(self, child: subprocess.Popen[str]) -> None:
        try:
            child.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._stop(child)

    def _stop(self, child: subprocess.Popen[str]) -> None:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def complaint(said: Sequence[str]) -> str:
    """The reason that gst-launch-1.0 gave, as a part of one line; empty if it gave none."""
    lines = [line.strip() for line in said]
    for number, line in enumerate(lines):
        if found := re.search(r"erroneous pipeline: (.+)", line):
            return found[1]
        if found := re.match(r"ERROR: from element \S*?([^/:]+): (.+)", line):
            detail = lines[number + 3] if lines[number + 1 : number + 2] == ["Additional debug info:"] else ""
            detail = "" if detail.startswith("ERROR") else detail.rstrip(".")
            return f"{found[1]}: {found[2].rstrip('.')}" + (f" ({detail})" if detail else "")
    return ""


def _filled(pipe: IO[bytes], into: npt.NDArray[np.uint8]) -> bool:
    view = memoryview(into.data)
    while view:
        count = pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            return False
        view = view[count:]
    return True
