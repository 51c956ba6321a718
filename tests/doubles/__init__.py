"""A double of TensorRT and CUDA: strict about how they are used, executed by ONNX Runtime, made from recorded surfaces.

It is no TensorRT: it shows that the code calls what exists and uses memory, streams and threads rightly. It shows
nothing of speed, of a GPU's numbers, or of what TensorRT makes of a graph.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

from tests.conformance.surfaces import VERSIONS
from tests.doubles import driver, tensorrt
from tests.doubles.cuda import Fault, Machine, Violation
from tests.doubles.surface import Api, NotDoubled

__all__ = ["VERSIONS", "Fault", "Machine", "NotDoubled", "Violation", "installed"]

PACKAGES = ("tensorrt", "pycuda", "cuda")


@contextmanager
def installed(
    version: str,
    *,
    integrated: bool = True,
    capability: tuple[int, int] = (8, 7),
    memory: tuple[int, int] = (4 << 30, 8 << 30),
    devices: int = 1,
    faults: Mapping[str, Any] = types.MappingProxyType({}),
    missing: Iterable[str] = (),
) -> Iterator[Machine]:
    """Put the double where ``import tensorrt``, ``pycuda.driver`` and ``cuda.bindings.driver`` find it.

    :param version: one of ``VERSIONS``.
    :param memory: free and all, in bytes.
    :param faults: call (``Runtime.deserialize_cuda_engine``, ``driver.mem_alloc``, ``bindings.cuGraphLaunch``) → what
        it gives or raises instead, or a ``Fault``.
    :param missing: of ``PACKAGES``, what is not installed.
    :raises Violation: at the end, where anything was used wrongly or left behind.
    """
    machine = Machine(integrated, capability, memory, devices, faults)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in PACKAGES}
    sys.modules.update(modules(version, machine, set(missing)))
    try:
        yield machine
        gc.collect()
        machine.check()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        sys.modules.update(before)


def modules(version: str, machine: Machine, missing: set[str]) -> dict[str, Any]:
    """Name → module, None for one that must not be found."""
    made = {
        "tensorrt": Api(version, tensorrt.BEHAVIOURS, machine).module(),
        "pycuda": types.ModuleType("pycuda"),
        "pycuda.driver": _module("pycuda.driver", driver.pycuda(machine)),
        "cuda": types.ModuleType("cuda"),
        "cuda.bindings": types.ModuleType("cuda.bindings"),
        "cuda.bindings.driver": _module("cuda.bindings.driver", driver.bindings(machine)),
    }
    for name, module in made.items():
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        above, _, own = name.rpartition(".")
        if above:
            setattr(made[above], own, module)
    return {name: None if name.partition(".")[0] in missing else module for name, module in made.items()}


def _module(name: str, names: dict[str, Any]) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(names)
    return module
