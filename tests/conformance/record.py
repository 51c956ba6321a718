"""Records what the real bindings offer, without a GPU, a driver or NVIDIA's libraries.

    python tests/conformance/record.py tensorrt WHEEL…   VERSION.json here, of each wheel of the bindings
    python tests/conformance/record.py cut FOLDER        out of those in FOLDER, what this project uses, into surfaces/
    python tests/conformance/record.py pycuda            pycuda.driver as this interpreter imports it, into surfaces/
    python tests/conformance/record.py cuda              cuda.bindings.driver, likewise

Each wheel of TensorRT's bindings is imported in a process of its own, beside shared objects of the names that its
extension wants, compiled with gcc from its undefined symbols and returning NULL. The wheel must fit this interpreter.
README.md in this folder says where the wheels come from, and how pycuda is built where there is no CUDA.
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

# fmt: off
CLASSES = (
    "Builder", "BuilderFlag", "DataType", "DeviceType", "Dims", "EngineInspector", "ErrorCode",
    "ExecutionContextAllocationStrategy", "IBuilderConfig", "ICudaEngine", "IExecutionContext", "IHostMemory",
    "IInt8Calibrator", "IInt8EntropyCalibrator2", "ILayer", "ILogger", "INetworkDefinition", "IOptimizationProfile",
    "IProgressMonitor", "ITensor", "ITimingCache", "LayerInformationFormat", "LayerType", "Logger",
    "MemoryPoolType", "NetworkDefinitionCreationFlag", "OnnxParser", "OnnxParserFlag", "ParserError",
    "ProfilingVerbosity", "Runtime", "TensorIOMode",
)
# fmt: on
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
        name: {"kind": type(value).__name__, "signatures": _signatures(value, name)}
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
            signatures = _signatures(member.fget)
        elif callable(getattr(cls, name)):
            kind = "static" if isinstance(member, staticmethod) else "method"
            entry, signatures = {"kind": kind}, _signatures(getattr(cls, name))
        else:
            entry, signatures = {"kind": "value"}, []
        found["members"][name] = {**entry, "signatures": signatures} if signatures else entry
    return found


def _signatures(value: Any, name: str = r"\w+") -> list[str]:
    """pybind11 writes them into the docstring: one, or numbered overloads."""
    lines = [line.strip() for line in (getattr(value, "__doc__", None) or "").splitlines()]
    return [line for line in lines if re.match(rf"(\d+\. )?{name}\(.*->", line)]


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
                for member in sorted({name for base in value.__mro__ if _own(base) for name in vars(base)})
                if not member.startswith("_") or member in ("__init__", "__int__", "__index__")
            },
        }
    if isinstance(value, staticmethod):
        value = value.__func__
    if isinstance(value, property):
        return "property"
    if isinstance(value, int):
        return int(value)
    if not callable(value):
        return type(value).__name__
    if inspect.isfunction(value):
        return f"{name}{inspect.signature(value)}"
    lines = [line.strip() for line in (getattr(value, "__doc__", None) or "").splitlines()]
    return [line.removesuffix(" :") for line in lines if line.startswith(f"{name}(")] or "callable"


def _own(base: type) -> bool:
    return base.__module__ not in ("builtins", "Boost.Python", "pycudaboost.python")


def cuda() -> dict[str, Any]:
    """``cuda.bindings.driver``: functions of streams and graphs with their parameters, enums with their members."""
    driver = importlib.import_module("cuda.bindings.driver")
    version = importlib.import_module("cuda.bindings").__version__
    names: dict[str, Any] = {}
    for name in sorted(dir(driver)):
        value = getattr(driver, name)
        if name in ("CUresult", "CUstreamCaptureMode"):
            names[name] = {"enum": {key: int(item) for key, item in value.__members__.items()}}
        elif name.startswith(("cuGraph", "cuStream")) and callable(value):
            names[name] = f"{name}{_plain(value)}"
    return {"version": version, "module": "cuda.bindings.driver", "names": names}


def _plain(function: Any) -> str:
    return "(" + ", ".join(inspect.signature(function).parameters) + ")"


def write(path: Path, surface: dict[str, Any]) -> None:
    """One line a class or name, so that a change of the bindings can be read."""
    parts = []
    for key, value in surface.items():
        items = value.items() if isinstance(value, dict) else ()
        lines = [f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in items]
        parts.append(f'"{key}": ' + ("{\n" + ",\n".join(lines) + "\n}" if lines else json.dumps(value)))
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")
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
        surface = cuda()
        write(SURFACES / f"cuda_bindings-{surface['version'].partition('.')[0]}.json", surface)
    else:
        sys.stderr.write(__doc__ or "")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
