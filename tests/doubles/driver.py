"""``pycuda.driver`` and ``cuda.bindings.driver`` as far as they are used, over the double's machine."""

from __future__ import annotations

import contextlib
import enum
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.doubles.cuda import Block, Lane, Machine, Span, Work


class Error(Exception): ...


class LogicError(Error): ...


class MemoryError(Error): ...


class RuntimeError(Error): ...


def pycuda(machine: Machine) -> dict[str, Any]:
    """The names of ``pycuda.driver``."""

    class Context:
        def __init__(self) -> None:
            self._valid, self._thread, self._number = True, threading.current_thread(), machine.born("context")

        def push(self) -> None:
            if not self._valid:
                machine.violation("after its context", "push")
            machine.stack.append(self)

        def pop() -> None:  # type: ignore[misc]
            machine.current("Context.pop")
            machine.stack.pop()

        def detach(self) -> None:
            if not self._valid:
                raise LogicError("context::detach failed: invalid device context - cannot detach from invalid context")
            if self in machine.stack[-1:]:
                machine.stack.pop()
            elif self._thread is not threading.current_thread():
                machine.violation("no context in this thread", "detach, which then does nothing")
            self._valid = False
            machine.gone(self._number)
            if others := [machine.alive[number] for number, context in machine.made_in.items() if context is self]:
                machine.violation("after its context", f"{others} still there when it is released")

    class Held:
        """Made in a context, and released in it: by the last reference going, at the latest."""

        def __init__(self, words: str) -> None:
            self._context = machine.current(words)
            self._number = machine.born(words)

        def _release(self) -> None:
            """pycuda makes the context current for a release, but only in the thread that made the context."""
            if not self._context._valid:
                machine.violation("after its context", f"release of {machine.alive[self._number]}")
            if self._context not in machine.stack[-1:] and self._context._thread is not threading.current_thread():
                machine.violation("no context in this thread", f"release of {machine.alive[self._number]}")
            machine.gone(self._number)

        def __del__(self) -> None:
            if getattr(self, "_number", None) in machine.alive:
                with contextlib.suppress(AssertionError):
                    self._release()

    class Device:
        def __init__(self, index: int) -> None:
            if index >= machine.devices:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")

        def count() -> int:  # type: ignore[misc]
            return machine.devices

        def name(self) -> str:
            return "the double's"

        def compute_capability(self) -> tuple[int, int]:
            return machine.capability

        def get_attribute(self, attribute: str) -> int:
            return {"INTEGRATED": int(machine.integrated)}[attribute]

        def retain_primary_context(self) -> Context:
            return Context()

    class Stream(Held):
        def __init__(self, flags: int = 0) -> None:
            super().__init__("stream")
            self.handle = self._number
            self._lane = machine.lanes[self.handle] = Lane()

        def synchronize(self) -> None:
            machine.current("Stream.synchronize")
            machine.synchronise(self._lane)

        def _release(self) -> None:
            super()._release()
            del machine.lanes[self.handle]
            if self._lane.queue:
                machine.violation("freed early", f"stream under {self._lane.queue[0].words}")

    class Event(Held):
        def __init__(self, flags: int = 0) -> None:
            super().__init__("event")
            self._after: Any = None

        def record(self, stream: Stream | None = None) -> None:
            machine.current("Event.record")
            lane = machine.lane(stream.handle if stream else 0, "Event.record")
            self._after = (lane, lane.queue[-1]) if lane.queue else None

        def synchronize(self) -> None:
            machine.current("Event.synchronize")
            if self._after:
                machine.synchronise(*self._after)

    class Allocation(Held):
        """Of the device, or of page-locked host memory."""

        def __init__(self, words: str, data: np.ndarray, host: bool, visible: bool, dtype: Any = None) -> None:
            super().__init__(words)
            data[:] = np.resize(np.frombuffer(b"\xad\xde\xff\xff", np.uint8), data.size)
            address = (self._number << 20) * visible
            self._block = Block(machine.alive[self._number], address, data, host, dtype)
            machine.blocks.append(self._block)

        def free(self) -> None:
            if self._block not in machine.blocks:
                raise LogicError("device_allocation::free failed: invalid device context")
            self._release()

        def _release(self) -> None:
            super()._release()
            machine.blocks.remove(self._block)
            for work in machine.pending():
                if self._block in [span.block for span in work.spans]:
                    machine.violation("freed early", f"{self._block.words} under {work.words}")

    class DeviceAllocation(Allocation):
        def __int__(self) -> int:
            return self._block.address

        __index__ = __int__

    class PagelockedHostAllocation(Allocation):
        def get_device_pointer(self) -> int:
            return self._block.address or machine.violation("wrong address", f"{self._block.words} lacks DEVICEMAP")

    def init(flags: int = 0) -> None:
        if not machine.devices:
            raise RuntimeError("cuInit failed: no CUDA-capable device is detected")

    def get_version() -> tuple[int, int, int]:
        return 12, 6, 0

    def get_driver_version() -> int:
        return 12060

    def mem_get_info() -> tuple[int, int]:
        machine.current("mem_get_info")
        return machine.free_bytes(), machine.memory[1]

    def mem_alloc(size: int) -> DeviceAllocation:
        return DeviceAllocation("device memory", room(size, "cuMemAlloc"), host=False, visible=True)

    def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> np.ndarray:
        dtype, shape = np.dtype(dtype), (shape,) if isinstance(shape, int) else tuple(shape)
        data = room(int(np.prod(shape)) * dtype.itemsize, "cuMemHostAlloc")
        held = PagelockedHostAllocation("page-locked memory", data, True, bool(mem_flags & 2), dtype)
        place = {"data": (data.ctypes.data, False), "typestr": dtype.str, "shape": shape, "version": 3}
        held.__array_interface__ = place  # type: ignore[attr-defined]
        return np.asarray(held)

    def room(size: int, routine: str) -> np.ndarray:
        machine.current(routine)
        if number(size) > machine.free_bytes():
            raise MemoryError(f"{routine} failed: out of memory")
        return np.empty(size, np.uint8)

    def number(value: Any) -> int:
        """Boost.Python takes a Python int, not numpy's, and an allocation for an address."""
        if type(value) is not int and not isinstance(value, DeviceAllocation):
            raise TypeError(f"Boost.Python.ArgumentError: Python argument types did not match C++ signature: {value!r}")
        return int(value)

    def memcpy_htod_async(dest: Any, src: np.ndarray, stream: Stream | None = None) -> None:
        span = machine.pinned(src, "memcpy_htod_async")
        copy("memcpy_htod_async", machine.span(number(dest), span.size, "memcpy_htod_async"), span, src.dtype, stream)

    def memcpy_dtoh_async(dest: np.ndarray, src: Any, stream: Stream | None = None) -> None:
        span = machine.pinned(dest, "memcpy_dtoh_async")
        copy("memcpy_dtoh_async", span, machine.span(number(src), span.size, "memcpy_dtoh_async"), dest.dtype, stream)

    def copy(words: str, dest: Span, src: Span, dtype: Any, stream: Stream | None) -> None:
        def run() -> None:
            if dest.block.host and dtype != np.uint8:
                machine.typed(src, dtype, words)
            dest.fill(src.bytes, dtype)

        machine.current(words)
        machine.enqueue(stream.handle if stream else 0, Work(words, run, [src], [dest]))

    functions = (init, get_version, get_driver_version, mem_get_info, mem_alloc, pagelocked_empty)
    classes = (Context, Device, Stream, Event, DeviceAllocation, PagelockedHostAllocation)
    errors = (Error, LogicError, MemoryError, RuntimeError)
    offered: Any = (*functions, memcpy_htod_async, memcpy_dtoh_async, *classes, *errors)
    found = machine.counted("driver", {value.__name__: value for value in offered})
    Context.pop, Device.count = staticmethod(Context.pop), staticmethod(Device.count)  # type: ignore[method-assign]
    flags = {"device_attribute": SimpleNamespace(INTEGRATED="INTEGRATED")}
    flags |= {"event_flags": SimpleNamespace(DISABLE_TIMING=2), "host_alloc_flags": SimpleNamespace(DEVICEMAP=2)}
    return {**found, **flags, "HostAllocation": PagelockedHostAllocation}


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CUstreamCaptureMode(enum.IntEnum):
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1
    CU_STREAM_CAPTURE_MODE_RELAXED = 2


class Graph:
    """A captured graph, and one made ready to launch."""

    def __init__(self, machine: Machine, works: list[Work]) -> None:
        self.number, self.works = machine.born("graph"), works


def bindings(machine: Machine) -> dict[str, Any]:
    """The names of ``cuda.bindings.driver``; every function gives a tuple that starts with the CUresult."""
    done = CUresult.CUDA_SUCCESS

    def cuStreamBeginCapture(stream: int, mode: CUstreamCaptureMode) -> tuple[Any, ...]:  # noqa: N802
        machine.current("cuStreamBeginCapture")
        if not isinstance(mode, CUstreamCaptureMode):
            raise TypeError(f"Argument 'mode' has incorrect type: {mode!r}")
        machine.lane(stream, "cuStreamBeginCapture").captured = []
        return (done,)

    def cuStreamEndCapture(stream: int) -> tuple[Any, ...]:  # noqa: N802
        lane = machine.lane(stream, "cuStreamEndCapture")
        captured, lane.captured = lane.captured, None
        if captured is None:
            return CUresult.CUDA_ERROR_INVALID_VALUE, None
        return done, Graph(machine, captured)

    def cuGraphInstantiate(graph: Graph, flags: int) -> tuple[Any, ...]:  # noqa: N802
        return done, Graph(machine, graph.works)

    def cuGraphLaunch(exec_: Graph, stream: int) -> tuple[Any, ...]:  # noqa: N802
        machine.current("cuGraphLaunch")
        if exec_.number not in machine.alive:
            machine.violation("freed early", "a graph, before cuGraphLaunch")
        for work in exec_.works:
            if changed := work.changed():
                machine.violation("graph of another set-up", f"{work.words}: {changed}")
            machine.enqueue(stream, Work(work.words, work.run, work.reads, work.writes, work.scratch, work.owner))
        return (done,)

    def cuGraphDestroy(graph: Graph) -> tuple[Any, ...]:  # noqa: N802
        if graph.number not in machine.alive:
            machine.violation("freed twice", "a graph")
        machine.gone(graph.number)
        return (done,)

    functions = (cuStreamBeginCapture, cuStreamEndCapture, cuGraphInstantiate, cuGraphLaunch, cuGraphDestroy)
    names: dict[str, Any] = {function.__name__: function for function in functions}
    enums = {"CUresult": CUresult, "CUstreamCaptureMode": CUstreamCaptureMode}
    return machine.counted("bindings", {**names, "cuGraphExecDestroy": cuGraphDestroy}) | enums
