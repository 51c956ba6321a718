"""Weights → verified graph + manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from edge_wbc import RESEARCH_USE, __version__
from edge_wbc.engines.base import open_engine
from edge_wbc.errors import EdgeWbcError, ModelError
from edge_wbc.manifest import (
    SCHEMA,
    GraphGroup,
    InputGroup,
    LabelsGroup,
    Manifest,
    Model,
    ModelGroup,
    manifest_path,
    sha256,
    write_manifest,
)
from edge_wbc.types import LEUKOCYTES, Pixels
from edge_wbc.vision.crop import MARGIN
from export.onnx import to_onnx
from export.verify import LARGEST_DIFFERENCE
from export.writer import OPSET, parameters
from training.leukonet import Leukonet, logits_of

ENGINES_CHECKED = ("onnxruntime", "openvino")


class GateFailedError(EdgeWbcError):
    """The graph does not do what the weights do; nothing was written."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far a graph is from its weights."""

    crops: int
    crops_from: str
    gate: float
    worst_difference: dict[str, float]
    """By engine: largest absolute difference of a probability."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How logits become an answer."""

    temperature: float
    unidentified_below: float
    threshold_from: str


def write_graph(
    out: Path,
    network: Leukonet,
    labels: tuple[str, ...],
    record: dict[str, Any],
    decision: Decision,
    crops: Pixels,
    crops_from: str,
    description: str,
) -> tuple[Model, Parity]:
    """Write ``out`` and its manifest, after every engine has shown that the graph does what the weights do.

    :param crops: uint8 (N, S, S, 3) BGR to compare on.
    :raises GateFailedError: a probability differs by more than ``LARGEST_DIFFERENCE``.
    """
    graph, macs = to_onnx(network, decision.temperature)
    candidate = out.with_name(f"{out.stem}.part.onnx")
    try:
        candidate.write_bytes(graph.SerializeToString(deterministic=True))
        manifest = Manifest(
            schema_version=SCHEMA,
            model=ModelGroup(
                name=out.stem,
                version=__version__,
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                licence="Apache-2.0",
                description=description,
                notice=RESEARCH_USE,
            ),
            labels=LabelsGroup(
                names=labels,
                counted=tuple(label for label in labels if label in LEUKOCYTES),
                unidentified_below=decision.unidentified_below,
                threshold_from=decision.threshold_from,
            ),
            input=InputGroup(size_px=network.architecture.size, colour_order="BGR", margin=MARGIN, border="replicate"),
            graph=GraphGroup(
                file=candidate.name,
                sha256=sha256(candidate),
                opset=OPSET,
                precision="fp32",
                parameters=parameters(graph),
                macs=macs,
                temperature=decision.temperature,
            ),
            training=record,
            parity={},
        )
        parity = _compare(Model(manifest, candidate), network, decision.temperature, crops, crops_from)
        manifest = manifest.model_copy(
            update={
                "graph": manifest.graph.model_copy(update={"file": out.name}),
                "parity": asdict(parity),
            }
        )
        os.replace(candidate, out)
    finally:
        candidate.unlink(missing_ok=True)
    write_manifest(manifest_path(out), manifest)
    return Model(manifest, out), parity


def fit_temperature(logits: npt.NDArray[np.float32], targets: Sequence[int]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017), between 0.2 and 5."""
    from scipy.optimize import minimize_scalar

    rows = torch.from_numpy(logits).double()
    wanted = torch.tensor(targets)

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(rows / temperature, wanted))

    return round(float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x), 4)


def probabilities_of(logits: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    """Softmax of logits / temperature."""
    return torch.softmax(torch.from_numpy(logits).double() / temperature, dim=1).numpy()


def _compare(model: Model, network: Leukonet, temperature: float, crops: Pixels, crops_from: str) -> Parity:
    if not len(crops):
        raise ModelError("no crop to verify the graph on; give images that show cells")
    expected = probabilities_of(logits_of(network, crops), temperature)
    worst: dict[str, float] = {}
    for name in ENGINES_CHECKED:
        engine = open_engine(name, model)
        found = np.concatenate([engine.infer(crops[i : i + 16]).probabilities for i in range(0, len(crops), 16)])
        engine.close()
        worst[name] = float(np.abs(found - expected).max())
        if not worst[name] <= LARGEST_DIFFERENCE:
            raise GateFailedError(
                f"{name} differs from the weights by {worst[name]:.2g} on a crop, more than {LARGEST_DIFFERENCE:g}; "
                "nothing was written, report this with the weights"
            )
    return Parity(len(crops), crops_from, LARGEST_DIFFERENCE, worst)
