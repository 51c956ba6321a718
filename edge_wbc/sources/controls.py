"""Setting a Video4Linux camera through OpenCV, and reading back what it made of it."""

from __future__ import annotations

import cv2

from edge_wbc.errors import UsageError
from edge_wbc.sources.settings import AUTO, CameraSettings

MANUAL_EXPOSURE, AUTO_EXPOSURE = 1, 3
"""``V4L2_EXPOSURE_MANUAL`` and ``V4L2_EXPOSURE_APERTURE_PRIORITY``, the automatic one of USB cameras."""
EXPOSURE_STEP_MS = 0.1
"""Unit of ``V4L2_CID_EXPOSURE_ABSOLUTE``."""
NEAR = 0.02
"""How far what is read back may be from what was asked: cameras round."""


def set_camera(capture: cv2.VideoCapture, asked: CameraSettings, uri: str) -> tuple[str, ...]:
    """Ask a camera for its settings; the format first, because sizes and rates depend on it.

    :returns: a line for each setting it did not take, with what it has instead.
    :raises UsageError: ``white_balance`` is neither ``auto`` nor a number of kelvin.
    """
    steps: list[tuple[str, str, int, float]] = []
    """Name, what is asked in words, property and value; a name ``""`` is not told of."""
    if asked.format:
        steps.append(("format", asked.format, cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.format)))
    if asked.size:
        steps.append(("width", str(asked.size[0]), cv2.CAP_PROP_FRAME_WIDTH, asked.size[0]))
        steps.append(("height", str(asked.size[1]), cv2.CAP_PROP_FRAME_HEIGHT, asked.size[1]))
    if asked.fps:
        steps.append(("fps", f"{asked.fps:g}", cv2.CAP_PROP_FPS, asked.fps))
    if asked.exposure_ms is not None:
        auto = not asked.exposure_ms
        mode = AUTO_EXPOSURE if auto else MANUAL_EXPOSURE
        steps.append(("exposure_ms" if auto else "", AUTO, cv2.CAP_PROP_AUTO_EXPOSURE, mode))
        if not auto:
            units = max(1, round(asked.exposure_ms / EXPOSURE_STEP_MS))
            steps.append(("exposure_ms", f"{asked.exposure_ms:g}", cv2.CAP_PROP_EXPOSURE, units))
    if asked.gain is not None:
        steps.append(("gain", f"{asked.gain:g}", cv2.CAP_PROP_GAIN, asked.gain))
    if asked.white_balance is not None:
        auto = asked.white_balance == AUTO
        steps.append(("white_balance" if auto else "", AUTO, cv2.CAP_PROP_AUTO_WB, int(auto)))
        if not auto:
            kelvin = _kelvin(asked.white_balance, uri)
            steps.append(("white_balance", f"{kelvin}", cv2.CAP_PROP_WB_TEMPERATURE, kelvin))
    for _, _, number, wanted in steps:
        capture.set(number, wanted)
    refused = []
    for name, words, number, wanted in steps:
        has = capture.get(number)
        if name and abs(has - wanted) > NEAR * abs(wanted):
            refused.append(f"{uri}: the camera did not take {name}={words}, it has {_words(name, has)}")
    return tuple(refused)


def _words(name: str, has: float) -> str:
    if name == "format":
        code = int(has).to_bytes(8, "little", signed=True)[:4]
        return code.decode("ascii") if code.isalnum() else "another"
    if name == "exposure_ms":
        return f"{has * EXPOSURE_STEP_MS:g}" if has > 0 else "none to set"
    return f"{has:g}"


def _kelvin(text: str, uri: str) -> int:
    if not (text.isdecimal() and 1000 <= int(text) <= 20_000):
        raise UsageError(f"{uri}: white_balance={text!r} is neither auto nor kelvin; write for example 4600")
    return int(text)
