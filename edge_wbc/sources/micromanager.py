"""Cameras that Micro-Manager drives, through pymmcore-plus.

micromanager:///home/me/scope.cfg?camera=Camera&exposure_ms=10&bayer=RG
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edge_wbc.errors import CameraError, EnvironmentMissing, SourceError, UsageError, first_line
from edge_wbc.sources.pixels import check_pixels
from edge_wbc.sources.raw_pixels import EIGHT, RawFormat, to_bgr
from edge_wbc.sources.settings import camera_settings
from edge_wbc.types import Frame, Refused
from edge_wbc.uri import Uri

POLL_S = 0.002
"""The core has nothing that waits for a frame."""
BAYER = ("RG", "GR", "GB", "BG")
PYTHON_LINE = "#py "
"""Begins lines of a configuration that load devices written in Python."""
REMEDY = "load the same configuration in Micro-Manager and look whether it is live there"
MISSING = "micromanager: pymmcore-plus is not installed; python -m pip install 'edge-wbc[micromanager]'"


class MicroManager:
    """The camera of a Micro-Manager configuration. Not yet run on hardware."""

    live = True
    continuous = True
    reopens = True
    remedy = REMEDY
    remarks: tuple[str, ...] = ()

    def __init__(self, uri: str, core: Any, bayer: str = "") -> None:
        """
        :param core: a ``CMMCorePlus`` with its configuration loaded; unloaded here.
        :param bayer: colours of the first two pixels, where a camera gives its raw mosaic as grey.
        """
        self.uri = uri
        self._core = core
        self._bayer = bayer
        self._reading = threading.Lock()
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        try:
            self._core.startContinuousSequenceAcquisition(0)
            while not self._closed.wait(POLL_S):
                with self._reading:
                    if self._closed.is_set():
                        return
                    item = self._newest(index)
                if item is not None:
                    yield item
                    index += 1
        except (RuntimeError, IndexError, MemoryError) as error:  # what the core raises
            raise CameraError(f"{self.uri}: {first_line(error)}; {REMEDY}") from None

    def _newest(self, index: int) -> Frame | Refused | None:
        """The last of what waits, if anything does.

        :raises CameraError: the camera stopped by itself.
        """
        waiting = self._core.getRemainingImageCount()
        if not waiting:
            if not self._core.isSequenceRunning():
                raise CameraError(f"{self.uri}: the camera stopped giving frames; {REMEDY}")
            return None
        for _ in range(waiting):
            data = self._core.popNextImage()
        time_ns = time.monotonic_ns()
        try:
            given = self._format(data)
            pixels = to_bgr(data, given)
            pixels = pixels.copy() if np.may_share_memory(pixels, data) else pixels
            return Frame(check_pixels(pixels, self.uri), index, time_ns, self.uri)
        except SourceError as error:
            return Refused(index, self.uri, f"{self.uri}: {str(error).removeprefix(f'{self.uri}: ')}")

    def _format(self, data: np.ndarray) -> RawFormat:
        """Colour comes from the core as RGB."""
        bits = EIGHT if data.dtype == np.uint8 else int(self._core.getImageBitDepth())
        if data.ndim == 3:
            return RawFormat("RGB" if data.shape[2] == 3 else "RGBa", bits)
        return RawFormat(f"Bayer{self._bayer}" if self._bayer else "Mono", bits)

    def close(self) -> None:
        self._closed.set()
        if self._reading.acquire(timeout=1.0):  # an adapter that hangs keeps its thread
            core, self._core = self._core, None
            self._reading.release()
            if core is not None:
                with suppress(Exception):
                    core.stopSequenceAcquisition()
                with suppress(Exception):
                    core.unloadAllDevices()


def open_micromanager(uri: Uri) -> MicroManager:
    """``micromanager:CONFIG.cfg``, or ``mm:``; with options ``micromanager:///PATH.cfg?camera=Camera``.

    :raises UsageError: an unknown option, or a value that makes no sense.
    :raises SourceError: no such configuration.
    :raises EnvironmentMissing: pymmcore-plus is not installed.
    :raises CameraError: the configuration can't be loaded, or has no such camera.
    """
    uri.allow("camera", "exposure_ms", "bayer")
    bayer = uri.options.get("bayer", "").upper()
    if bayer and bayer not in BAYER:
        raise UsageError(f"{uri.text}: bayer={uri.options['bayer']!r} is none of {', '.join(BAYER)}")
    timed = {name: text for name, text in uri.options.items() if name == "exposure_ms"}
    exposure_ms = camera_settings(Uri(uri.text, uri.scheme, uri.path, timed), "exposure_ms").exposure_ms
    if exposure_ms == 0:
        raise UsageError(f"{uri.text}: exposure_ms=auto is for the configuration to say; write milliseconds")
    path = Path(uri.path)
    if not path.is_file():
        raise SourceError(f"{uri.text}: no such configuration; save one in Micro-Manager's hardware wizard")
    core = _loaded(uri, path)
    try:
        if camera := uri.options.get("camera"):
            core.setCameraDevice(camera)
        if not core.getCameraDevice():
            raise CameraError(f"{uri.text}: the configuration has no camera; add ?camera=LABEL")
        if exposure_ms is not None:
            core.setExposure(exposure_ms)
    except (RuntimeError, ValueError) as error:
        core.unloadAllDevices()
        raise CameraError(f"{uri.text}: {first_line(error)}; {REMEDY}") from None
    return MicroManager(uri.text, core, bayer)


def _loaded(uri: Uri, path: Path) -> Any:
    """A core with its devices. One with devices written in Python needs the library's other core."""
    try:
        from pymmcore_plus import CMMCorePlus
    except ImportError:
        raise EnvironmentMissing(MISSING) from None
    logging.getLogger("pymmcore-plus").setLevel(logging.CRITICAL)  # what is wrong is said once, in our own words
    if PYTHON_LINE in path.read_text(errors="replace"):
        from pymmcore_plus.experimental.unicore import UniMMCore

        core = UniMMCore()
    else:
        core = CMMCorePlus()
    try:
        core.loadSystemConfiguration(str(path))
    except Exception as error:
        with suppress(Exception):
            core.unloadAllDevices()
        raise CameraError(
            f"{uri.text}: it can't be loaded ({' '.join(str(error).split())}); `mmcore install` brings Micro-Manager's "
            "device adapters, MICROMANAGER_PATH names their folder"
        ) from None
    return core
