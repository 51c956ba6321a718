"""ONNX Runtime on the CPU: the reference that every other engine is compared with."""

from __future__ import annotations

import onnxruntime

from edge_wbc.engines.base import Outputs, Port, check_ports
from edge_wbc.errors import ModelError
from edge_wbc.manifest import Model
from edge_wbc.types import Pixels

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


DISABLED = ["WeightBiasQuantization"]
"""Left on, ONNX Runtime 1.32 quantises the floating-point biases of an INT8 graph of its own accord: 0.25 % of real
crops then get another class than the graph gives as written; without it none do."""


class OnnxruntimeEngine:
    """One ONNX Runtime session."""

    name = "onnxruntime"
    precision = "f32"

    def __init__(self, model: Model, threads: int) -> None:
        """:raises ModelError: not an ONNX graph, or not one edge-wbc can run."""
        self.model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model.graph.read_bytes(),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=DISABLED,
            )
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            first = str(error).splitlines()[0]
            raise ModelError(f"{model.graph}: ONNX Runtime refuses it ({first}); export the graph again") from None
        check_ports(model, _ports(self._session.get_inputs()), _ports(self._session.get_outputs()))

    def infer(self, crops: Pixels) -> Outputs:
        return Outputs(*self._session.run(["probabilities", "logits"], {"crops": crops}))

    def close(self) -> None:
        self._session = None


def _ports(arguments: list[onnxruntime.NodeArg]) -> list[Port]:
    return [
        Port(
            argument.name,
            _DTYPES.get(argument.type, argument.type),
            tuple(side if isinstance(side, int) else None for side in argument.shape),
        )
        for argument in arguments
    ]
