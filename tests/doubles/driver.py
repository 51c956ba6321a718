"""``pycuda.driver`` and ``cuda.bindings.driver`` as far as they are used, over the double's machine."""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.doubles.cuda import Lane, Machine, Span, Work


class Error(Exception):
    """pycuda's tree; ``code`` and ``routine`` are left out."""


class LogicError(Error): ...


class MemoryError(Error): ...  # noqa: A001 (pycuda calls it so)


class RuntimeError(Error): ...  # noqa: A001


def pycuda(machine: Machine) -> dict[str, Any]:
    """The names of ``pycuda.driver``."""

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        name = function.__qualname__.rpartition("<locals>.")[2]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return machine.call(f"driver.{name}", functools.partial(function, **kwargs), *args)

        return call

    def number(value: Any, what: str) -> int:
        """Boost.Python takes a Python int for an address or a size, and an allocation for an address."""
        if type(value) is not int and not isinstance(value, Held):
            raise TypeError(f"Boost.Python.ArgumentError: {what} did not match C++ signature: {value!r}")
        return int(value)

    class Held:
        """Made in a context, and released in it."""

        def __init__(self, words: str) -> None:
            self._context = machine.current(words)

        def _activated(self, words: str) -> None:
            """pycuda makes the context current for a release, in the thread that made the context only."""
            if not self._context.valid:
                machine.violation("after its context", f"release of {words}")
            if self._context not in machine.stack[-1:] and self._context.thread is not threading.current_thread():
                machine.violation("no context in this thread", f"release of {words}")

    class Context:
        def __init__(self) -> None:
            self.valid, self.thread, self.number = True, threading.current_thread(), machine.born("context")

        @counted
        def push(self) -> None:
            if not self.valid:
                machine.violation("after its context", "push")
            machine.stack.append(self)

        @staticmethod
        @counted
        def pop() -> None:
            machine.current("Context.pop")
            machine.stack.pop()

        @counted
        def detach(self) -> None:
            if not self.valid:
                raise LogicError("context::detach failed: invalid device context - cannot detach from invalid context")
            active = machine.stack[-1:] == [self]
            if active:
                machine.stack.pop()
            elif self.thread is not threading.current_thread():
                machine.violation("no context in this thread", "detach, which then does nothing")
            self.valid = False
            machine.gone(self.number)
            others = [words for words in machine.alive.values() if not words.startswith("context")]
            if others:
                machine.violation("after its context", f"{others} still there when it is released")

    class Device:
        def __init__(self, index: int) -> None:
            if index >= machine.devices:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")

        @staticmethod
        @counted
        def count() -> int:
            return machine.devices

        def name(self) -> str:
            return "the double's"

        def compute_capability(self) -> tuple[int, int]:
            return machine.capability

        def get_attribute(self, attribute: Any) -> int:
            return {"INTEGRATED": int(machine.integrated)}[attribute]

        @counted
        def retain_primary_context(self) -> Context:
            return Context()

    class Stream(Held):
        @counted
        def __init__(self, flags: int = 0) -> None:
            super().__init__("Stream")
            self.handle = machine.born("stream")
            self._lane = machine.lanes[self.handle] = Lane(self.handle)

        @counted
        def synchronize(self) -> None:
            machine.current("Stream.synchronize")
            machine.synchronise(self._lane)

        def __del__(self) -> None:
            if hasattr(self, "_lane"):
                _quietly(self._release)

        def _release(self) -> None:
            self._activated("stream")
            if self._lane.queue:
                machine.violation("freed early", f"stream {self.handle:#x} under {self._lane.queue[0].words}")
            machine.gone(self.handle)
            del machine.lanes[self.handle]

    class Event(Held):
        @counted
        def __init__(self, flags: int = 0) -> None:
            super().__init__("Event")
            self._number, self._after = machine.born("event"), None

        @counted
        def record(self, stream: Stream | None = None) -> None:
            machine.current("Event.record")
            lane = machine.lane(stream.handle if stream else 0, "Event.record")
            self._after = (lane, lane.queue[-1] if lane.queue else None)

        @counted
        def synchronize(self) -> None:
            machine.current("Event.synchronize")
            if self._after and self._after[1]:
                machine.synchronise(*self._after)

        def __del__(self) -> None:
            if hasattr(self, "_number"):
                _quietly(self._release)

        def _release(self) -> None:
            self._activated("event")
            machine.gone(self._number)

    class Allocation(Held):
        """Of the device or of page-locked host memory."""

        def __init__(self, words: str, data: np.ndarray, host: bool, visible: bool) -> None:
            super().__init__(words)
            self._data = data
            self._number, self._block = machine.block(words, data, host, visible)

        @counted
        def free(self) -> None:
            if self._block.freed:
                raise LogicError("device_allocation::free failed: invalid device context")
            self._activated(self._block.words)
            machine.free(self._number, self._block)

        def __del__(self) -> None:
            if hasattr(self, "_block") and not self._block.freed:
                _quietly(self._drop)

        def _drop(self) -> None:
            self._activated(self._block.words)
            machine.free(self._number, self._block)

    class DeviceAllocation(Allocation):
        def __int__(self) -> int:
            return self._block.address

        __index__ = __int__

    class PagelockedHostAllocation(Allocation):
        @counted
        def get_device_pointer(self) -> int:
            if not self._block.address:
                machine.violation("wrong address", f"{self._block.words} was not allocated with DEVICEMAP")
            return self._block.address

    @counted
    def init(flags: int = 0) -> None:
        if not machine.devices:
            raise RuntimeError("cuInit failed: no CUDA-capable device is detected")

    @counted
    def get_version() -> tuple[int, int, int]:
        return 12, 6, 0

    @counted
    def get_driver_version() -> int:
        return 12060

    @counted
    def mem_get_info() -> tuple[int, int]:
        machine.current("mem_get_info")
        return machine.memory

    def room(size: int, routine: str) -> None:
        machine.current(routine)
        if size > machine.memory[0]:
            raise MemoryError(f"{routine} failed: out of memory")

    @counted
    def mem_alloc(size: int) -> DeviceAllocation:
        room(number(size, "mem_alloc"), "cuMemAlloc")
        return DeviceAllocation("device memory", np.empty(size, np.uint8), host=False, visible=True)

    @counted
    def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        wanted = np.dtype(dtype)
        size = int(np.prod(shape)) * wanted.itemsize
        room(size, "cuMemHostAlloc")
        spare = np.empty(size + 4096, np.uint8)
        data = spare[-spare.ctypes.data % 4096 :][:size]
        held = PagelockedHostAllocation("page-locked memory", data, host=True, visible=bool(mem_flags & 2))
        held._block.dtype = wanted
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        place = {"data": (data.ctypes.data, False), "typestr": wanted.str, "shape": shape, "version": 3}
        held.__array_interface__ = place
        return np.asarray(held)

    def copy(words: str, dest: Span, src: Span, stream: Any) -> None:
        def run() -> None:
            dest.bytes[:] = src.bytes
            if not dest.block.host:
                dest.block.dtype = src.block.dtype

        if not src.block.host:
            run_typed = run

            def run() -> None:
                machine.typed(src, dest.block.dtype, words)
                run_typed()

        machine.current(words)
        machine.enqueue(stream.handle if stream else 0, Work(words, run, [src], [dest]))

    @counted
    def memcpy_htod_async(dest: Any, src: np.ndarray, stream: Stream | None = None) -> None:
        span = machine.pinned(src, "memcpy_htod_async")
        copy("memcpy_htod_async", machine.span(number(dest, "dest"), span.size, "memcpy_htod_async"), span, stream)

    @counted
    def memcpy_dtoh_async(dest: np.ndarray, src: Any, stream: Stream | None = None) -> None:
        span = machine.pinned(dest, "memcpy_dtoh_async")
        copy("memcpy_dtoh_async", span, machine.span(number(src, "src"), span.size, "memcpy_dtoh_async"), stream)

    def _quietly(release: Callable[[], None]) -> None:
        """What goes wrong in a destructor can't be raised; it is a finding already."""
        try:
            release()
        except AssertionError:
            pass

    return {
        "Context": Context,
        "Device": Device,
        "DeviceAllocation": DeviceAllocation,
        "Error": Error,
        "Event": Event,
        "HostAllocation": PagelockedHostAllocation,
        "LogicError": LogicError,
        "MemoryError": MemoryError,
        "PagelockedHostAllocation": PagelockedHostAllocation,
        "RuntimeError": RuntimeError,
        "Stream": Stream,
        "device_attribute": SimpleNamespace(INTEGRATED="INTEGRATED"),
        "event_flags": SimpleNamespace(DISABLE_TIMING=2),
        "host_alloc_flags": SimpleNamespace(DEVICEMAP=2),
        "get_driver_version": get_driver_version,
        "get_version": get_version,
        "init": init,
        "mem_alloc": mem_alloc,
        "mem_get_info": mem_get_info,
        "memcpy_dtoh_async": memcpy_dtoh_async,
        "memcpy_htod_async": memcpy_htod_async,
        "pagelocked_empty": pagelocked_empty,
    }


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CUstreamCaptureMode(enum.IntEnum):
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1
    CU_STREAM_CAPTURE_MODE_RELAXED = 2


class CUgraph:
    """A captured graph, and a graph made ready to launch."""

    def __init__(self, machine: Machine, words: str, works: list[Work]) -> None:
        self.number, self.works, self.destroyed = machine.born(words), works, False


def bindings(machine: Machine) -> dict[str, Any]:
    """The names of ``cuda.bindings.driver``; every function gives a tuple that starts with the CUresult."""

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> tuple[Any, ...]:
            machine.current(function.__name__)
            found = machine.call(f"bindings.{function.__name__}", function, *args)
            return found if isinstance(found, tuple) else (found or CUresult.CUDA_SUCCESS,)

        return call

    @counted
    def cuStreamBeginCapture(stream: int, mode: CUstreamCaptureMode) -> None:  # noqa: N802
        lane = machine.lane(stream, "cuStreamBeginCapture")
        if not isinstance(mode, CUstreamCaptureMode):
            raise TypeError(f"Argument 'mode' has incorrect type: {mode!r}")
        lane.captured = []

    @counted
    def cuStreamEndCapture(stream: int) -> tuple[Any, ...]:  # noqa: N802
        lane = machine.lane(stream, "cuStreamEndCapture")
        captured, lane.captured = lane.captured, None
        if captured is None:
            return CUresult.CUDA_ERROR_INVALID_VALUE, None
        return CUresult.CUDA_SUCCESS, CUgraph(machine, "captured graph", captured)

    @counted
    def cuGraphInstantiate(graph: CUgraph, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return CUresult.CUDA_SUCCESS, CUgraph(machine, "graph", graph.works)

    @counted
    def cuGraphLaunch(exec_: CUgraph, stream: int) -> None:  # noqa: N802
        if exec_.destroyed:
            machine.violation("graph after it was destroyed", "cuGraphLaunch")
        for work in exec_.works:
            changed = work.still()
            if changed:
                machine.violation("graph of another time", f"{work.words}: {changed}")
            copy = Work(work.words, work.run, work.reads, work.writes, work.owner, work.scratch)
            machine.enqueue(stream, copy)

    @counted
    def cuGraphDestroy(graph: CUgraph) -> None:  # noqa: N802
        if graph.destroyed:
            machine.violation("freed twice", "a graph")
        graph.destroyed = True
        machine.gone(graph.number)

    functions = (cuStreamBeginCapture, cuStreamEndCapture, cuGraphInstantiate, cuGraphLaunch, cuGraphDestroy)
    names: dict[str, Any] = {function.__name__: function for function in functions}
    return {
        **names,
        "cuGraphExecDestroy": cuGraphDestroy,
        "CUresult": CUresult,
        "CUstreamCaptureMode": CUstreamCaptureMode,
    }
