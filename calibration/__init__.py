"""INT8 calibration: which images, what ranges, where Q/DQ pairs go, what TensorRT accepts, what was lost."""
