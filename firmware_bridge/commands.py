"""What an instrument can be told to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from firmware_bridge.errors import ProtocolError
from firmware_bridge.schema import LABEL_CODES, Capability, Opcode

_I32_MAX = (1 << 31) - 1

Arguments: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Indicate:
    """Light the indicator of a label, for so long; 0: until the next one."""

    OPCODE: ClassVar[int] = Opcode.INDICATOR
    NEEDS: ClassVar[Capability] = Capability.COMMAND | Capability.INDICATOR
    label: str
    duration_s: float = 0.0

    def arguments(self) -> Arguments:
        code = LABEL_CODES.get(self.label)
        if code is None:
            raise ProtocolError(f"there is no label {self.label!r}; use one of {', '.join(LABEL_CODES)}")
        return code, _steps(self.duration_s, 1e3, "duration_s", lowest=0), 0


@dataclass(frozen=True, slots=True)
class Trigger:
    """One pulse on an output."""

    OPCODE: ClassVar[int] = Opcode.TRIGGER
    NEEDS: ClassVar[Capability] = Capability.COMMAND | Capability.TRIGGER
    output: int
    pulse_s: float

    def arguments(self) -> Arguments:
        return self.output, _steps(self.pulse_s, 1e6, "pulse_s", lowest=0), 0


@dataclass(frozen=True, slots=True)
class MoveStage:
    """To a place on the stage, all three axes, in µm with steps of 1 nm, at most 2.1 m from its origin."""

    OPCODE: ClassVar[int] = Opcode.STAGE_MOVE
    NEEDS: ClassVar[Capability] = Capability.COMMAND | Capability.STAGE
    x_um: float
    y_um: float
    z_um: float

    def arguments(self) -> Arguments:
        x, y, z = (_steps(getattr(self, name), 1e3, name) for name in ("x_um", "y_um", "z_um"))
        return x, y, z


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """A command that only this instrument knows: opcode from 0x80 to 0xFF, three signed 32-bit arguments."""

    NEEDS: ClassVar[Capability] = Capability.COMMAND
    OPCODE: int
    argument_1: int = 0
    argument_2: int = 0
    argument_3: int = 0

    def arguments(self) -> Arguments:
        if not 0x80 <= self.OPCODE <= 0xFF:
            raise ProtocolError(f"opcode {self.OPCODE} is not an instrument's own; take one from 0x80 to 0xFF")
        return self.argument_1, self.argument_2, self.argument_3


InstrumentCommand: TypeAlias = Indicate | Trigger | MoveStage | OwnCommand


def spoken(words: Sequence[str]) -> InstrumentCommand | None:
    """Return the command that a person wrote, None if it is none."""
    name, *rest = words
    try:
        if name == "indicator" and len(rest) in (1, 2):
            return Indicate(rest[0], *map(float, rest[1:]))
        if name == "trigger" and len(rest) == 2:
            return Trigger(int(rest[0]), float(rest[1]))
        if name == "stage" and len(rest) == 3:
            return MoveStage(*map(float, rest))
        if name == "own" and 1 <= len(rest) <= 4:
            return OwnCommand(*(int(word, 0) for word in rest))
    except ValueError:
        pass
    return None


def _steps(value: float, per_unit: float, name: str, lowest: int = -_I32_MAX) -> int:
    try:
        steps = round(value * per_unit)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{name} is {value!r}; give a number") from error
    if not lowest <= steps <= _I32_MAX:
        raise ProtocolError(
            f"{name}={value:g} is out of range; keep it within {lowest / per_unit:g} … {_I32_MAX / per_unit:g}"
        )
    return steps
