"""PyTorch on our own weights, beside the engine: eager and compiled, each in a process of its own.

The runtime never imports torch; ``training.torch_peer`` does, and is asked line by line.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import select
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_wbc.errors import EnvironmentMissing
from edge_wbc.manifest import MODELS, Model
from edge_wbc.types import Pixels

KINDS = {"eager": "PyTorch eager", "compiled": "torch.compile"}
PATIENCE_S = 300
"""Compiling took 45 s on a busy machine of two processors; a larger network on a small board takes longer."""


def absent() -> str:
    """Why it can't be measured here, in one line; empty where it can."""
    missing = [name for name in ("torch", "safetensors") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed; pip install 'edge-wbc[train]'" if missing else ""


def has_weights(model: Model) -> bool:
    """Whether a graph is a shipped one as trained: the weights of others are not known, PyTorch's INT8 is another."""
    return model.graph.parent == MODELS and model.manifest.graph.precision == "fp32"


class TorchPeer:
    """A process that is started when first asked."""

    def __init__(self, model: Model, kind: str, threads: int) -> None:
        """
        :param kind: one of ``KINDS``.
        """
        told = (model.graph.stem, str(model.manifest.graph.temperature), str(threads), kind)
        self._command = [sys.executable, "-m", "training.torch_peer", *told]
        self._child: subprocess.Popen[bytes] | None = None

    def answer(self, crops: Pixels) -> npt.NDArray[np.float32]:
        """Probabilities of crops.

        :raises EnvironmentMissing: it failed.
        """
        return np.asarray(self._ask(crops)["probabilities"], np.float32)

    def timed(self, crops: Pixels, least: int, seconds: float) -> list[int]:
        """What calls took inside it, in ns: at least so many, for at least so long.

        :raises EnvironmentMissing: it failed.
        """
        return [int(took) for took in self._ask(crops, least=least, seconds=seconds)["calls_ns"]]

    def close(self) -> None:
        """End it. Safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _ask(self, crops: Pixels, **more: Any) -> dict[str, Any]:
        if self._child is None:
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            self._heard(self._child)
        asked = {"crops": base64.b64encode(crops.tobytes()).decode(), "shape": crops.shape, **more}
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(asked).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            raise EnvironmentMissing("PyTorch ended; measure again with --no-peers") from None
        return self._heard(self._child)

    @staticmethod
    def _heard(child: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert child.stdout is not None
        there, _, _ = select.select([child.stdout], [], [], PATIENCE_S)
        line = child.stdout.readline() if there else b""
        if not line:
            what = "ended" if there else f"said nothing for {PATIENCE_S} s"
            raise EnvironmentMissing(f"PyTorch {what}; measure again with --no-peers")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise EnvironmentMissing(f"PyTorch: {said['error']}; measure again with --no-peers")
        return said
