"""INT8 calibration: which images, what ranges, where Q/DQ pairs go. Empty in this version: graphs are fp32."""
