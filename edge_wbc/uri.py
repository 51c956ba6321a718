"""The one grammar for sources and sinks: ``scheme://place?option=value`` or ``scheme:PATH``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_wbc.errors import UsageError


@dataclass(frozen=True, slots=True)
class Uri:
    """A source or sink as the user wrote it, taken apart."""

    text: str
    scheme: str
    path: str
    """What stands between ``scheme:`` or ``scheme://`` and ``?``; a leading ``/`` belongs to it."""
    options: Mapping[str, str]

    def option(self, name: str, convert: Callable[[str], Any], default: Any) -> Any:
        """The value of an option.

        :raises UsageError: ``convert`` refused the value with ValueError.
        """
        if name not in self.options:
            return default
        try:
            return convert(self.options[name])
        except ValueError:
            raise UsageError(
                f"{self.text}: option {name}={self.options[name]!r} is not a valid {convert.__name__}; "
                f"write for example {name}={default}"
            ) from None

    def allow(self, *names: str) -> None:
        """:raises UsageError: an option that is not in ``names``."""
        for name in self.options:
            if name not in names:
                known = ", ".join(names) or "none"
                raise UsageError(f"{self.text}: unknown option {name!r}; {self.scheme}: takes {known}")


def width_and_height(text: str) -> tuple[int, int] | None:
    """``1280x720`` taken apart; None if it is something else."""
    width, _, height = text.lower().partition("x")
    return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else None


def parse(text: str, table: Mapping[str, str], *, plain: str | None = None) -> Uri:
    """Take a URI apart; text without a scheme gets the scheme ``plain``.

    Windows drive letters count as paths. Percent escapes are read in URIs with ``://``, never in plain paths.

    :raises UsageError: the scheme is not in ``table``.
    """
    from urllib.parse import parse_qsl, unquote  # with difflib 5 ms, which `edge-wbc --help` need not wait for

    scheme, colon, rest = text.partition(":")
    if not colon or len(scheme) < 2 or not scheme.replace("+", "").replace("-", "").isalnum():
        if plain is None:
            raise UsageError(f"{text!r} has no scheme; write one of " + ", ".join(f"{s}:" for s in table))
        return Uri(text, plain, text, {})
    scheme = scheme.lower()
    if scheme not in table:
        from difflib import get_close_matches

        near = get_close_matches(scheme, table, n=1)
        hint = f"did you mean {near[0]}:" if near else "known are " + ", ".join(f"{s}:" for s in table)
        raise UsageError(f"{text!r}: unknown scheme {scheme!r}; {hint}")
    if not rest.startswith("//"):
        return Uri(text, scheme, rest, {})
    path, _, query = rest[2:].partition("?")
    return Uri(text, scheme, unquote(path), dict(parse_qsl(query, keep_blank_values=True)))


def table_with_plugins(table: Mapping[str, str], group: str) -> dict[str, str]:
    """The built-in table and what other installed packages add by entry points; the built-in names win."""
    from importlib.metadata import entry_points  # 30 ms, which `edge-wbc --help` need not wait for

    return {point.name: point.value for point in entry_points(group=group)} | dict(table)


def load(reference: str) -> Any:
    """Import ``module:name``."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
