"""Recording a CUDA graph, with bindings that only note what they are asked."""

from __future__ import annotations

from typing import Any

import pytest

from edge_wbc.engines.cuda_graph import CudaGraph
from edge_wbc.errors import GpuError
from tests.doubles.driver import CUresult, CUstreamCaptureMode

GOOD, BAD = CUresult.CUDA_SUCCESS, CUresult.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED


class Bindings:
    """Every call answers ``GOOD``, but for the one that fails."""

    CUresult, CUstreamCaptureMode = CUresult, CUstreamCaptureMode

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        given = {"cuStreamEndCapture": ("drawn",), "cuGraphInstantiate": ("ready",)}.get(name, ())

        def call(*_: object) -> tuple[Any, ...]:
            self.called.append(name)
            return (BAD, *(None for _ in given)) if name == self.failing else (GOOD, *given)

        call.__name__ = name
        return call


def record(bindings: Bindings, work: Any = lambda: None) -> CudaGraph:
    return CudaGraph(bindings, 7, work)


def test_recorded_once_launched_often_closed_twice() -> None:
    bindings, queued = Bindings(), []
    graph = record(bindings, lambda: queued.append(list(bindings.called)))
    assert queued == [["cuStreamBeginCapture"]]
    graph.launch()
    graph.launch()
    graph.close()
    graph.close()
    after = ["cuGraphLaunch", "cuGraphLaunch", "cuGraphExecDestroy"]
    assert bindings.called == [
        "cuStreamBeginCapture",
        "cuStreamEndCapture",
        "cuGraphInstantiate",
        "cuGraphDestroy",
        *after,
    ]


@pytest.mark.parametrize("call", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_a_call_that_fails_is_named(call: str) -> None:
    bindings = Bindings(call)
    with pytest.raises(GpuError, match=f"{call} failed: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED; .*cuda-bindings"):
        record(bindings)
    assert (bindings.called[-1] == "cuGraphDestroy") == (call == "cuGraphInstantiate"), "what was drawn is freed"


def test_a_launch_that_fails_is_named() -> None:
    graph = record(Bindings("cuGraphLaunch"))
    with pytest.raises(GpuError, match="cuGraphLaunch failed"):
        graph.launch()


def test_what_fails_while_recording_ends_the_recording() -> None:
    bindings = Bindings()

    def work() -> None:
        raise GpuError("execute_async_v3 failed")

    with pytest.raises(GpuError, match="execute_async_v3 failed"):
        record(bindings, work)
    assert bindings.called == ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphDestroy"]
