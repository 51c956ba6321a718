"""The loop most people write, kept as they write it: one thread of control, library defaults, nothing slowed.

    python -m edge_wbc.bench.naive_loop FOLDER GRAPH PORT THREADS

GRAPH takes float32 (N, 3, S, S), grey levels, and normalises them; THREADS 0 leaves ONNX Runtime's default.
Prints one JSON object.
"""

import glob
import json
import sys
import time

import cv2
import numpy as np
import onnxruntime

from edge_wbc.bench.wire import open_port, result_bytes
from edge_wbc.vision.locate import locate


def main(folder: str, graph: str, port: str, threads: str) -> None:
    options = onnxruntime.SessionOptions()
    if int(threads):
        options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    size = session.get_inputs()[0].shape[2]
    session.run(None, {"x": np.zeros((1, 3, size, size), np.float32)})
    serial_port = open_port(port)
    labels = []
    paths = sorted(glob.glob(f"{folder}/*"))
    started = time.perf_counter()
    for path in paths:
        frame = cv2.imread(path)
        for cell in locate(frame):
            x, y, width, height = cell.box
            half = round(0.75 * max(width, height))
            cx, cy = x + width // 2, y + height // 2
            crop = frame[max(0, cy - half) : cy + half, max(0, cx - half) : cx + half]
            crop = cv2.resize(crop, (size, size))
            blob = crop.astype(np.float32)
            logits = session.run(None, {"x": blob.transpose(2, 0, 1)[np.newaxis]})[0][0]
            probabilities = np.exp(logits - logits.max())
            probabilities /= probabilities.sum()
            best = int(probabilities.argmax())
            labels.append(best)
            serial_port.write(result_bytes(len(labels), best, float(probabilities[best]), cell.box))
    serial_port.flush()
    seconds = time.perf_counter() - started
    serial_port.close()
    print(json.dumps({"frames": len(paths), "cells": len(labels), "seconds": seconds, "labels": labels}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
