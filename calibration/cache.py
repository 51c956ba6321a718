"""INT8 the older way: TensorRT 10's calibration cache, from the ranges of ``calibration.observe``, and its calibrator.

For the DLA on JetPack 6, which takes no Q/DQ graph. TensorRT 11 has neither, and everything here refuses it. The form
of the cache and the calls are those of NVIDIA's documentation and bindings; TensorRT itself was not run.
"""

from __future__ import annotations

import importlib
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from calibration.body import body
from calibration.observe import BATCH, LEVELS
from calibration.view import View, float_tensors
from edge_wbc.errors import EnvironmentMissing, ModelError, UsageError, reason
from edge_wbc.files import write_whole
from edge_wbc.types import Pixels

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})(\.[0-9]+)?")
_FIRST = re.compile(r"TRT-([1-9][0-9]{0,8})-(\w+)")
_LINE = re.compile(r"(.+): ([0-9a-f]{8})")
_ALGORITHM = "EntropyCalibration2"
_INSTEAD = "make an INT8 graph with `edge-wbc calibrate` and build from that"


@dataclass(frozen=True, slots=True)
class Cache:
    """What a calibration cache says."""

    version: str
    """Of TensorRT, three numbers."""
    ranges: dict[str, float]
    """By tensor, the absolute value that 127 stands for."""


def cached_tensors(model: onnx.ModelProto) -> list[str]:
    """The tensors of an fp32 graph that the cache is to hold, in the order of the graph.

    All that the layers of its ``body`` take and give. TensorRT runs a layer in INT8 only if it finds a scale for each
    tensor on either side of it (NVIDIA/TensorRT#3131), so what stands in front of the body and behind it stays in
    floating point by not being in the cache: sums over a crop and scores have no use for 255 steps. A uint8 input is
    no float and needs no scale.

    :raises ModelError: no valid graph, or no layer that INT8 would speed up.
    """
    view, floats = View(model), float_tensors(model)
    named = dict.fromkeys(name for node in body(view) for name in (*node.input, *node.output))
    found = [name for name in named if name in floats and name not in view.constants]
    if not found:
        raise ModelError("no layer of this graph would be faster in INT8; give the fp32 graph of a network")
    return found


def cache_text(ranges: Mapping[str, float], version: str) -> str:
    """The cache as TensorRT reads it.

    :param ranges: by tensor, the absolute value that 127 stands for; of all that ``cached_tensors`` names.
    :param version: of the TensorRT that is to read it, such as ``10.3.0``.
    :raises UsageError: no version of TensorRT 10.
    :raises ModelError: a range or a name that the cache can't hold.
    """
    lines = [f"TRT-{_number(version)}-{_ALGORITHM}"]
    for name, largest in ranges.items():
        with np.errstate(over="ignore"):
            scale = np.float32(largest / LEVELS)
        if not (np.isfinite(scale) and scale > 0):
            raise ModelError(f"{name} has the range {largest:g}; ranges must be finite and above 0: calibrate again")
        if not name or "\n" in name or "\r" in name:
            raise ModelError(f"a calibration cache can't hold a tensor called {name!r}; rename it in the graph")
        lines.append(f"{name}: {struct.pack('>f', scale).hex()}")
    return "\n".join(lines) + "\n"


def read_cache(text: str) -> Cache:
    """:raises ModelError: damaged, of another algorithm, or not of TensorRT 10."""
    first, *lines = text.removesuffix("\n").split("\n")
    header = _FIRST.fullmatch(first)
    if header is None or header[2] != _ALGORITHM:
        raise ModelError(f"no calibration cache of {_ALGORITHM}: it begins with {first[:60]!r}; calibrate again")
    major, rest = divmod(int(header[1]), 10_000)
    if major != 10:
        raise ModelError(f"a calibration cache of another TensorRT than 10: it begins with {first!r}; {_INSTEAD}")
    ranges: dict[str, float] = {}
    for number, line in enumerate(lines, 2):
        found = _LINE.fullmatch(line)
        scale = struct.unpack(">f", bytes.fromhex(found[2]))[0] if found else math.nan
        if found is None or not (math.isfinite(scale) and scale > 0) or found[1] in ranges:
            raise ModelError(f"a damaged calibration cache: line {number} is {line[:60]!r}; calibrate again")
        ranges[found[1]] = scale * LEVELS
    if not ranges:
        raise ModelError("a calibration cache without a tensor; calibrate again")
    return Cache(f"{major}.{rest // 100}.{rest % 100}", ranges)


def calibrator(crops: Pixels, cache: Path, upload: Callable[[npt.NDArray[np.float32]], int]) -> Any:
    """An ``IInt8EntropyCalibrator2`` for a graph whose one input is float32 and takes what crops hold, 0 to 255.

    TensorRT takes its ranges from ``cache`` where that file exists; otherwise it runs the crops, in batches of equal
    size (what is left over is left out), and the file is written. Whether it also feeds an input that is uint8 this
    way was not tried.

    :param crops: uint8 (N, S, S, 3) BGR, N ≥ 1.
    :param upload: copies a batch to the device, where it must lie until the next call, and returns its address.
    :raises EnvironmentMissing: no TensorRT, or one without calibrators.
    :raises ModelError: the cache is damaged, or of another version than this TensorRT.
    """
    try:
        tensorrt = importlib.import_module("tensorrt")
    except ImportError:
        raise EnvironmentMissing("tensorrt is not installed; it comes with JetPack") from None
    if not hasattr(tensorrt, "IInt8EntropyCalibrator2"):
        raise EnvironmentMissing(f"TensorRT {tensorrt.__version__} has no calibrators; {_INSTEAD}")
    known = _known(cache, str(tensorrt.__version__))
    size = min(BATCH, len(crops))

    class Calibrator(tensorrt.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]
        """The class exists only where TensorRT has its base."""

        def __init__(self) -> None:
            super().__init__()
            self._starts = iter(range(0, len(crops) - size + 1, size))

        def get_batch_size(self) -> int:
            return size

        def get_batch(self, names: Sequence[str]) -> list[int]:
            start = next(self._starts, None)
            return [] if start is None else [upload(crops[start : start + size].astype(np.float32, order="C"))]

        def read_calibration_cache(self) -> bytes | None:
            return known

        def write_calibration_cache(self, content: Any) -> None:
            write_whole(cache, bytes(content), "make room, then build again")

    return Calibrator()


def _known(cache: Path, version: str) -> bytes | None:
    """What the file holds, read before TensorRT asks: it can't be told what is wrong. None without a file."""
    try:
        content = cache.read_bytes()
        made_for = read_cache(content.decode()).version
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{cache}: can't be read ({reason(error)}); give another file") from None
    except UnicodeDecodeError:
        raise ModelError(f"{cache}: no calibration cache; delete it, or give another file") from None
    except ModelError as error:
        raise ModelError(f"{cache}: {error}") from None
    if _number(version) != _number(made_for):
        raise ModelError(f"{cache}: made for TensorRT {made_for}, here is {version}; delete it, or calibrate again")
    return content


def _number(version: str) -> int:
    """10.3.0 → 100300, as TensorRT writes itself."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise UsageError(f"{version!r} is no version of TensorRT; give three numbers, such as 10.3.0")
    major, minor, patch = (int(part) for part in found.groups()[:3])
    if major > 10:
        raise UsageError(f"TensorRT {version} reads no calibration cache; {_INSTEAD}")
    if major < 10 or minor > 99 or patch > 99:
        raise UsageError(f"a calibration cache for TensorRT {version} is not known; give a version of TensorRT 10")
    return 10_000 * major + 100 * minor + patch
