"""CUDA graphs through ``cuda.bindings``, where that is installed: a batch is launched as one call."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from edge_wbc.errors import EnvironmentMissing, GpuError, first_line


def bindings() -> Any:
    """The module ``cuda.bindings.driver``, or None where it is not installed.

    :raises EnvironmentMissing: installed, but not to be loaded.
    """
    try:
        if importlib.util.find_spec("cuda.bindings") is None:
            return None
    except ModuleNotFoundError:  # not even a package ``cuda``
        return None
    try:
        return importlib.import_module("cuda.bindings.driver")
    except (ImportError, OSError) as error:
        raise EnvironmentMissing(
            f"cuda-bindings can't be loaded ({first_line(error)}); install the major version of the device's CUDA, "
            "or uninstall it"
        ) from None


class CudaGraph:
    """What ``work`` queues on a stream, recorded once and launched as one call.

    Good for as long as nothing of it changes: addresses, shapes, the execution context.
    """

    def __init__(self, bindings: Any, stream: int, work: Callable[[], None]) -> None:
        """
        :param stream: its handle; nothing may be recording on it.
        :param work: queues on that stream, and was called before: what it makes at its first call can't be recorded.
        :raises GpuError: CUDA would not record it.
        """
        self._bindings = bindings
        self._launch = bindings.cuGraphLaunch
        self._good = bindings.CUresult.CUDA_SUCCESS
        self._stream = stream
        self._graph: Any = None
        mode = bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call(bindings.cuStreamBeginCapture, stream, mode)
        try:
            work()
        except BaseException:
            _, drawn = bindings.cuStreamEndCapture(stream)
            if drawn is not None:
                bindings.cuGraphDestroy(drawn)
            raise
        drawn = self._call(bindings.cuStreamEndCapture, stream)
        try:
            self._graph = self._call(bindings.cuGraphInstantiate, drawn, 0)
        finally:
            bindings.cuGraphDestroy(drawn)

    def launch(self) -> None:
        """Queue it all.

        :raises GpuError: CUDA would not.
        """
        (result,) = self._launch(self._graph, self._stream)
        if result != self._good:
            raise _failed(self._launch, result)

    def close(self) -> None:
        """Safe to call twice."""
        graph, self._graph = self._graph, None
        if graph is not None:
            self._call(self._bindings.cuGraphExecDestroy, graph)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        result, *values = function(*arguments)
        if result != self._good:
            raise _failed(function, result)
        return values[0] if values else None


def _failed(function: Callable[..., Any], result: Any) -> GpuError:
    return GpuError(
        f"{function.__name__} failed: {result.name}; start again, or uninstall cuda-bindings to run without CUDA graphs"
    )
