"""INT8 calibration: which images, what ranges, where Q/DQ pairs go, what TensorRT accepts.

In this version the last of these alone, ``calibration.lint``: the shipped graphs are fp32.
"""
