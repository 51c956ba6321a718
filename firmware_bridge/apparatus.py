"""What the simulated instrument moves and lights: indicators, trigger outputs, a stage that takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware_bridge.messages import Command
from firmware_bridge.schema import LABEL_CODES, LATER_MESSAGES, Capability, CommandStatus, Opcode

STAGE_NM_PER_MS = 10_000
"""10 mm/s, as fast as motorised stages go."""
STAGE_LIMIT_NM = 75_000_000
"""Half of a slide's length on either side."""
OUTPUTS = 4

CAPABILITIES = LATER_MESSAGES | Capability.INDICATOR | Capability.TRIGGER | Capability.STAGE

_LABELS = {code: label for label, code in LABEL_CODES.items()}


class Apparatus:
    """:param tell: called with each thing done, ready for JSON.

    :param clock_ms: the instrument's clock.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None], clock_ms: Callable[[], int]) -> None:
        self.place_nm = [0, 0, 0]
        self._tell = tell
        self._clock_ms = clock_ms
        self._from_nm = self._to_nm = (0, 0, 0)
        self._left_ms: int | None = None
        self._takes_ms = 0

    def begin(self, command: Command) -> CommandStatus:
        """Do what a command asks for, or begin to."""
        first, second, third = command.argument_1, command.argument_2, command.argument_3
        if command.opcode == Opcode.INDICATOR:
            if first not in _LABELS or second < 0:
                return CommandStatus.BAD_ARGUMENT
            self._tell({"type": "command", "command": "indicator", "label": _LABELS[first], "duration_ms": second})
        elif command.opcode == Opcode.TRIGGER:
            if not 0 <= first < OUTPUTS or second < 0:
                return CommandStatus.BAD_ARGUMENT
            self._tell({"type": "command", "command": "trigger", "output": first, "pulse_us": second})
        elif command.opcode == Opcode.STAGE_MOVE:
            if max(abs(first), abs(second), abs(third)) > STAGE_LIMIT_NM:
                return CommandStatus.BAD_ARGUMENT
            self._tell({"type": "command", "command": "stage move", "to_nm": [first, second, third]})
            self._depart((first, second, third))
            return CommandStatus.RUNNING
        else:
            return CommandStatus.UNSUPPORTED
        return CommandStatus.DONE

    def stop(self) -> None:
        """Stand still where it is."""
        if self._left_ms is not None:
            self._advance()
            self._left_ms = None
            self._tell({"type": "stopped", "at_nm": list(self.place_nm)})

    def arrived(self) -> bool:
        """Go on; True once when the stage has come to its place."""
        if self._left_ms is None or not self._advance():
            return False
        self._left_ms = None
        self._tell({"type": "arrived", "at_nm": list(self.place_nm)})
        return True

    def _depart(self, place_nm: tuple[int, int, int]) -> None:
        x, y, z = self.place_nm
        self._from_nm, self._to_nm = (x, y, z), place_nm
        longest = max(abs(to - now) for now, to in zip(self.place_nm, place_nm, strict=True))
        self._takes_ms = -(-longest // STAGE_NM_PER_MS)
        self._left_ms = self._clock_ms()

    def _advance(self) -> bool:
        assert self._left_ms is not None
        gone_ms = self._clock_ms() - self._left_ms
        part = min(1.0, gone_ms / self._takes_ms) if self._takes_ms else 1.0
        self.place_nm = [
            round(start + part * (end - start)) for start, end in zip(self._from_nm, self._to_nm, strict=True)
        ]
        return part >= 1.0
