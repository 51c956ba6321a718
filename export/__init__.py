"""Weights → ONNX graph + manifest, verified against the weights and between engines."""
