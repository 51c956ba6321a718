"""The same loop with our graph and engine: what is left is what the pipeline makes of the processors.

    python -m edge_wbc.bench.engine_loop FOLDER MODEL PORT THREADS ENGINE

THREADS 0 leaves the engine's default. Prints one JSON object.
"""

import glob
import json
import sys
import time

import cv2

from edge_wbc.bench.wire import open_port, result_bytes
from edge_wbc.classify import cut
from edge_wbc.engines.base import open_engine
from edge_wbc.manifest import load_model
from edge_wbc.vision.locate import locate


def main(folder: str, model: str, port: str, threads: str, name: str) -> None:
    engine = open_engine(name, load_model(model), int(threads) or None)
    serial_port = open_port(port)
    labels = []
    paths = sorted(glob.glob(f"{folder}/*"))
    started = time.perf_counter()
    for path in paths:
        frame = cv2.imread(path)
        assert frame is not None, path
        for cell in locate(frame):
            probabilities = engine.infer(cut([(frame, cell)], engine)).probabilities[0]
            best = int(probabilities.argmax())
            labels.append(best)
            serial_port.write(result_bytes(len(labels), best, float(probabilities[best]), cell.box))
    serial_port.flush()
    seconds = time.perf_counter() - started
    serial_port.close()
    print(json.dumps({"frames": len(paths), "cells": len(labels), "seconds": seconds, "labels": labels}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
