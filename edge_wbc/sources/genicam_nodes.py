"""Setting a GenICam camera by the names of the Standard Features Naming Convention (EMVA, SFNC)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from edge_wbc.errors import first_line
from edge_wbc.sources.settings import AUTO, CameraSettings

MICROSECONDS = 1000.0
"""In a millisecond: the unit of ``ExposureTime``."""


def set_nodes(nodes: Any, asked: CameraSettings, name: str, uri: str) -> tuple[str, ...]:
    """Ask a camera for its settings, the pixel format first.

    :returns: a line for each that it did not take.
    """
    steps: list[tuple[str, tuple[tuple[str, Any], ...]]] = []
    if name:
        steps.append((f"format={name}", (("PixelFormat", name),)))
    if asked.size:
        steps.append(("size={}x{}".format(*asked.size), (("Width", asked.size[0]), ("Height", asked.size[1]))))
    if asked.exposure_ms == 0:
        steps.append((f"exposure_ms={AUTO}", (("ExposureAuto", "Continuous"),)))
    elif asked.exposure_ms is not None:
        exposure = ("?ExposureAuto", "Off"), ("ExposureTime", asked.exposure_ms * MICROSECONDS)
        steps.append((f"exposure_ms={asked.exposure_ms:g}", exposure))
    if asked.gain is not None:
        steps.append((f"gain={asked.gain:g}", (("?GainAuto", "Off"), ("Gain", asked.gain))))
    if asked.white_balance == AUTO:
        steps.append((f"white_balance={AUTO}", (("BalanceWhiteAuto", "Continuous"),)))
    if asked.fps:
        rate = ("?AcquisitionFrameRateEnable", True), ("AcquisitionFrameRate", asked.fps)
        steps.append((f"fps={asked.fps:g}", rate))
    refused = []
    for words, settings in steps:
        for node, value in settings:
            if node.startswith("?") and not hasattr(nodes, node[1:]):
                continue
            try:
                getattr(nodes, node.lstrip("?")).value = value
            except Exception as error:
                why = "it has no such setting" if isinstance(error, AttributeError) else first_line(error)
                refused.append(f"{uri}: the camera did not take {words} ({why})")
                break
    with suppress(Exception):
        if str(nodes.PixelFormat.value).startswith("Mono"):
            refused.append(
                f"{uri}: the camera gives grey frames, which are not judged; choose a colour format, ?format=BayerRG8"
            )
    return tuple(refused)
