"""The graph people usually have: float32 (N, 3, S, S) grey levels in, logits out.

    python -m export.plain GRAPH OUT

For the bench's naive loop, which turns pixels into floats and logits into probabilities in NumPy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_OUTSIDE = {"input.cast", "input.transpose", "temperature", "softmax"}


def plain_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same network between its float input ``x`` and its logits."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    nodes = [node for node in model.graph.node if node.name not in _OUTSIDE]
    for node in nodes:
        node.input[:] = ["x" if name == "input.transpose.out" else name for name in node.input]
    used = {name for node in nodes for name in node.input}
    constants = [constant for constant in model.graph.initializer if constant.name in used]
    logits = [output for output in model.graph.output if output.name == "logits"]
    plain = helper.make_graph(
        nodes,
        "leukonet-plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, size, size])],
        logits,
        constants,
    )
    result = helper.make_model(plain, opset_imports=model.opset_import, producer_name="edge-wbc")
    result.ir_version = model.ir_version
    onnx.checker.check_model(result, full_check=True)
    return result


if __name__ == "__main__":
    onnx.save(plain_graph(onnx.load(sys.argv[1])), Path(sys.argv[2]))
