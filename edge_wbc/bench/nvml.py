"""Desktop GPUs as NVIDIA's management library sees them; ``nvidia-ml-py``, the extra ``gpu``, speaks to it."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_wbc.errors import first_line

T = TypeVar("T")

_HARMLESS = 0x0000000000000001 | 0x0000000000000002
"""``nvmlClocksThrottleReasonGpuIdle`` and ``…ApplicationsClocksSetting``, of nvml.h: nothing slowed what ran."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """What does not change while a benchmark runs."""

    name: str
    driver: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class GpuState:
    """One look at a GPU. None where the driver does not tell."""

    clock_mhz: int | None
    """Of the multiprocessors, now."""
    greatest_mhz: int | None
    memory_clock_mhz: int | None
    temperature_c: int | None
    power_mw: int | None
    limit_mw: int | None
    """What its power may come to."""
    slowed_by: int | None
    """Bits of ``nvmlClocksThrottleReasons``, without those that stand for idling and for clocks that were asked for."""
    performance_state: int | None
    """0 is the fastest."""


def gpus(absent: dict[str, str]) -> tuple[Gpu, ...]:
    """Which are here.

    :param absent: where the reason goes if NVML can't be asked.
    """
    with _nvml(absent) as nvml:
        if nvml is None:
            return ()
        driver = str(nvml.nvmlSystemGetDriverVersion())
        return tuple(
            Gpu(str(nvml.nvmlDeviceGetName(each)), driver, int(nvml.nvmlDeviceGetMemoryInfo(each).total))
            for each in _handles(nvml)
        )


def look_at_gpus(absent: dict[str, str]) -> tuple[GpuState, ...]:
    """One look at each, in the order of ``gpus``."""
    with _nvml(absent) as nvml:
        return () if nvml is None else tuple(_state(nvml, each) for each in _handles(nvml))


def _state(nvml: Any, each: Any) -> GpuState:
    def ask(call: Callable[[], T]) -> T | None:
        try:
            return call()
        except nvml.NVMLError:  # not every GPU tells everything
            return None

    reasons = ask(lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(each)))
    return GpuState(
        ask(lambda: int(nvml.nvmlDeviceGetClockInfo(each, nvml.NVML_CLOCK_SM))),
        ask(lambda: int(nvml.nvmlDeviceGetMaxClockInfo(each, nvml.NVML_CLOCK_SM))),
        ask(lambda: int(nvml.nvmlDeviceGetClockInfo(each, nvml.NVML_CLOCK_MEM))),
        ask(lambda: int(nvml.nvmlDeviceGetTemperature(each, nvml.NVML_TEMPERATURE_GPU))),
        ask(lambda: int(nvml.nvmlDeviceGetPowerUsage(each))),
        ask(lambda: int(nvml.nvmlDeviceGetEnforcedPowerLimit(each))),
        None if reasons is None else reasons & ~_HARMLESS,
        ask(lambda: int(nvml.nvmlDeviceGetPerformanceState(each))),
    )


def _handles(nvml: Any) -> Iterator[Any]:
    return (nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount()))


@contextmanager
def _nvml(absent: dict[str, str]) -> Iterator[Any]:
    """The library between its start and its end; None where it can't be asked."""
    if importlib.util.find_spec("pynvml") is None:
        absent["desktop GPU"] = "nvidia-ml-py is not installed; pip install 'edge-wbc[gpu]'"
        yield None
        return
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        absent["desktop GPU"] = f"NVML does not start: {first_line(error)}"
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()
