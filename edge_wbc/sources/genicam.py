"""Machine-vision cameras (USB3 Vision, GigE Vision, …) through their maker's GenTL producer and harvesters.

genicam:///opt/vendor/producer.cti?device=22345678&format=BayerRG8&exposure_ms=2&gain=4&fps=30
genicam:                                        every producer in GENICAM_GENTL64_PATH, the first camera
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edge_wbc.errors import CameraError, EnvironmentMissing, SourceError, UsageError, first_line
from edge_wbc.sources.genicam_nodes import set_nodes
from edge_wbc.sources.pixels import check_pixels
from edge_wbc.sources.raw_pixels import RawFormat, raw_format, to_bgr
from edge_wbc.sources.settings import AUTO, CameraSettings, camera_settings
from edge_wbc.types import Frame, Refused
from edge_wbc.uri import Uri

PRODUCERS = "GENICAM_GENTL64_PATH"
"""Where makers' installers note their producers' folders, as the GenTL standard asks."""
POLL_S, FETCH_S = 0.003, 0.0001
"""How often it is looked for a frame, and for how long. The binding waits with Python's lock held (genicam 1.6.0: with
50 ms of it a frame's quality took 60 ms in place of 2), so it is never let wait."""
LEAVE_S = 1.0
REMEDY = "check the camera, its cable and its power, and that its maker's viewer is closed"
MISSING = "genicam: harvesters is not installed; python -m pip install 'edge-wbc[genicam]'"


class GenICam:
    """One camera behind a GenTL producer. Not yet run on hardware."""

    live = True
    continuous = True
    reopens = True
    remedy = REMEDY

    def __init__(self, uri: str, harvester: Any, acquirer: Any, remarks: Sequence[str] = ()) -> None:
        """
        :param harvester: a ``harvesters.core.Harvester`` of which ``acquirer`` was made; both are closed here.
        :param remarks: lines the user should see.
        """
        self.uri = uri
        self.remarks = tuple(remarks)
        self._harvester = harvester
        self._acquirer = acquirer
        self._reading = threading.Lock()
        self._closed = threading.Event()

    def frames(self) -> Iterator[Frame | Refused]:
        index = 0
        try:
            self._acquirer.start()
        except Exception as error:
            raise CameraError(f"{self.uri}: it can't be started ({first_line(error)}); {REMEDY}") from None
        while not self._closed.wait(POLL_S):
            item = self._next(index)
            if item is not None:
                yield item
                index += 1

    def _next(self, index: int) -> Frame | Refused | None:
        with self._reading:
            if self._closed.is_set():
                return None
            try:
                buffer = self._acquirer.try_fetch(timeout=FETCH_S)
            except Exception as error:  # the binding has an error of its own for each of the standard's
                raise CameraError(f"{self.uri}: {first_line(error)}; {REMEDY}") from None
            if buffer is None:
                return None
            with buffer:
                return self._read(buffer, index, time.monotonic_ns())

    def _read(self, buffer: Any, index: int, time_ns: int) -> Frame | Refused:
        try:
            component = buffer.payload.components[0]
            given = raw_format(component.data_format)
            pixels = to_bgr(_shaped(component, given), given)
            pixels = pixels.copy() if np.may_share_memory(pixels, component.data) else pixels
            return Frame(check_pixels(pixels, self.uri), index, time_ns, self.uri)
        except (SourceError, ValueError, IndexError) as error:
            return Refused(index, self.uri, f"{self.uri}: {first_line(error).removeprefix(f'{self.uri}: ')}")

    def close(self) -> None:
        self._closed.set()
        if self._reading.acquire(timeout=LEAVE_S):  # a driver that hangs keeps its thread
            acquirer, self._acquirer = self._acquirer, None
            self._reading.release()
            if acquirer is not None:
                _leave(self._harvester, acquirer)


def _shaped(component: Any, given: RawFormat) -> np.ndarray:
    """Its values as (height, width) or (height, width, values), without what pads lines.

    :raises ValueError: there are too few.
    """
    values = component.width * given.components
    lines = np.reshape(component.data, (component.height, -1))[:, :values]
    return lines if given.components == 1 else lines.reshape(component.height, component.width, given.components)


def _leave(harvester: Any, acquirer: Any = None) -> None:
    with suppress(Exception):  # of a camera that is gone nothing can be stopped
        if acquirer is not None:
            acquirer.stop()
            acquirer.destroy()
    with suppress(Exception):
        harvester.reset()


def open_genicam(uri: Uri) -> GenICam:
    """``genicam:`` with a producer's path, or none for those in ``GENICAM_GENTL64_PATH``.

    :raises UsageError: an unknown option, or a value that makes no sense.
    :raises EnvironmentMissing: harvesters is not installed, or no producer is here.
    :raises CameraError: no such camera.
    """
    asked, name, device = _asked(uri)
    harvester = _harvester(uri)
    try:
        acquirer = _acquirer(uri, harvester, device)
        try:
            remarks = set_nodes(acquirer.remote_device.node_map, asked, name, uri.text)
        except BaseException:
            _leave(harvester, acquirer)
            raise
    except BaseException:
        _leave(harvester)
        raise
    return GenICam(uri.text, harvester, acquirer, remarks)


def cameras(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """URI and name of each camera behind the producers that the environment names; none without harvesters."""
    if not environment.get(PRODUCERS):
        return []
    try:
        harvester = _harvester(Uri("genicam:", "genicam", "", {}))
    except EnvironmentMissing:
        return []
    try:
        return [(f"genicam://?device={_serial(info)}", str(info.display_name)) for info in harvester.device_info_list]
    finally:
        _leave(harvester)


def _asked(uri: Uri) -> tuple[CameraSettings, str, str]:
    """Settings, pixel format and camera."""
    uri.allow("device", "format", "size", "fps", "exposure_ms", "gain", "white_balance")
    own = ("device", "format")
    rest = Uri(uri.text, uri.scheme, uri.path, {name: text for name, text in uri.options.items() if name not in own})
    asked = camera_settings(rest, "size", "fps", "exposure_ms", "gain", "white_balance")
    if asked.white_balance not in (None, AUTO):
        raise UsageError(f"{uri.text}: white_balance is auto or left out here; set ratios in the maker's viewer")
    name = uri.options.get("format", "")
    if name:
        try:
            raw_format(name)
        except SourceError as error:
            raise UsageError(f"{uri.text}: {error}") from None
    return asked, name, uri.options.get("device", "")


def producers(path: str) -> list[Path]:
    """The producer named, or all in the folders of ``GENICAM_GENTL64_PATH``.

    :raises EnvironmentMissing: none is there.
    """
    if path:
        found = [Path(path)] if Path(path).is_file() else []
        where = path
    else:
        where = f"${PRODUCERS}"
        folders = os.environ.get(PRODUCERS, "").split(os.pathsep)
        found = [file for folder in folders if folder for file in sorted(Path(folder).glob("*.cti"))]
    if not found:
        raise EnvironmentMissing(
            f"genicam: no GenTL producer in {where}; install the camera maker's driver, or write genicam:///PATH.cti"
        )
    return found


def _harvester(uri: Uri) -> Any:
    try:
        from harvesters.core import Harvester
    except ImportError:
        raise EnvironmentMissing(MISSING) from None
    harvester = Harvester()
    try:
        for file in producers(uri.path):
            harvester.add_file(str(file))
        harvester.update()
    except EnvironmentMissing:
        raise
    except Exception as error:
        _leave(harvester)
        raise EnvironmentMissing(
            f"{uri.text}: the GenTL producer can't be used ({first_line(error)}); reinstall the camera maker's driver"
        ) from None
    return harvester


def _serial(info: Any) -> str:
    """Serial number, or the producer's own name for the camera."""
    with suppress(Exception):  # not every producer has every piece of information
        if info.serial_number:
            return str(info.serial_number)
    return str(info.id_)


def _acquirer(uri: Uri, harvester: Any, device: str) -> Any:
    from harvesters.core import ParameterKey, ParameterSet

    known = [(_serial(info), str(info.id_)) for info in harvester.device_info_list]
    index = next((i for i, names in enumerate(known) if not device or device in names), None)
    if index is None:
        here = ", ".join(serial for serial, _ in known) or "none"
        raise CameraError(f"{uri.text}: no such camera; here are {here}; {REMEDY}")
    config = ParameterSet({ParameterKey.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: 0})
    try:
        return harvester.create(index, config=config)
    except Exception as error:
        raise CameraError(f"{uri.text}: it can't be opened ({first_line(error)}); {REMEDY}") from None
