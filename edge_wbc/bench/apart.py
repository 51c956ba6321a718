"""As many processes as there are processors, each doing the whole job in one thread for its part of the frames: what
this machine gives where nothing is handed over. That is less than one processor's rate times their number, as caches
and memory are shared.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import cv2

from edge_wbc.bench.stages_alone import run_stages
from edge_wbc.engines.base import Engine, open_engine
from edge_wbc.manifest import load_model
from edge_wbc.sinks.base import open_sink
from edge_wbc.sources.files import open_images
from edge_wbc.types import Session


@contextmanager
def processes(
    paths: Sequence[Path], model: str, engine: str, session: Session, folder: Path, count: int
) -> Iterator[Callable[[], float]]:
    """Yield what runs so many processes over their parts of the frames, and tells frames/s of them together.

    :param folder: for what they deliver.
    """
    size = -(-len(paths) // count)
    parts = [
        (list(paths[first : first + size]), model, engine, session, f"jsonl:{folder}/from{first}.jsonl")
        for first in range(0, len(paths), size)
    ]
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:

        def together() -> float:
            times = list(pool.map(_work, *zip(*parts, strict=True)))
            return len(paths) / (max(end for _, end in times) - min(begin for begin, _ in times))

        together()
        yield together


def _work(paths: list[Path], model: str, engine: str, session: Session, sink: str) -> tuple[float, float]:
    """In the child: when it began and ended, by the monotonic clock, which all processes of a machine share."""
    alone = _engine(model, engine)
    source = open_images(paths)
    source.continuous = session.mode == "slide"
    began = time.monotonic()
    run_stages(source, alone, session, open_sink(sink))
    return began, time.monotonic()


@functools.cache
def _engine(model: str, engine: str) -> Engine:
    cv2.setNumThreads(1)
    return open_engine(engine, load_model(model), 1)
