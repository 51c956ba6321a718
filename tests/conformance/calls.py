"""How a call is written, held against how it may be written; and what attributes Python's own objects have."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tests.conformance.surfaces import Parameter

_ENUM_LIKE = ("flags", "flag", "mem_flags", "mode")


def fits(overload: tuple[Parameter, ...], args: list[ast.expr], keywords: list[ast.keyword]) -> bool:
    names = [parameter.name for parameter in overload]
    given: dict[str, ast.expr] = dict(zip(names, args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in keywords if keyword.arg}
    enough = all(parameter.optional or parameter.name in given for parameter in overload)
    fits = len(given) == len(args) + len(keywords) and set(given) <= set(names) and enough
    return fits and all(_takes(parameter, given[parameter.name]) for parameter in overload if parameter.name in given)


def _takes(parameter: Parameter, value: ast.expr) -> bool:
    """Literals are held against the type: a number is no flag, whatever the binding would take."""
    if not isinstance(value, ast.Constant):
        return True
    content = value.value
    if isinstance(content, int) and not isinstance(content, bool) and parameter.name in _ENUM_LIKE:
        return content == 0
    plain = {"int": int, "typing.SupportsInt": int, "str": str, "bool": bool, "": object, "object": object}
    wanted = plain.get(parameter.kind)
    if wanted is None:
        return isinstance(content, bytes) and parameter.kind.lower().endswith("buffer")
    return isinstance(content, wanted) and (wanted is not int or not isinstance(content, bool))


def python_names(roots: Iterable[Path], classes: Iterable[type]) -> set[str]:
    """Attributes that objects of Python and of this project have: of classes given, and defined in these folders."""
    found = {name for cls in classes for name in dir(cls)}
    for root in roots:
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    found.add(node.name)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    found.add(node.target.id)
                elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return found
