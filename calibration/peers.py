"""Other tools' INT8 graphs from the same crops, at their defaults, held beside ours: what they answer, and what
TensorRT would refuse in them.

ONNX Runtime's quantiser comes with ONNX Runtime. NVIDIA's modelopt is used where it is installed; docs/command-line.md
says how to put it beside a processor's torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from calibration.calibrate import infer
from calibration.gate import Floats, Gate, judge
from calibration.lint import Finding, lint
from calibration.observe import batches, session_with
from edge_wbc.engines.base import REFERENCE
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels


@dataclass(frozen=True, slots=True)
class Peer:
    """What a tool made of the fp32 graph."""

    tool: str
    """Name and version."""
    gate: Gate
    findings: list[Finding]

    @property
    def refused(self) -> int:
        """Findings that TensorRT refuses."""
        return sum(finding.refused for finding in self.findings)


def beside(
    model: Model,
    calibrating: Pixels,
    judging: Pixels,
    truth: Sequence[str],
    progress: Callable[[int], None],
) -> list[Peer]:
    """Each tool that is installed.

    :param calibrating: uint8 (N, S, S, 3) BGR; ``judging`` likewise, with their labels ``truth``.
    :param progress: called with the number of ``TOOLS`` done.
    """
    before = infer(REFERENCE, model, judging)
    peers = []
    for done, (name, (package, make)) in enumerate(TOOLS.items(), 1):
        if importlib.util.find_spec(package) is None:
            progress(done)
            continue
        with TemporaryDirectory(prefix="edge-wbc-peer-") as scratch, _hushed():
            given, made = Path(scratch, "given.onnx"), Path(scratch, "made.onnx")
            shutil.copy(model.graph, given)  # modelopt 0.47 writes into the file it is given
            make(given, made, calibrating)
            graph = onnx.load(made)
            gate = judge(before, _as_written(graph, judging), truth, model.manifest.labels.names)
            peers.append(Peer(f"{name} {_version(package)}", gate, lint(graph)))
        progress(done)
    return peers


@contextmanager
def _hushed() -> Iterator[None]:
    """The tools' advice on how to use them, which is not for our user."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class _Reader:
    """Crops one by one, as ONNX Runtime's quantiser asks for them."""

    def __init__(self, crops: Pixels) -> None:
        self._crops = iter(crops)

    def get_next(self) -> dict[str, Pixels] | None:
        crop = next(self._crops, None)
        return None if crop is None else {"crops": crop[None]}


def _by_onnxruntime(given: Path, made: Path, calibrating: Pixels) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    CalibrationDataReader.register(_Reader)
    quantize_static(given, made, _Reader(calibrating))


def _by_modelopt(given: Path, made: Path, calibrating: Pixels) -> None:
    from modelopt.onnx.quantization import quantize

    # Without cpu named, it looks for a GPU; all else is its default.
    quantize(
        str(given),
        calibration_data={"crops": calibrating},
        calibration_eps=["cpu"],
        output_path=str(made),
        log_level="CRITICAL",
    )


TOOLS: dict[str, tuple[str, Callable[[Path, Path, Pixels], None]]] = {
    "onnxruntime's quantiser": (REFERENCE, _by_onnxruntime),
    "nvidia-modelopt": ("modelopt", _by_modelopt),
}


def _version(package: str) -> str:
    version: str = importlib.import_module(package).__version__
    return version


def _as_written(graph: onnx.ModelProto, crops: Pixels) -> Floats:
    """(N, C) probabilities with ONNX Runtime's rewriting off: on, it answers FP16 Q/DQ graphs wrongly, which is not the
    tool's fault."""
    ran = batches(session_with(graph, as_written=True), ["probabilities"], crops, lambda done: None)
    return np.concatenate([probabilities for (probabilities,) in ran])
