"""Records what the real bindings offer, without a GPU, a driver or NVIDIA's libraries.

    python tests/conformance/record.py tensorrt WHEEL…   the bindings' wheels (pip download --no-deps tensorrt_cu12_bindings==10.3.0)
    python tests/conformance/record.py cut FOLDER        the classes this project uses, out of full records, into surfaces/
    python tests/conformance/record.py pycuda            pycuda.driver as this interpreter imports it
    python tests/conformance/record.py cuda              cuda.bindings.runtime as this interpreter imports it

``tensorrt`` writes VERSION.json here and runs each wheel in a process of its own, with shared objects of the names that the
extension wants, compiled with gcc from its undefined symbols and returning NULL. The wheel must fit this interpreter.
``pycuda`` has no wheels: README.md in this folder says how to build it where there is no CUDA.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

SURFACES = Path(__file__).parent / "surfaces"

CLASSES = """
    Builder BuilderFlag DataType DeviceType Dims EngineCapability EngineInspector ErrorCode
    ExecutionContextAllocationStrategy HardwareCompatibilityLevel IBuilderConfig ICudaEngine IExecutionContext
    IHostMemory ILayer ILogger INetworkDefinition IOptimizationProfile IProgressMonitor ITensor ITimingCache
    IVersionedInterface LayerInformationFormat LayerType Logger MemoryPoolType NetworkDefinitionCreationFlag
    OnnxParser OnnxParserFlag ParserError PreviewFeature ProfilingVerbosity Runtime TensorIOMode TensorLocation
""".split()
"""What ``cut`` keeps whole, but for the layers that ``INetworkDefinition.add_…`` adds."""


def tensorrt(wheel: Path) -> dict[str, Any]:
    """The surface of one bindings wheel: ``version``, ``wheel``, ``classes``, ``functions``."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        extension = next(Path(folder).glob("*/tensorrt*.so"))
        stub_libraries(extension, Path(folder))
        environment = {**os.environ, "LD_LIBRARY_PATH": folder, "PYTHONPATH": folder}
        command = [sys.executable, __file__, "_dump", extension.parent.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return {**json.loads(done.stdout), "wheel": wheel.stem}


def stub_libraries(extension: Path, folder: Path) -> None:
    """Compile what the extension is linked to: the first library holds every symbol nobody else has."""
    needed = re.findall(r"NEEDED.*\[(libnv[^]]*)]", _output("readelf", "-d", str(extension)))
    wanted = [line.split()[-1] for line in _output("nm", "-D", "--undefined-only", str(extension)).splitlines()]
    ours = [name for name in wanted if not re.match(r"_?Py|_ITM|_ZGTt|__|.*@", name)]
    for at, library in enumerate(needed):
        source = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in ours if at == 0) or "int nothing;\n"
        command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(folder / library), f"-Wl,-soname,{library}"]
        subprocess.run(command, input=source, text=True, check=True)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def dump(module: Any) -> dict[str, Any]:
    """Every public name of an imported bindings module (pybind11)."""
    public = {name: getattr(module, name) for name in sorted(dir(module)) if not name.startswith("_")}
    classes = {name: _class(value) for name, value in public.items() if isinstance(value, type)}
    functions = {
        name: {"kind": type(value).__name__, "signatures": _signatures(name, value)}
        for name, value in public.items()
        if not isinstance(value, type) and not inspect.ismodule(value)
    }
    return {"version": module.__version__, "classes": classes, "functions": functions}


def _class(cls: type) -> dict[str, Any]:
    enum = getattr(cls, "__members__", None)
    bases = [base.__name__ for base in cls.__mro__[1:] if base.__name__ not in ("object", "pybind11_object")]
    found: dict[str, Any] = {"bases": bases, "members": {}}
    if enum:
        found["enum"] = {name: int(value) for name, value in enum.items()}
    for name in sorted(dir(cls)):
        if (name.startswith("_") and name not in ("__init__", "__len__")) or (enum and name in enum):
            continue
        member = inspect.getattr_static(cls, name)
        if isinstance(member, property) or type(member).__name__ == "pybind11_static_property":
            entry: dict[str, Any] = {"kind": "property", "settable": member.fset is not None}
            signatures = _signatures(name, member.fget)
        elif callable(getattr(cls, name)):
            entry, signatures = {"kind": "method"}, _signatures(name, getattr(cls, name))
        else:
            entry, signatures = {"kind": "value"}, []
        found["members"][name] = {**entry, "signatures": signatures} if signatures else entry
    return found


def _signatures(name: str, value: Any) -> list[str]:
    """pybind11 writes them into the docstring: one, or numbered overloads."""
    lines = [line.strip() for line in (getattr(value, "__doc__", None) or "").splitlines()]
    return [line for line in lines if re.match(rf"(\d+\. )?{re.escape(name)}\(.*->", line)]


def cut(full: dict[str, Any]) -> dict[str, Any]:
    """The part of a full record that this project's tests need; every other class by its name."""
    classes = {name: dict(full["classes"][name]) for name in CLASSES if name in full["classes"]}
    network = classes["INetworkDefinition"]
    network["members"] = {name: kept for name, kept in network["members"].items() if not name.startswith("add_")}
    others = [name for name in full["classes"] if name not in classes]
    return {
        "version": full["version"],
        "wheel": full["wheel"],
        "classes": classes,
        "functions": full["functions"],
        "other_classes": others,
    }


def pycuda() -> dict[str, Any]:
    """``pycuda.driver``: functions and methods with Boost.Python's signatures, and plain names."""
    driver = importlib.import_module("pycuda.driver")
    package = importlib.import_module("pycuda")
    names = {name: _boost(name, getattr(driver, name)) for name in sorted(dir(driver)) if not name.startswith("_")}
    return {"version": package.VERSION_TEXT, "module": "pycuda.driver", "names": names}


def _boost(name: str, value: Any) -> Any:
    if isinstance(value, type):
        return {
            "bases": [base.__name__ for base in value.__mro__[1:] if base.__name__ not in ("object", "instance")],
            "members": {
                member: _boost(member, inspect.getattr_static(value, member))
                for member in sorted(dir(value))
                if not member.startswith("_") or member in ("__init__", "__int__", "__index__")
            },
        }
    if isinstance(value, staticmethod):
        value = value.__func__
    if isinstance(value, property):
        return "property"
    if not callable(value):
        return type(value).__name__
    if inspect.isfunction(value):
        return f"{name}{inspect.signature(value)}"
    lines = [line.strip() for line in (getattr(value, "__doc__", None) or "").splitlines()]
    return [line.removesuffix(" :") for line in lines if line.startswith(f"{name}(")] or "callable"


def cuda() -> dict[str, Any]:
    """``cuda.bindings.runtime``: functions with their parameters, enums with their members."""
    runtime = importlib.import_module("cuda.bindings.runtime")
    version = importlib.import_module("cuda.bindings").__version__
    names: dict[str, Any] = {}
    for name in sorted(dir(runtime)):
        value = getattr(runtime, name)
        if name.startswith(("cudaGraph", "cudaStream", "cudaError", "cudaGetError", "cudaSuccess")):
            if isinstance(value, type):
                members = getattr(value, "__members__", {})
                names[name] = {"enum": {key: int(item) for key, item in members.items()}} if members else "class"
            elif callable(value):
                names[name] = f"{name}{_plain(value)}"
    return {"version": version, "module": "cuda.bindings.runtime", "names": names}


def _plain(function: Any) -> str:
    return "(" + ", ".join(inspect.signature(function).parameters) + ")"


def write(path: Path, surface: dict[str, Any]) -> None:
    """One line a member, so that a change of the bindings can be read."""
    text = json.dumps(surface, indent=0, sort_keys=False)
    path.write_text(text + "\n")
    sys.stderr.write(f"{path}\n")


def main(arguments: list[str]) -> int:
    what, *rest = arguments or ["help"]
    if what == "_dump":
        json.dump(dump(importlib.import_module(rest[0])), sys.stdout)
    elif what == "tensorrt":
        for wheel in rest:
            surface = tensorrt(Path(wheel))
            write(Path(f"{surface['version']}.json"), surface)
    elif what == "cut":
        for path in sorted(Path(rest[0]).glob("*.json")):
            write(SURFACES / f"tensorrt-{path.stem}.json", cut(json.loads(path.read_text())))
    elif what == "pycuda":
        write(SURFACES / "pycuda.json", pycuda())
    elif what == "cuda":
        write(SURFACES / "cuda_bindings.json", cuda())
    else:
        sys.stderr.write(__doc__ or "")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
