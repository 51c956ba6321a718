"""What the tests of deployment read: the Dockerfile as instructions, the pins, the build context."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JETPACKS = {"6": "3.10", "7": "3.12"}
"""JetPack → Python."""
SOURCE_BUILT = {"cobs", "pycuda"}
"""Of these there is no wheel for Linux on ARM."""


def pinned(path: str) -> dict[str, str]:
    """Name → version of a requirements file in which every line is a pin.

    :raises AssertionError: a line is not.
    """
    pins = {}
    for line in (ROOT / path).read_text().splitlines():
        if line and not line.startswith("#"):
            pin = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9a-z.]*)", line)
            assert pin, f"{path}: {line!r} pins nothing"
            pins[canonical(pin[1])] = pin[2]
    return pins


def canonical(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stages(jetpack: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The stages of Dockerfile.jetson as (image, instructions), build arguments filled in; first those before any."""
    lines = [line for line in (ROOT / "Dockerfile.jetson").read_text().splitlines() if not line.startswith("#")]
    arguments = {"JETPACK": jetpack}
    found: list[tuple[str, list[tuple[str, str]]]] = [("", [])]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line:
            continue
        word, rest = line.split(None, 1)
        rest = re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], rest)
        if word == "ARG" and "=" in rest:
            name, value = rest.split("=", 1)
            arguments.setdefault(name, value)
        elif word == "FROM":
            found.append((rest, []))
        else:
            found[-1][1].append((word, rest))
    return found


def values(instructions: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for found, rest in instructions if found == word]


def words(text: str) -> list[str]:
    """The exec form of a command."""
    return list(json.loads(text))


def copy_context(to: Path) -> None:
    """What .dockerignore lets into the build; its form is everything, then exceptions, then names to leave out."""
    first, *rules = (ROOT / ".dockerignore").read_text().split()
    assert first == "*"
    leave_out = [rule.removeprefix("**/") for rule in rules if not rule.startswith("!")]
    for pattern in (rule[1:] for rule in rules if rule.startswith("!")):
        sources = list(ROOT.glob(pattern))
        assert sources, f".dockerignore lets {pattern} in, and there is no such thing"
        for source in sources:
            target = to / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns(*leave_out))
            else:
                shutil.copy(source, target)
