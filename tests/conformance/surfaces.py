"""The recorded surfaces in one form: who has what, and how it is called."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "surfaces"
VERSIONS = ("10.3.0", "10.13.3", "10.16.1", "11.4.0")
"""Of TensorRT."""
RECORDED = {
    "tensorrt": VERSIONS,
    "pycuda": ("2026.1",),
    "cuda": ("12", "13"),
}
"""Binding → the versions recorded."""


class Parameter(NamedTuple):
    name: str
    kind: str
    """The type as the binding writes it; empty where it does not."""
    optional: bool


@dataclass(frozen=True)
class Member:
    """Of a module (owner ``""``) or of a class."""

    kind: str
    """``class``, ``enum``, ``function``, ``property`` or ``value``."""
    overloads: tuple[tuple[Parameter, ...], ...] = ()
    """Without ``self``."""
    returns: str = ""
    settable: bool = False


@dataclass
class Surface:
    owners: dict[str, dict[str, Member]] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)

    def find(self, owner: str, name: str) -> Member | None:
        if name in self.owners.get(owner, {}):
            return self.owners[owner][name]
        return next((found for base in self.bases.get(owner, []) if (found := self.find(base, name))), None)


@cache
def surface(binding: str, version: str) -> Surface:
    """One recorded surface."""
    if binding == "tensorrt":
        return _tensorrt(json.loads((FOLDER / f"tensorrt-{version}.json").read_text()))
    file = "pycuda.json" if binding == "pycuda" else f"cuda_bindings-{version}.json"
    return _other(json.loads((FOLDER / file).read_text())["names"])


def _tensorrt(content: dict[str, Any]) -> Surface:
    found = Surface({"": {name: Member("value") for name in (*content["functions"], "__version__")}})
    for name in content["other_classes"]:
        found.owners[""][name] = Member("class")
    for name, entry in content["classes"].items():
        members = {key: _pybind(spec) for key, spec in entry["members"].items()}
        members |= {key: Member("value", returns=name) for key in entry.get("enum", ())}
        init = members.get("__init__", Member("function"))
        found.owners[""][name] = Member("enum" if "enum" in entry else "class", init.overloads, name)
        found.owners[name], found.bases[name] = members, entry["bases"]
    return found


def _pybind(spec: dict[str, Any]) -> Member:
    if spec["kind"] in ("property", "value"):
        return Member(spec["kind"], settable=spec.get("settable", False))
    texts = [text.replace("tensorrt_bindings.tensorrt.", "") for text in spec.get("signatures", ())]
    overloads = tuple(pybind_parameters(text) for text in texts)
    returns = texts[0].rpartition(" -> ")[2].rpartition("::")[2] if texts else ""
    return Member("function", overloads, {"IParserError": "ParserError"}.get(returns, returns))


def pybind_parameters(text: str) -> tuple[Parameter, ...]:
    """Of ``f(self: T, a: int, b: List[X] = None) -> R``, without ``self``."""
    text = text.replace("tensorrt_bindings.tensorrt.", "")
    parts = re.findall(r"(\w+): ((?:[^,\[<]|\[[^\]]*\]|<[^>]*>)+)", text[text.index("(") + 1 : text.rindex(") ->")])
    split = [(name, *kind.partition(" = ")) for name, kind in parts if name != "self"]
    return tuple(Parameter(name, kind.strip(), bool(equals)) for name, kind, equals, _ in split)


def _other(names: dict[str, Any]) -> Surface:
    """Boost.Python's texts (``f( (T)arg1 [, (int)flags=0]) -> R``) and plain ones (``f(a, b)``)."""
    found = Surface({"": {}})
    for name, entry in names.items():
        if isinstance(entry, dict) and "enum" in entry:
            values = {key: Member("value", returns=name) for key in entry["enum"]}
            found.owners[""][name] = Member("enum")
            found.owners[name] = {**values, "name": Member("property"), "value": Member("property")}
        elif isinstance(entry, dict):
            members = {key: _boost(value, method=True) for key, value in entry["members"].items()}
            init = members.get("__init__", Member("function"))
            found.owners[""][name] = Member("class", init.overloads, name)
            found.owners[name], found.bases[name] = members, entry["bases"]
        else:
            found.owners[""][name] = _boost(entry, method=False)
    return found


def _boost(entry: int | str | list[str], method: bool) -> Member:
    if entry == "property" or isinstance(entry, int):
        return Member("property" if entry == "property" else "value")
    texts = [entry] if isinstance(entry, str) else entry
    if not all("(" in text for text in texts):
        return Member("function" if entry == "callable" else "value")
    overloads = []
    for text in texts:
        inside = text[text.index("(") + 1 : text.rindex(")")]
        needed, _, optional = inside.partition("[")
        parts = [(*part, False) for part in _boost_parts(needed)] + [(*part, True) for part in _boost_parts(optional)]
        overloads.append(tuple(Parameter(name, kind, maybe) for kind, name, maybe in parts[1 if method else 0 :]))
    return Member("function", tuple(overloads), texts[0].rpartition(" -> ")[2] if " -> " in texts[0] else "")


def _boost_parts(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\((\w+)\)(\w+)", text) or [("", name) for name in re.findall(r"\w+", text)]
