"""Holds source text against the recorded surfaces, without running it.

Types are inferred from assignments, calls and a small table a file. A branch is looked at for the versions that can
reach it: ``hasattr(x, "NAME")`` and ``strongly_typed(trt)`` are understood. An attribute of an object whose type was
not inferred is a problem, too, unless Python's or this project's own objects have one of that name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.conformance.calls import fits
from tests.conformance.surfaces import RECORDED, Member, surface

ALL = frozenset(RECORDED["tensorrt"])


class Kind(NamedTuple):
    """What is known of a value."""

    binding: str
    owner: str
    """Of an instance its class; of a class or function, where it is found (``""`` for the module)."""
    name: str = ""
    """Of a class or function itself; empty for an instance or the module."""
    many: bool = False
    """A list of these."""


MODULES = {
    "trt": Kind("tensorrt", ""),
    "driver": Kind("pycuda", ""),
    "_driver": Kind("pycuda", ""),
    "bindings": Kind("cuda", ""),
    "_bindings": Kind("cuda", ""),
    "cuda": Kind("cuda", ""),
}
"""Names that stand for the modules, wherever they are."""


def trt(name: str) -> Kind:
    return Kind("tensorrt", name)


def cu(name: str) -> Kind:
    return Kind("pycuda", name)


@dataclass
class Checker:
    """One file."""

    file: str
    names: dict[str, Kind]
    """Parameters and attributes whose type can't be inferred, as ``name`` or ``function.name``."""
    known: set[str]
    """Attributes that Python's or this project's own objects have."""
    strong: frozenset[str]
    """Versions where ``strongly_typed`` is true."""
    forwards: dict[str, int] = field(default_factory=dict)
    """Functions that call their first argument with the others → how many at the end are their own."""
    problems: list[str] = field(default_factory=list)
    versions: frozenset[str] = ALL
    attributes: dict[str, Kind] = field(default_factory=dict)
    returns: dict[str, Kind] = field(default_factory=dict)
    used: set[tuple[str, str, str]] = field(default_factory=set)
    """(binding, owner, name) of everything reached."""
    _scopes: list[dict[str, Kind | None]] = field(default_factory=list)
    _function: str = ""
    _imported: set[str] = field(default_factory=set)

    def run(self, source: str) -> list[str]:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._imported |= {(name.asname or name.name).partition(".")[0] for name in node.names}
        for _ in range(3):  # attributes are typed by what other methods give them
            self.problems, self._scopes = [], [{}]
            self.block(tree.body)
        return self.problems

    def problem(self, node: ast.AST, words: str) -> None:
        self.problems.append(f"{self.file}:{getattr(node, 'lineno', 0)}: {words}")

    # -- statements

    def block(self, body: list[ast.stmt]) -> None:
        before = self.versions
        for statement in body:
            self.statement(statement)
        self.versions = before

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef):
            self.function(node)
        elif isinstance(node, ast.ClassDef):
            self.klass(node)
        elif isinstance(node, ast.If):
            self.typed(node.test)
            true, false = self.reach(node.test, self.versions)
            with self.only(true):
                self.block(node.body)
            with self.only(false):
                self.block(node.orelse)
            if isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue):
                self.versions = false
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            self.assign(targets, node.value)
        elif isinstance(node, ast.AugAssign):
            self.typed(node.target)
            self.typed(node.value)
            self.no_number(node.op, node.value)
        elif isinstance(node, ast.For):
            self.bind(node.target, self.element(node.iter))
            self.block([*node.body, *node.orelse])
        elif isinstance(node, ast.With):
            for item in node.items:
                self.typed(item.context_expr)
            self.block(node.body)
        elif isinstance(node, ast.Try):
            self.block(node.body)
            for handler in node.handlers:
                if handler.type is not None:
                    self.typed(handler.type)
                self.block(handler.body)
            self.block([*node.orelse, *node.finalbody])
        elif isinstance(node, ast.Return) and node.value is not None:
            found = self.typed(node.value)
            if found is not None:
                self.returns[self._function] = found
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.typed(child)
                elif isinstance(child, ast.stmt):
                    self.statement(child)

    def function(self, node: ast.FunctionDef | ast.Lambda, name: str = "") -> None:
        name = node.name if isinstance(node, ast.FunctionDef) else name
        outer, self._function = self._function, name
        arguments = node.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        own = {p.arg: self.names.get(f"{name}.{p.arg}") or self.names.get(p.arg) for p in parameters}
        self._scopes.append({key: value or MODULES.get(key) for key, value in own.items()})
        with self.only(self.versions):
            if isinstance(node, ast.Lambda):
                found = self.typed(node.body)
                if found is not None:
                    self.returns[name] = found
            else:
                self.block(node.body)
        self._scopes.pop()
        self._function = outer

    def klass(self, node: ast.ClassDef) -> None:
        for base in (self.typed(base) for base in node.bases):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef)] if base else []
            for method in methods:
                self.overrides(base, method)
        self.block(node.body)

    def overrides(self, base: Kind | None, method: ast.FunctionDef) -> None:
        """What TensorRT calls has to take what TensorRT gives."""
        if base is None or method.name == "__init__":
            return
        for version in self.versions:
            member = surface(base.binding, version).find(base.name, method.name)
            taken = len(method.args.args) - 1
            if member and taken not in [len(overload) for overload in member.overloads]:
                given = [parameter.name for parameter in member.overloads[0]]
                self.problem(method, f"{base.name}.{method.name} of {version} is given {given}, not {taken} arguments")
                return

    def assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        for target in targets:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                for one, other in zip(target.elts, value.elts, strict=False):
                    self.bind(one, self.typed(other))
                return
        found = self.typed(value)
        for target in targets:
            self.bind(target, found)

    def bind(self, target: ast.expr, found: Kind | None) -> None:
        if isinstance(target, ast.Name):
            named = self.names.get(f"{self._function}.{target.id}") or MODULES.get(target.id)
            self._scopes[-1][target.id] = found or named
        elif isinstance(target, ast.Tuple):
            for part in target.elts:
                self.bind(part, None)
        elif isinstance(target, ast.Attribute):
            owner = self.typed(target.value)
            if owner is None:
                if found is not None and isinstance(target.value, ast.Name) and target.value.id == "self":
                    self.attributes.setdefault(target.attr, found)
                return
            member = self.member(target, owner, target.attr)
            if member is not None and not member.settable:
                self.problem(target, f"{owner.owner}.{target.attr} can't be set in all of {sorted(self.versions)}")

    # -- guards

    @contextmanager
    def only(self, versions: frozenset[str]) -> Iterator[None]:
        before, self.versions = self.versions, versions
        yield
        self.versions = before

    def reach(self, test: ast.expr, here: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The versions for which a condition can be true, and those for which it can be false."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            true, false = self.reach(test.operand, here)
            return false, true
        if isinstance(test, ast.BoolOp):
            either, rest = frozenset[str](), here
            for value in test.values:
                true, false = self.reach(value, rest)
                found, rest = (true, false) if isinstance(test.op, ast.Or) else (false, true)
                either |= found
            return (either, rest) if isinstance(test.op, ast.Or) else (rest, either)
        if isinstance(test, ast.Call) and ast.unparse(test.func).rpartition(".")[2] == "strongly_typed":
            return here & self.strong, here - self.strong
        if isinstance(test, ast.Call) and ast.unparse(test.func) == "hasattr":
            owner, name = self.typed(test.args[0]), test.args[1]
            if owner is not None and owner.binding == "tensorrt" and isinstance(name, ast.Constant):
                place = owner.name or owner.owner
                having = frozenset(v for v in here if surface("tensorrt", v).find(place, str(name.value)))
                return having, here - having
        return here, here

    # -- expressions

    def typed(self, node: ast.expr) -> Kind | None:
        """The type of an expression, which is checked on the way."""
        if isinstance(node, ast.Name):
            return self.name(node.id)
        if isinstance(node, ast.Attribute):
            return self.attribute(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Lambda):
            self.function(node, "<lambda>")
            return None
        if isinstance(node, ast.IfExp):
            self.typed(node.test)
            true, false = self.reach(node.test, self.versions)
            with self.only(true):
                first = self.typed(node.body)
            with self.only(false):
                return first or self.typed(node.orelse)
        if isinstance(node, ast.BoolOp):
            here = self.versions
            for value in node.values:
                self.typed(value)
                self.versions = self.reach(value, self.versions)[0 if isinstance(node.op, ast.And) else 1]
            self.versions = here
            return None
        if isinstance(node, ast.BinOp):
            self.typed(node.left)
            self.typed(node.right)
            self.no_number(node.op, node.right)
            return None
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            return self.comprehension(node)
        if isinstance(node, ast.NamedExpr):
            self.bind(node.target, found := self.typed(node.value))
            return found
        if isinstance(node, ast.Subscript):
            self.typed(node.slice)
            found = self.typed(node.value)
            return found._replace(many=False) if found and found.many else None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.typed(child)
        return None

    def comprehension(self, node: Any) -> Kind | None:
        self._scopes.append({})
        for generator in node.generators:
            self.bind(generator.target, self.element(generator.iter))
            for test in generator.ifs:
                self.typed(test)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        found = [self.typed(part) for part in parts]
        self._scopes.pop()
        return found[0]._replace(many=True) if len(found) == 1 and found[0] else None

    def element(self, iterable: ast.expr) -> Kind | None:
        found = self.typed(iterable)
        return found._replace(many=False) if found and found.many else None

    def name(self, name: str) -> Kind | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return MODULES.get(name) if name not in self._imported else None

    def attribute(self, node: ast.Attribute) -> Kind | None:
        owner = self.typed(node.value)
        if owner is not None and not owner.many:
            return self.kind(owner, node.attr, self.member(node, owner, node.attr))
        root = node.value
        if isinstance(root, ast.Name) and root.id == "self":
            return MODULES.get(node.attr) or self.names.get(f"self.{node.attr}") or self.attributes.get(node.attr)
        if ast.unparse(root).partition(".")[0] in self._imported and not isinstance(root, ast.Call):
            return None
        named = self.names.get(f".{node.attr}")
        if named is None and node.attr not in self.known:
            self.problem(node, f"nothing known has {node.attr!r}, or the type of {ast.unparse(root)} is not known")
        return named

    def member(self, node: ast.AST, owner: Kind, name: str) -> Member | None:
        """Found in every version that gets here, or a problem."""
        place = owner.name or owner.owner
        self.used.add((owner.binding, place, name))
        reached = self.versions if owner.binding == "tensorrt" else frozenset(RECORDED[owner.binding])
        found = {version: surface(owner.binding, version).find(place, name) for version in sorted(reached)}
        lacking = [version for version, member in found.items() if member is None]
        if lacking:
            self.problem(node, f"{owner.binding} {', '.join(lacking)} has no {place or owner.binding}.{name}")
        present = [member for member in found.values() if member is not None]
        return present[0] if present and not lacking else None

    def kind(self, owner: Kind, name: str, member: Member | None) -> Kind | None:
        if member is None:
            return None
        place = owner.name or owner.owner
        if member.kind in ("class", "enum"):
            return Kind(owner.binding, "", name)
        if member.kind == "function" or name == "Severity":
            return Kind(owner.binding, place, name)
        return Kind(owner.binding, member.returns) if member.returns else self.names.get(f"{place}.{name}")

    def call(self, node: ast.Call) -> Kind | None:
        function = self.typed(node.func)
        arguments = [self.typed(argument) for argument in node.args]
        for keyword in node.keywords:
            self.typed(keyword.value)
        called = ast.unparse(node.func)
        if function is not None and function.name:
            return self.check(node, function, node.args, node.keywords)
        if called in self.forwards and arguments[0] is not None:
            last = len(node.args) - self.forwards[called]
            return self.check(node, arguments[0], node.args[1:last], node.keywords)
        last = called.rpartition(".")[2]
        if isinstance(node.func, ast.Name) or called.startswith("self."):
            return self.returns.get(last) or self.names.get(f"{last}()")
        return self.names.get(f"{last}()")

    def check(self, node: ast.Call, function: Kind, args: list[ast.expr], keywords: list[ast.keyword]) -> Kind | None:
        """Hold a call against every version that gets here."""
        reached = self.versions if function.binding == "tensorrt" else frozenset(RECORDED[function.binding])
        for version in sorted(reached):
            member = surface(function.binding, version).find(function.owner, function.name)
            if member is None:
                return None
            starred = any(isinstance(argument, ast.Starred) for argument in args)
            if member.overloads and not starred and not any(fits(o, args, keywords) for o in member.overloads):
                there = [[f"{p.name}: {p.kind}" for p in overload] for overload in member.overloads]
                self.problem(node, f"{ast.unparse(node)} does not fit {function.binding} {version}: {there}")
                return None
        if member is None:
            return None
        owner = member.returns.removeprefix("List[").removeprefix("list[").rstrip("]")
        known = surface(function.binding, max(reached)).owners
        many = owner != member.returns
        return (
            Kind(function.binding, owner, "", many)
            if owner in known and owner
            else self.names.get(f"{function.name}()")
        )

    def no_number(self, operator: ast.operator, right: ast.expr) -> None:
        """A bit set is made of the binding's own members: their numbers moved."""
        if isinstance(operator, ast.LShift) and not (isinstance(right, ast.Call) and ast.unparse(right.func) == "int"):
            self.problem(right, f"a bit is shifted by {ast.unparse(right)}, not by int(member of an enum)")
        if isinstance(operator, ast.BitOr) and isinstance(right, ast.Constant) and isinstance(right.value, int):
            self.problem(right, f"{right.value} stands for a flag")
