"""TensorRT's Python binding: found or missed in words, what it can do, and what its logger says.

The only place that asks a binding what it has. Versions 10.3 to 11 differ in that, and numbers of flags moved.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections import deque
from pathlib import Path
from typing import Any

from edge_wbc.errors import EnvironmentMissing, first_line

OLDEST = (10, 3)
"""JetPack 6.1's."""
STRONG = (10, 12)
"""From here NVIDIA calls strongly typed networks complete; below, Q/DQ graphs are proven weakly typed only."""
MOST_LINES = 20

_HOW = (
    "on a Jetson it comes with JetPack (sudo apt install nvidia-jetpack), and a virtual environment shows it only "
    "if made with --system-site-packages"
)


def here() -> bool:
    """Whether the packages of TensorRT and pycuda can be found; neither is imported."""
    return all(importlib.util.find_spec(name) is not None for name in ("tensorrt", "pycuda"))


def tensorrt() -> Any:
    """The module.

    :raises EnvironmentMissing: not there, not usable, or too old.
    """
    if importlib.util.find_spec("tensorrt") is None:
        raise EnvironmentMissing(f"TensorRT is not here: {_hidden() or _HOW}")
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise EnvironmentMissing(f"TensorRT can't be loaded ({first_line(error)}); {_HOW}") from None
    if not hasattr(trt, "Builder") or version(trt) < OLDEST:
        found = getattr(trt, "__version__", "of no version")
        raise EnvironmentMissing(f"TensorRT {found} can't be used; 10.3 or later is needed, and {_HOW}")
    return trt


def version(trt: Any) -> tuple[int, ...]:
    """Of the binding, as numbers."""
    return tuple(int(part) for part in str(trt.__version__).split(".") if part.isdecimal())


def strongly_typed(trt: Any) -> bool:
    """Whether networks are made strongly typed: the precision is the graph's, and no flag sets it."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED") and version(trt) >= STRONG


def network_flags(trt: Any) -> int:
    """The bits that ``Builder.create_network`` takes."""
    kinds = trt.NetworkDefinitionCreationFlag
    flags = 0
    if hasattr(kinds, "EXPLICIT_BATCH"):
        flags |= 1 << int(kinds.EXPLICIT_BATCH)
    if strongly_typed(trt):
        flags |= 1 << int(kinds.STRONGLY_TYPED)
    return flags


def precision_flags(trt: Any, precision: str) -> list[Any]:
    """The builder's flags of a weakly typed network for a graph's precision; none where the graph alone says it.

    INT8 takes FP16 with it: layers outside the Q/DQ pairs may then run in half.
    """
    if strongly_typed(trt) or precision == "fp32":
        return []
    kinds = trt.BuilderFlag
    return [kinds.FP16, kinds.INT8] if precision == "int8" else [kinds.FP16]


def dtype_name(trt: Any, dtype: Any) -> str:
    """As NumPy calls it, for the types that graphs of edge-wbc have at their borders."""
    return {trt.DataType.UINT8: "uint8", trt.DataType.FLOAT: "float32"}.get(dtype, str(dtype.name).lower())


@functools.cache
def logger(trt: Any) -> Any:
    """The process's one logger: TensorRT keeps the first it is given. Its ``reason()`` is what went wrong last.

    Where a call of TensorRT returns None or False, why it did is said here and nowhere else.
    """

    class Listener(trt.ILogger):  # type: ignore[misc]
        """Keeps errors and warnings; the class exists only where TensorRT has its base."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: deque[str] = deque(maxlen=MOST_LINES)
            self.warnings: deque[str] = deque(maxlen=MOST_LINES)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(" ".join(msg.split()))
            elif severity == trt.ILogger.WARNING:
                self.warnings.append(" ".join(msg.split()))

        def clear(self) -> None:
            self.errors.clear()
            self.warnings.clear()

        def reason(self) -> str:
            return "; ".join(self.errors) or "TensorRT gave no reason"

    return Listener()


def _hidden() -> str:
    """What to do if the system has TensorRT and this virtual environment does not show it."""
    minor = f"python3.{sys.version_info.minor}"
    system = [Path("/usr/lib", folder, "dist-packages", "tensorrt") for folder in ("python3", minor)]
    if sys.prefix == sys.base_prefix or not any(path.is_dir() for path in system):
        return ""
    return (
        "the system has it, this virtual environment hides it; make it anew with python3 -m venv --system-site-packages"
    )
