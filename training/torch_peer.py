"""PyTorch on the weights of a shipped model, in a process of its own: what `bench engine` holds the engine beside.

    python -m training.torch_peer MODEL TEMPERATURE THREADS eager|compiled

Says one JSON object a line, first ``{"ready": version}``. Each line it is given holds crops: ``{"crops": base64 of
uint8, "shape": [N, S, S, 3]}``; the answer is ``{"probabilities": [[…], …]}``. With ``least`` and ``seconds`` in it,
so many calls at least, for so long at least, are timed instead: ``{"calls_ns": […]}``. What goes wrong is
``{"error": …}``.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from edge_wbc.errors import first_line
from training import weights
from training.leukonet import as_input

WARM_UP_CALLS = 2


def answering(weights_file: Path, temperature: float, compiled: bool) -> Callable[[Tensor], Tensor]:
    """A function of uint8 (N, S, S, 3) BGR crops that gives (N, C) probabilities.

    :param compiled: by ``torch.compile`` for each shape, else as PyTorch runs a network by default.
    """
    network, _, _ = weights.load(weights_file)

    def probabilities(crops: Tensor) -> Tensor:
        return torch.softmax(network(as_input(crops)) / temperature, dim=1)

    return torch.compile(probabilities, dynamic=False) if compiled else probabilities


def timed(answer: Callable[[Tensor], Tensor], crops: Tensor, least: int, seconds: float) -> list[int]:
    """What each call took, in ns, probabilities as an array included; garbage is not collected meanwhile."""
    for _ in range(WARM_UP_CALLS):
        answer(crops).numpy()
    gc.collect()
    gc.disable()
    calls: list[int] = []
    end = time.perf_counter_ns() + round(seconds * 1e9)
    while len(calls) < least or time.perf_counter_ns() < end:
        started = time.perf_counter_ns()
        answer(crops).numpy()
        calls.append(time.perf_counter_ns() - started)
    gc.enable()
    return calls


def serve(answer: Callable[[Tensor], Tensor], asked: TextIO, said: TextIO) -> None:
    """Answer line by line until there are no more."""
    with torch.inference_mode():
        for line in asked:
            _say(said, _reply(answer, json.loads(line)))


def _reply(answer: Callable[[Tensor], Tensor], asked: dict[str, Any]) -> dict[str, Any]:
    try:
        flat = np.frombuffer(bytearray(base64.b64decode(asked["crops"])), np.uint8)
        crops = torch.from_numpy(flat.reshape(asked["shape"]))
        if "least" in asked:
            return {"calls_ns": timed(answer, crops, asked["least"], asked["seconds"])}
        return {"probabilities": answer(crops).tolist()}
    except Exception as error:  # a compiler may raise anything
        return {"error": first_line(error)}


def _say(said: TextIO, what: dict[str, Any]) -> None:
    said.write(json.dumps(what) + "\n")
    said.flush()


def main(model: str, temperature: str, threads: str, how: str) -> None:
    said = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a compiler prints is no answer
    torch.set_num_threads(int(threads))
    torch.set_num_interop_threads(1)
    try:
        answer = answering(Path(__file__).with_name(f"{model}.safetensors"), float(temperature), how == "compiled")
    except Exception as error:  # the parent tells it
        _say(said, {"error": first_line(error)})
        return
    _say(said, {"ready": torch.__version__})
    serve(answer, sys.stdin, said)


if __name__ == "__main__":
    main(*sys.argv[1:])
