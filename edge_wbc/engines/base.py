"""The contract of an engine, and the table of engines."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from edge_wbc.engines import binding
from edge_wbc.errors import EnvironmentMissing, ModelError, UsageError
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels
from edge_wbc.uri import load, table_with_plugins


class Outputs(NamedTuple):
    """What a graph returns for N crops; the arrays are the caller's to keep."""

    probabilities: npt.NDArray[np.float32]
    """(N, C), rows sum to 1."""
    logits: npt.NDArray[np.float32]
    """(N, C)."""


class Engine(Protocol):
    """Executes one graph. Used by one thread at a time."""

    name: str
    model: Model
    precision: str
    """What the engine really computes in, for reports: ``f32``, ``bf16``, ``f16``, ``int8``."""

    def infer(self, crops: Pixels) -> Outputs:
        """Run the graph.

        :param crops: uint8 (N, S, S, 3) BGR, C-contiguous, N ≥ 1.
        """
        ...

    def close(self) -> None:
        """Release memory. Safe to call twice."""
        ...


@runtime_checkable
class Overlapping(Engine, Protocol):
    """An engine that computes one batch while the next is prepared; at most two are in flight."""

    def room(self, count: int) -> Pixels:
        """Where the next ``count`` crops go without being copied again, to be filled and given to ``submit``."""
        ...

    def submit(self, crops: Pixels) -> None:
        """Start on a batch of at most ``classify.LARGEST_BATCH`` crops."""
        ...

    def collect(self) -> Outputs:
        """The answer to the oldest batch that was submitted."""
        ...


ENGINES: dict[str, str] = {
    "tensorrt": "edge_wbc.engines.tensorrt:TensorrtEngine",
    "openvino": "edge_wbc.engines.openvino:OpenvinoEngine",
    "onnxruntime": "edge_wbc.engines.onnxruntime:OnnxruntimeEngine",
}
"""Name → ``module:class``, called as ``(model, threads)`` and imported when asked for; in the order ``auto`` tries
them. ``auto`` passes over TensorRT where it finds no GPU to run on. Other packages add theirs by the
entry-point group ``edge_wbc.engines``."""

REFERENCE = "onnxruntime"
"""The engine that the others, and graphs of lower precision, are held against."""

LEAST_SAME_LABEL = 0.999
"""The gate of engines that run the same graph, and of INT8 and FP16 graphs, whose values near a step's edge fall to
either side: share of crops with the same class."""


def open_engine(name: str, model: Model, threads: int | None = None) -> Engine:
    """Load a model into an engine.

    :param name: an engine's name, ``auto`` for the first that can run here, or ``tensorrt-dla0`` for a DLA core.
    :param threads: processor threads the engine may use; the processors this process may run on by default.
    :raises UsageError: no engine of that name.
    :raises EnvironmentMissing: its package is not installed.
    :raises ModelError: the graph is not one edge-wbc can run.
    """
    name, _, core = name.partition("-dla")
    if core and (name != "tensorrt" or core not in ("0", "1")):
        raise UsageError(f"no engine {name}-dla{core}; DLA cores are tensorrt-dla0 and tensorrt-dla1")
    table, name = _chosen(name)
    make = cast("Callable[..., Engine]", load(table[name]))
    threads = threads or usable_processors()
    return make(model, threads, int(core)) if core else make(model, threads)


def engine_name(name: str) -> str:
    """What ``auto`` stands for here; any other name as it is.

    :raises UsageError: no engine of that name.
    :raises EnvironmentMissing: its package is not installed.
    """
    return _chosen(name)[1]


def _chosen(name: str) -> tuple[dict[str, str], str]:
    table = table_with_plugins(ENGINES, "edge_wbc.engines")
    if name == "auto":
        name = next((known for known in table if ready(known)), "openvino")
    if name not in table:
        raise UsageError(f"no engine {name!r}; known are auto, {', '.join(table)}")
    if name == "tensorrt":
        binding.tensorrt()  # says what is missing, and that it comes with JetPack
    elif not installed(name):
        raise EnvironmentMissing(f"the engine {name} is not installed; pip install {name}")
    return table, name


def installed(name: str) -> bool:
    """Whether the package of a built-in engine is there; engines of other packages are."""
    if name == "tensorrt":
        return binding.here()
    return name not in ENGINES or importlib.util.find_spec(name) is not None


def ready(name: str) -> bool:
    """Whether an engine can run here: installed, and for TensorRT a GPU is there."""
    if name == "tensorrt" and installed(name):
        return bool(load("edge_wbc.engines.tensorrt:ready")())
    return installed(name)


def beside_reference() -> list[str]:
    """The other built-in engines that are there and take any graph as it is; TensorRT would compile it for minutes."""
    return [name for name in ENGINES if name not in (REFERENCE, "tensorrt") and installed(name)]


def usable_processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Port(NamedTuple):
    """An input or output of a graph as an engine reports it."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    """None where the graph leaves a dimension free."""


def check_ports(model: Model, inputs: list[Port], outputs: list[Port]) -> None:
    """Hold a loaded graph against its manifest.

    :raises ModelError: other inputs or outputs than ``crops`` → ``probabilities``, ``logits``, or a labels list of
        another length than the outputs.
    """
    size, classes = model.manifest.input.size_px, len(model.manifest.labels.names)
    crops = Port("crops", "uint8", (None, size, size, 3))
    if inputs != [crops]:
        raise ModelError(
            f"{model.graph}: takes {_words(inputs)}, not {_words([crops])}; export the network with `edge-wbc export`"
        )
    if [(port.name, port.dtype, len(port.shape)) for port in outputs] != [
        ("probabilities", "float32", 2),
        ("logits", "float32", 2),
    ]:
        raise ModelError(
            f"{model.graph}: returns {_words(outputs)}, not probabilities and logits; "
            "export the network with `edge-wbc export`"
        )
    for port in outputs:
        if port.shape[1] != classes:
            raise ModelError(
                f"{model.graph}: returns {port.shape[1]} {port.name}, its manifest has {classes} labels; "
                "export the graph again"
            )


def _words(ports: list[Port]) -> str:
    return (
        " and ".join(
            f"{port.name} {port.dtype}[{', '.join('N' if side is None else str(side) for side in port.shape)}]"
            for port in ports
        )
        or "nothing"
    )
