"""Classes made from a recorded surface of TensorRT's bindings: no other name, argument, type or enum value exists."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from typing import Any

from tests.conformance.surfaces import FOLDER, Parameter, pybind_parameters
from tests.doubles.cuda import Machine

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

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"


class HostMemory(bytes):
    """``IHostMemory``: a buffer, and nothing else of ``bytes``."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__"):
            raise AttributeError(f"'tensorrt.IHostMemory' object has no attribute {name!r}")
        return super().__getattribute__(name)

    def _refused(self, *_: object) -> Any:
        raise TypeError("a tensorrt.IHostMemory is a buffer; take bytes() or memoryview() of it")

    __len__ = __getitem__ = __iter__ = __add__ = __contains__ = _refused


class Dims:
    """Compares with lists and tuples only, has no hash: as the real one."""

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


class _Checked(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if "_ready" not in vars(made):
            raise TypeError(f"tensorrt.{cls.__name__}.__init__() must be called when overriding __init__")
        return made


class Api:
    """One version's classes. What they do is in behaviours: classes of the same names, with the members' methods, a
    ``_setup`` that makes one, and what property or method ``x`` only holds as ``_x``."""

    def __init__(self, version: str, behaviours: dict[str, type], machine: Machine) -> None:
        self.surface = json.loads((FOLDER / f"tensorrt-{version}.json").read_text())
        self.version: str = self.surface["version"]
        self._behaviours, self._machine = behaviours, machine
        self.classes: dict[str, Any] = {"IHostMemory": HostMemory, "Dims": Dims}
        self.classes["Severity"] = _enum("Severity", {name: at for at, name in enumerate(SEVERITIES)})
        for name, entry in sorted(self.surface["classes"].items(), key=lambda item: len(item[1]["bases"])):
            made = _enum(name, entry["enum"]) if "enum" in entry else None
            self.classes.setdefault(name, made or self._class(name, entry))

    def module(self) -> types.ModuleType:
        """What ``import tensorrt`` gives."""
        module = types.ModuleType("tensorrt")
        others = {*self.surface["other_classes"], *self.surface["functions"]}

        def missing(name: str) -> Any:
            if name in others:
                raise NotDoubled(f"tensorrt.{name}")
            raise AttributeError(f"module 'tensorrt' has no attribute {name!r}")

        classes = {name: self.classes[name] for name in self.surface["classes"]}
        module.__dict__.update(classes, __version__=self.version, __getattr__=missing)
        return module

    def make(self, cls: str, /, *args: Any, **held: Any) -> Any:
        """An object that the bindings give out: what it holds, or what its behaviour is set up with."""
        made = object.__new__(self.classes[cls])
        made.__dict__.update({f"_{member}": value for member, value in held.items()})
        if not held:
            made._setup(*args)
        return made

    def _class(self, name: str, entry: dict[str, Any]) -> type:
        behaviour = self._behaviours.get(name, object)
        members, settable = entry["members"], set()
        body: dict[str, Any] = {"__module__": "tensorrt", "_api": self, "_machine": self._machine}
        for member, spec in members.items():
            if member == "Severity" or spec["kind"] == "value":
                severity = self.classes["Severity"]
                body[member] = severity if member == "Severity" else getattr(severity, member)
            elif spec["kind"] == "property":
                body[member] = self._property(name, member)
                settable |= {member} if spec["settable"] else set()
            else:
                function = getattr(behaviour, "_setup" if member == "__init__" else member, None)
                body[member] = self._method(name, member, spec.get("signatures", []), function)

        def put(made: Any, member: str, value: Any) -> None:
            if not member.startswith("_") and type(made).__module__ == "tensorrt" and member not in settable:
                raise AttributeError(f"'tensorrt.{name}' object has no attribute {member!r} that can be set")
            object.__setattr__(made, member, value)

        bases = [self.classes[base] for base in entry["bases"] if base in self.classes][:1]
        bases += [behaviour] if behaviour is not object else []
        return _Checked(name, tuple(bases), {**body, "__setattr__": put})

    def _method(self, cls: str, member: str, signatures: list[str], function: Any) -> Callable[..., Any]:
        overloads = [pybind_parameters(text) for text in signatures]
        name = cls if member == "__init__" else f"{cls}.{member}"

        def method(made: Any, *args: Any, **kwargs: Any) -> Any:
            if not overloads:
                raise TypeError(f"tensorrt.{cls}: No constructor defined!")
            bound = self._bind(name, overloads, args, kwargs)
            if member == "__init__":
                made._ready = True
            elif function is None and f"_{member}" not in vars(made):
                raise NotDoubled(f"tensorrt.{name}")
            holding = vars(made).get(f"_{member}")
            return self._machine.call(name, function or (lambda *_: holding), made, *bound)

        return method

    def _property(self, cls: str, member: str) -> property:
        def get(made: Any) -> Any:
            if not hasattr(made, f"_{member}"):
                raise NotDoubled(f"tensorrt.{cls}.{member}")
            return self._machine.call(f"{cls}.{member}", getattr, made, f"_{member}")

        def put(made: Any, value: Any) -> None:
            wanted = getattr(made, "_types", {}).get(member)
            if wanted is None:
                raise NotDoubled(f"tensorrt.{cls}.{member} =")
            if not (value is None and wanted.startswith("I")) and not self._accepts(wanted, value):
                raise TypeError(f"tensorrt.{cls}.{member}: {value!r} is no {wanted}")
            self._machine.call(f"{cls}.{member}=", setattr, made, f"_{member}", value)

        return property(get, put)

    def _bind(self, name: str, overloads: list[tuple[Parameter, ...]], args: Any, kwargs: Any) -> list[Any]:
        for parameters in overloads:
            names = [known for known, _, _ in parameters]
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            fits = all(self._accepts(t, given[known]) if known in given else free for known, t, free in parameters)
            if fits and len(given) == len(args) + len(kwargs) and set(given) <= set(names):
                values = [given[known] for known in names if known in given]
                return [tuple(value) if isinstance(value, Dims) else value for value in values]
        raise TypeError(f"{name}(): incompatible function arguments: {args!r} {kwargs!r}; there is {overloads}")

    def _accepts(self, text: str, value: Any) -> bool:
        sequence = re.fullmatch(r"(?:List|list|collections\.abc\.Sequence)\[(.*)\]", text)
        if sequence:
            return isinstance(value, list | tuple) and all(self._accepts(sequence[1], item) for item in value)
        if text in ("int", "typing.SupportsInt"):
            return hasattr(value, "__index__")
        if text.lower().endswith("buffer"):
            return isinstance(value, bytes | bytearray | memoryview)
        if text == "Dims" and isinstance(value, list | tuple):
            return all(self._accepts("int", side) for side in value)
        wanted = {"str": str, "bool": bool, "tuple": tuple, "list": list}.get(text)
        return isinstance(value, wanted or self.classes.get(re.split(r"\.|::", text)[-1], ()))


def _enum(name: str, members: dict[str, int]) -> type:
    made = type(name, (Enum,), {"__module__": "tensorrt"})
    for member, value in members.items():
        setattr(made, member, made(member, value))
    return made
