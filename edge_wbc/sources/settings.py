"""The options that cameras share: ``?size=1280x720&fps=60&format=MJPG&exposure_ms=2&gain=4&white_balance=4600``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_wbc.errors import UsageError
from edge_wbc.uri import Uri, width_and_height

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What a camera is asked for; None leaves it as the camera has it."""

    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    fps: float | None = None
    format: str | None = None
    """FourCC: four letters such as MJPG or YUYV."""
    exposure_ms: float | None = None
    """Fixed exposure; ``exposure_ms=auto`` (here 0) leaves it to the camera."""
    gain: float | None = None
    white_balance: str | None = None
    """``auto``, or what the kind of camera takes."""


def camera_settings(uri: Uri, *names: str) -> CameraSettings:
    """Read the options of a camera's URI.

    :param names: the options this kind of camera takes.
    :raises UsageError: another option, or a value that makes no sense.
    """
    uri.allow(*names)
    return CameraSettings(
        size=_size(uri),
        fps=_positive(uri, "fps", "30", 1000),
        format=_format(uri),
        exposure_ms=0.0 if uri.options.get("exposure_ms") == AUTO else _positive(uri, "exposure_ms", "2", 10_000),
        gain=_positive(uri, "gain", "4", 100_000),
        white_balance=uri.options.get("white_balance"),
    )


def _size(uri: Uri) -> tuple[int, int] | None:
    if "size" not in uri.options:
        return None
    size = width_and_height(uri.options["size"])
    if size is None or not 0 < min(size) <= max(size) <= 65535:
        raise _wrong(uri, "size", "WIDTHxHEIGHT", "1280x720")
    return size


def _format(uri: Uri) -> str | None:
    code = uri.options.get("format")
    if code is not None and not (len(code) == 4 and code.isascii() and code.isprintable()):
        raise _wrong(uri, "format", "four letters", "MJPG")
    return code


def _positive(uri: Uri, name: str, example: str, most: float) -> float | None:
    if name not in uri.options:
        return None
    try:
        value = float(uri.options[name])
    except ValueError:
        value = math.nan
    if not 0 < value <= most:
        raise _wrong(uri, name, f"a number above 0 and at most {most:g}", example)
    return value


def _wrong(uri: Uri, name: str, wanted: str, example: str) -> UsageError:
    return UsageError(f"{uri.text}: {name}={uri.options[name]!r} is not {wanted}; write for example {name}={example}")
