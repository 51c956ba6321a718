"""What a user would take instead of our network or our engine, to take turns with it: published networks in the same
engine, and our own weights in PyTorch.

The networks' weights are drawn, not trained, and nothing is downloaded: the time of a call does not depend on them.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from edge_wbc.bench import torch_peer
from edge_wbc.bench.contenders import ANY_GRAPH, Contender, Judge, answering, lazily, opened
from edge_wbc.bench.peers import Answer
from edge_wbc.golden import golden
from edge_wbc.manifest import Model, load_model
from edge_wbc.types import Pixels
from edge_wbc.vision.crop import MARGIN

PUBLISHED = {"mobilenetv3-small": "MobileNetV3-Small", "resnet-18": "ResNet-18"}
"""File's stem → name in ``export.peers.PEERS``; both see 224×224 pixels."""
SIZE_PX = 224


def write_published(folder: Path, labels: Sequence[str]) -> str:
    """Write their graphs; returns why they can't be written, in one line, or nothing."""
    if importlib.util.find_spec("onnx") is None:
        return "onnx is not installed; pip install 'edge-wbc[export]'"
    command = [sys.executable, "-m", "export.write_peers", str(folder), ",".join(labels), *PUBLISHED.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"its graph can't be written ({last}); measure again with --no-peers"


def published(
    folder: Path, absent: str, engine: str, batch: int, threads: int, hints: Sequence[str]
) -> Iterator[Contender]:
    """The published networks in the same engine, whose time is told beside every graph of ours.

    :param absent: what ``write_published`` returned.
    :param engine: TensorRT would have to compile them for minutes: then there are none.
    """
    if engine == "tensorrt":
        return
    crops = _crops(SIZE_PX, batch)
    for stem, name in PUBLISHED.items():
        for hint in hints:
            what = {"model": name, "engine": engine, "graph": "fp32", "hint": hint, "batch": str(batch)}
            title, group = f"{name}, {engine} {hint}, batch {batch}", (ANY_GRAPH, hint, str(batch))
            graph = folder / f"{stem}.onnx"
            answer = lazily(partial(_answer_of, graph, engine, threads, hint))
            yield Contender(title, what, crops, group, answer, absent=absent)


def in_pytorch(model: Model, batch: int, threads: int, judge: Judge, kinds: Sequence[str]) -> Iterator[Contender]:
    """The same weights in PyTorch, for a graph whose weights are known.

    :param kinds: of ``torch_peer.KINDS``.
    """
    if not torch_peer.has_weights(model):
        return
    crops = _crops(model.manifest.input.size_px, batch, model.manifest.input.margin)
    absent, stem = torch_peer.absent(), model.graph.stem
    for kind in kinds:
        name = torch_peer.KINDS[kind]
        what = {"model": stem, "engine": name, "graph": "fp32", "hint": "f32", "batch": str(batch)}
        title, group = f"{stem}, {name} f32, batch {batch}", (stem, "f32", str(batch))
        if absent:
            yield Contender(title, what, crops, group, absent=absent)
            continue
        child = torch_peer.TorchPeer(model, kind, threads)
        yield Contender(title, what, crops, group, child.answer, timed=child.timed, judge=judge, close=child.close)


def _crops(size: int, batch: int, margin: float = MARGIN) -> Pixels:
    drawn = golden(size, margin).crops
    return np.ascontiguousarray(np.resize(drawn, (batch, *drawn.shape[1:])))


def _answer_of(graph: Path, engine: str, threads: int, hint: str) -> Answer:
    return answering(opened(engine, load_model(graph), threads, hint))
