"""What TensorRT made of a graph: its layers by precision, and the Q/DQ layers that it left standing.

Read from the engine inspector's JSON, whose form NVIDIA does not promise: what is not understood is counted as such.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

UNKNOWN = "not told"
_PRECISIONS = {
    "int8": ("int8",),
    "fp16": ("half", "fp16", "float16"),
    "bf16": ("bf16", "bfloat16"),
    "fp32": ("float", "fp32", "float32"),
    "int": ("int32", "int64", "uint8", "bool"),
}
"""Precision → the words that stand for it in ``Format/Datatype`` and ``Type``."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Of one engine."""

    by_precision: dict[str, int]
    """Most layers first; empty where the inspector gave no layers."""
    unfused: tuple[str, ...]
    """Names of Q/DQ layers that run on their own."""


def read_layers(text: str, quantising: Collection[str]) -> Layers:
    """
    :param text: what ``EngineInspector.get_engine_information`` says as JSON.
    :param quantising: names of the network's Q/DQ layers.
    """
    try:
        content = json.loads(text)
    except ValueError:
        return Layers({}, ())
    layers = content.get("Layers", []) if isinstance(content, dict) else []
    counts = Counter(_precision(layer) if isinstance(layer, dict) else UNKNOWN for layer in layers)
    names = [str(layer.get("Name", "")) if isinstance(layer, dict) else str(layer) for layer in layers]
    return Layers(dict(counts.most_common()), tuple(name for name in names if _stands_alone(name, quantising)))


def _precision(layer: dict[str, Any]) -> str:
    """Of a layer: that of its weights if it has some, else of its first output, else of its first input."""
    weights = layer.get("Weights")
    told = [weights.get("Type")] if isinstance(weights, dict) else []
    for place in ("Outputs", "Inputs"):
        ports = layer.get(place) or []
        told += [port.get("Format/Datatype", port.get("Datatype")) for port in ports[:1] if isinstance(port, dict)]
    return next((found for text in told if (found := _word(str(text)))), UNKNOWN)


def _word(text: str) -> str:
    words = text.lower().replace(":", " ").replace(".", " ").split()
    return next((name for name, known in _PRECISIONS.items() if any(word in known for word in words)), "")


def _stands_alone(name: str, quantising: Collection[str]) -> bool:
    parts = [part.strip() for part in name.split(" + ")]
    return all(part in quantising for part in parts)
