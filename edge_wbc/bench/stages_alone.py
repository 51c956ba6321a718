"""The stages of the pipeline one after the other, in one thread, each timed by processor time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from edge_wbc.classify import cut, decide
from edge_wbc.counting import Counting, EachCell, EachFrame, Seen
from edge_wbc.engines.base import Engine
from edge_wbc.intake import TOGETHER
from edge_wbc.sinks.base import Sink
from edge_wbc.sources.files import ImageFiles
from edge_wbc.types import Frame, FrameResult, Session
from edge_wbc.vision.locate import locate
from edge_wbc.vision.quality import Judge
from edge_wbc.vision.reduced import reduced


def run_stages(
    source: ImageFiles, engine: Engine, session: Session, sink: Sink
) -> tuple[dict[str, float], Counter[str]]:
    """Run over all frames of a source: each stage's processor time in seconds, and how often each label was counted."""
    spent: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.process_time()
        yield
        spent[stage] += time.process_time() - began

    labels: Counter[str] = Counter()
    judge = Judge(source.continuous)
    slide = session.mode == "slide"
    counting: Counting = EachCell(engine.model.manifest.labels.unidentified_below) if slide else EachFrame()
    items = source.frames()
    sink.open(session)
    while True:
        with timed("read"):
            batch = [item for item in islice(items, TOGETHER) if isinstance(item, Frame)]
        if not batch:
            break
        seen: list[Seen] = []
        for frame in batch:
            with timed("reduce"):
                small = reduced(frame.pixels)
            with timed("quality"):
                rejected = judge.reason(small)
            with timed("locate"):
                found = locate(frame.pixels, small) if rejected is None else []
            with timed("track" if slide else "count"):
                seen.append(counting.see(frame, found, small))
        pairs = [(frame.pixels, cell) for frame, one in zip(batch, seen, strict=True) for cell in one.cells]
        with timed("crop"):
            crops = cut(pairs, engine)
        with timed("classify"):
            predictions = decide(engine.infer(crops).probabilities, engine) if pairs else []
        results = []
        with timed("count"):
            left = list(zip(predictions, crops, strict=True))
            for frame, one in zip(batch, seen, strict=True):
                own, left = left[: len(one.cells)], left[len(one.cells) :]
                told = [prediction for prediction, _ in own]
                counted = counting.count(frame.ref, one, told, [crop for _, crop in own])
                labels.update(each.prediction.label for each in counted)
                results.append(FrameResult(frame.ref, one.cells, tuple(told), counted, time.monotonic_ns(), one.again))
        with timed("deliver"):
            _deliver(sink, results)
    sink.close()
    return dict(spent), labels


def _deliver(sink: Sink, results: Sequence[FrameResult]) -> None:
    for result in results:
        sink.frame(result)
