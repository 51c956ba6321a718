"""A GPU as the TensorRT engine needs it: its primary context, a stream, events, and memory that both sides see.

pycuda does it; nothing else here speaks to it. Used by one thread at a time, whichever it is::

    with gpu:                          # the primary context is current in this thread, and no longer afterwards
        stream = gpu.stream()
        crops = gpu.buffer((8, 64, 64, 3), np.uint8)
        crops.upload(stream, 3)        # on an integrated GPU nothing is copied: it reads ``crops.host`` itself
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from edge_wbc.errors import EnvironmentMissing, GpuError, first_line

T = TypeVar("T")


class Device(NamedTuple):
    """What the GPU is."""

    name: str
    capability: tuple[int, int]
    """Compute capability, such as (8, 7) of an Orin."""
    integrated: bool
    """It shares the memory of the processor."""
    cuda: str
    """Version that pycuda was built against."""
    driver: str
    """Newest CUDA that the driver knows."""


def device() -> Device:
    """The first GPU. No context is made.

    :raises EnvironmentMissing: no pycuda, no driver, or no GPU.
    """
    driver = _driver()
    try:
        driver.init()
        if not driver.Device.count():
            raise EnvironmentMissing("no NVIDIA GPU is here; use another engine")
        first = driver.Device(0)
        return Device(
            first.name(),
            tuple(first.compute_capability()),
            bool(first.get_attribute(driver.device_attribute.INTEGRATED)),
            ".".join(map(str, driver.get_version()[:2])),
            _version(driver.get_driver_version()),
        )
    except driver.Error as error:
        raise EnvironmentMissing(
            f"the NVIDIA driver finds no GPU ({first_line(error)}); see whether nvidia-smi or tegrastats runs, and "
            "start a container with --runtime nvidia"
        ) from None


class Gpu:
    """The first GPU through its primary context, which TensorRT uses as well. Current inside ``with``."""

    def __init__(self) -> None:
        """:raises EnvironmentMissing: no pycuda, no driver, or no GPU."""
        self.device = device()
        self._driver = _driver()
        self.error: type[Exception] = self._driver.Error
        """What the calls of a running batch raise; ``failed`` says it in words."""
        first = self._driver.Device(0)
        self._context: Any = self._call(first.retain_primary_context, "using the GPU")

    def __enter__(self) -> Gpu:
        self._context.push()
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.Context.pop()

    def stream(self) -> Any:
        """A stream; its ``handle`` is what TensorRT takes. Ends when nothing holds it any more, inside ``with``."""
        return self._call(self._driver.Stream, "making a stream")

    def event(self) -> Any:
        """Marks a place in a stream to wait for: ``record(stream)``, ``synchronize()``."""
        return self._call(lambda: self._driver.Event(self._driver.event_flags.DISABLE_TIMING), "making an event")

    def buffer(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Buffer:
        """Memory for an array that the processor and the GPU take turns at."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        driver = self._driver

        def pinned() -> Any:
            return driver.pagelocked_empty(shape, dtype, mem_flags=driver.host_alloc_flags.DEVICEMAP)

        host = self._call(pinned, f"page-locking {_size(size)}")
        try:
            if self.device.integrated:
                address = int(self._call(host.base.get_device_pointer, "mapping memory for the GPU"))
                return Buffer(host, address, None, driver)
            memory = self.memory(size)
        except BaseException:
            host.base.free()
            raise
        return Buffer(host, int(memory), memory, driver)

    def memory(self, size: int) -> Any:
        """``size`` bytes that only the GPU sees; ``int()`` is the address, ``free()`` gives it back, once."""
        return self._call(lambda: self._driver.mem_alloc(size), f"allocating {_size(size)} on the GPU")

    def free_bytes(self) -> int:
        """What is free on the GPU, as CUDA counts it."""
        free: int = self._call(self._driver.mem_get_info, "asking for the free memory")[0]
        return free

    def close(self) -> None:
        """Let go of the context. Everything made from it is to be freed before. Safe to call twice."""
        context, self._context = self._context, None
        if context is not None:
            context.detach()

    def failed(self, error: Exception, doing: str) -> GpuError:
        """One of ``error`` in words; pycuda's message names the call of CUDA."""
        said = f"{doing} failed: {first_line(error)}"
        if isinstance(error, self._driver.MemoryError):
            return GpuError(f"{said}; end other programs that use the GPU's memory, then start again")
        return GpuError(f"{said}; start again, and if it happens again restart the device")

    def _call(self, call: Callable[[], T], doing: str) -> T:
        try:
            return call()
        except self.error as error:
            raise self.failed(error, doing) from None


class Buffer:
    """Page-locked host memory, and where the GPU has it: mapped where memory is shared, else a copy of its own."""

    def __init__(self, host: npt.NDArray[Any], address: int, memory: Any, driver: Any) -> None:
        self._pinned: Any = host.base
        self.host = host
        """The array; not to be touched while the GPU works on it."""
        self.address = address
        """On the GPU."""
        self._memory = memory
        self._to, self._from = driver.memcpy_htod_async, driver.memcpy_dtoh_async

    def upload(self, stream: Any, rows: npt.NDArray[Any]) -> None:
        """Queue the copy of ``rows``, a leading part of ``host``, to the GPU."""
        if self._memory is not None:
            self._to(self.address, rows, stream)

    def download(self, stream: Any, rows: npt.NDArray[Any]) -> None:
        """Queue the copy of ``rows``, a leading part of ``host``, from the GPU."""
        if self._memory is not None:
            self._from(rows, self.address, stream)

    def close(self) -> None:
        """Give the memory back; nothing may be in flight. Safe to call twice."""
        memory, self._memory = self._memory, None
        pinned, self._pinned = self._pinned, None
        self.host = np.empty(0, self.host.dtype)
        if memory is not None:
            memory.free()
        if pinned is not None:
            pinned.free()


def _driver() -> Any:
    if importlib.util.find_spec("pycuda") is None:
        raise EnvironmentMissing("pycuda is not installed; pip install 'edge-wbc[jetson]'")
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise EnvironmentMissing(
            f"the NVIDIA driver can't be loaded ({first_line(error)}); on a Jetson it comes with JetPack, and a "
            "container needs --runtime nvidia"
        ) from None


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
