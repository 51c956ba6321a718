"""Classes made from a recorded surface of TensorRT's bindings: no other name, argument, type or enum value exists."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.doubles.cuda import Machine

SURFACES = Path(__file__).parents[1] / "conformance" / "surfaces"
VERSIONS = ("10.3.0", "10.13.3", "10.16.1", "11.4.0")
SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
"""Numbered from 0. ``ILogger.Severity`` is inside a class, so the records do not list it; read off the bindings."""


class NotDoubled(AssertionError):
    """The real binding has it, the double does not: nothing here used it until now."""


class Enum:
    """A member of a pybind11 enum: equal to itself only, turned into a number only by ``int``."""

    def __init__(self, name: str, value: int) -> None:
        self.name, self.value = name, value

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class HostMemory(bytes):
    """``IHostMemory``: a buffer with ``nbytes``, and nothing else of ``bytes``."""

    def __getattribute__(self, name: str) -> Any:
        if name == "nbytes":
            return memoryview(self).nbytes
        if not name.startswith("__"):
            raise AttributeError(f"'tensorrt.IHostMemory' object has no attribute {name!r}")
        return super().__getattribute__(name)

    def _refused(self, *_: object) -> Any:
        raise TypeError("a tensorrt.IHostMemory is a buffer; take bytes() or memoryview() of it")

    __len__ = __getitem__ = __iter__ = __add__ = __contains__ = _refused


class Dims:
    """Compares with lists and tuples only, has no hash: as the real one."""

    MAX_DIMS = 8

    def __init__(self, shape: Any = ()) -> None:
        self._shape = [int(side) for side in shape]

    def __len__(self) -> int:
        return len(self._shape)

    def __getitem__(self, index: int) -> int:
        return self._shape[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | tuple):
            raise TypeError("__eq__(): incompatible function arguments")
        return self._shape == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self._shape))


class _Checked(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if not hasattr(made, "_double"):
            raise TypeError(f"tensorrt.{cls.__name__}.__init__() must be called when overriding __init__")
        return made


class Api:
    """One version's classes. What they do is in behaviours: plain classes of the same names and members."""

    def __init__(self, version: str, behaviours: dict[str, type], machine: Machine) -> None:
        self.surface = json.loads((SURFACES / f"tensorrt-{version}.json").read_text())
        self.version: str = self.surface["version"]
        self.machine, self._behaviours, self._call = machine, behaviours, machine.call
        self.classes: dict[str, type] = {"IHostMemory": HostMemory, "Dims": Dims}
        self.classes["Severity"] = self._enum("Severity", {name: at for at, name in enumerate(SEVERITIES)})
        for name, entry in sorted(self.surface["classes"].items(), key=lambda item: len(item[1]["bases"])):
            if name not in self.classes:
                self.classes[name] = self._enum(name, entry["enum"]) if "enum" in entry else self._class(name, entry)

    def module(self) -> types.ModuleType:
        """What ``import tensorrt`` gives."""
        module = types.ModuleType("tensorrt")
        module.__dict__.update({name: self.classes[name] for name in self.surface["classes"]})
        module.__dict__["__version__"] = self.version
        others = {*self.surface["other_classes"], *self.surface["functions"]}

        def missing(name: str) -> Any:
            if name in others:
                raise NotDoubled(f"tensorrt.{name}")
            raise AttributeError(f"module 'tensorrt' has no attribute {name!r}")

        module.__dict__["__getattr__"] = missing
        return module

    def value(self, cls: str, name: str) -> Any:
        """An enum's member."""
        return getattr(self.classes[cls], name)

    def wrap(self, value: Any) -> Any:
        """A behaviour, or a list of them, as an object of the bindings."""
        if isinstance(value, list):
            return [self.wrap(item) for item in value]
        cls = self.classes.get(type(value).__name__)
        if cls is None or type(value) in (Dims, HostMemory) or isinstance(value, Enum):
            return value
        made = object.__new__(cls)
        made._double = value  # type: ignore[attr-defined]
        return made

    def _enum(self, name: str, members: dict[str, int]) -> type:
        made = type(name, (Enum,), {"__module__": "tensorrt"})
        for member, value in members.items():
            setattr(made, member, made(member, value))
        return made

    def _class(self, name: str, entry: dict[str, Any]) -> type:
        bases = tuple(self.classes[base] for base in entry["bases"] if base in self.classes)[:1]
        body: dict[str, Any] = {"__module__": "tensorrt", "__slots__": () if bases else ("_double", "__weakref__")}
        for member, spec in entry["members"].items():
            if member == "Severity":
                body[member] = self.classes["Severity"]
            elif spec["kind"] == "value":
                body[member] = getattr(self.classes["Severity"], member)
            elif member == "__init__":
                body[member] = self._constructor(name, spec)
            elif spec["kind"] == "property":
                body[member] = self._property(name, member, spec)
            else:
                body[member] = self._method(name, member, spec)
        return _Checked(name, bases, body)

    def _constructor(self, cls: str, spec: dict[str, Any]) -> Callable[..., None]:
        signatures = [_parameters(text) for text in spec.get("signatures", [])]

        def construct(made: Any, *args: Any, **kwargs: Any) -> None:
            if not signatures:
                raise TypeError(f"tensorrt.{cls}: No constructor defined!")
            bound = self._bind(f"{cls}.__init__", signatures, args, kwargs)
            behaviour = self._behaviours.get(cls)
            made._double = self._call(cls, behaviour, self, *bound) if behaviour else None
            if behaviour and made._double is None:
                raise TypeError("pybind11::init(): factory function returned nullptr")

        return construct

    def _method(self, cls: str, member: str, spec: dict[str, Any]) -> Callable[..., Any]:
        signatures = [_parameters(text) for text in spec.get("signatures", [])]

        def method(wrapper: Any, *args: Any, **kwargs: Any) -> Any:
            bound = self._bind(f"{cls}.{member}", signatures, args, kwargs)
            function = getattr(wrapper._double, member, None)
            if function is None:
                raise NotDoubled(f"tensorrt.{cls}.{member}")
            return self.wrap(self._call(f"{cls}.{member}", function, *bound))

        return method

    def _property(self, cls: str, member: str, spec: dict[str, Any]) -> property:
        def get(wrapper: Any) -> Any:
            if not hasattr(wrapper._double, member):
                raise NotDoubled(f"tensorrt.{cls}.{member}")
            return self.wrap(self._call(f"{cls}.{member}", getattr, wrapper._double, member))

        def put(wrapper: Any, value: Any) -> None:
            wanted = getattr(wrapper._double, "TYPES", {}).get(member)
            if wanted is None:
                raise NotDoubled(f"tensorrt.{cls}.{member} =")
            if not (value is None and wanted.startswith("I")) and not self._accepts(wanted, value):
                raise TypeError(f"tensorrt.{cls}.{member}: {value!r} is no {wanted}")
            self._call(f"{cls}.{member}=", setattr, wrapper._double, member, self._inner(value))

        return property(get, put if spec["settable"] else None)

    def _bind(self, name: str, overloads: list[list[tuple[str, str, bool]]], args: Any, kwargs: Any) -> list[Any]:
        for parameters in overloads:
            given = {**{known: arg for (known, _, _), arg in zip(parameters, args, strict=False)}, **kwargs}
            if len(given) == len(args) + len(kwargs) and all(
                self._accepts(text, given[known]) if known in given else optional
                for known, text, optional in parameters
            ):
                if set(given) <= {known for known, _, _ in parameters}:
                    return [self._inner(given[known]) for known, _, _ in parameters if known in given]
        raise TypeError(f"{name}(): incompatible function arguments: {args!r} {kwargs!r}; there is {overloads}")

    def _inner(self, value: Any) -> Any:
        return tuple(value) if isinstance(value, Dims) else getattr(value, "_double", None) or value

    def _accepts(self, text: str, value: Any) -> bool:
        text = text.replace("tensorrt_bindings.tensorrt.", "")
        sequence = re.fullmatch(r"(?:List|list|collections\.abc\.Sequence)\[(.*)\]", text)
        if sequence:
            return isinstance(value, list | tuple) and all(self._accepts(sequence[1], item) for item in value)
        if text in ("int", "typing.SupportsInt"):
            return hasattr(value, "__index__") and not isinstance(value, Enum)
        if text.endswith(("buffer", "Buffer")):
            return isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "__array_interface__")
        if text in _PLAIN:
            return isinstance(value, _PLAIN[text])
        if text == "Dims" and isinstance(value, list | tuple):
            return all(self._accepts("int", side) for side in value)
        wanted = self.classes.get(re.split(r"\.|::", text)[-1])
        return wanted is not None and isinstance(value, wanted)


_PLAIN: dict[str, Any] = {
    "str": str,
    "bool": bool,
    "float": (int, float),
    "tuple": tuple,
    "list": list,
    "object": object,
}


def _parameters(signature: str) -> list[tuple[str, str, bool]]:
    """``f(self: T, a: int, b: List[X] = None) -> R`` as (name, type, optional) of each parameter but ``self``."""
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    parts = re.findall(r"(\w+): ((?:[^,\[<]|\[[^\]]*\]|<[^>]*>)+)", inside)
    found = [(name, *text.partition(" = ")) for name, text in parts if name != "self"]
    return [(name, text.strip(), bool(equals)) for name, text, equals, _ in found]
