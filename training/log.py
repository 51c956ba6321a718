"""What a training run went through, as CSV beside the weights."""

from __future__ import annotations

from pathlib import Path

from edge_wbc.errors import OutputFailed, UsageError, reason
from edge_wbc.files import write_whole

HEADER = "step,loss,learning_rate,seconds"
EVERY = 10
"""Steps from one line to the next; the last step has one too."""


class Log:
    """Lines of step, loss (a running average), learning rate and seconds since the start."""

    def __init__(self, path: Path, done: int, advice: str) -> None:
        """Look at what an earlier run left; nothing is written before the first line is due.

        :param done: go on after this step, without lines of later ones; 0: begin.
        :param advice: what to do if it can't be written, as the end of a sentence.
        :raises UsageError: another file has this name.
        :raises OutputFailed: it can't be read.
        """
        self.path, self._advice, self._begun = path, advice, False
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        except OSError as error:
            raise OutputFailed(f"{path}: {reason(error)}; {advice}") from None
        if lines and lines[0] != HEADER:
            raise UsageError(f"{path}: not a training log, and the log is to have this name; give --out another name")
        self._kept = [HEADER, *(line for line in lines[1:] if _step(line) <= done)]

    def write(self, step: int, steps: int, loss: float, learning_rate: float, seconds: float) -> None:
        """:raises OutputFailed: it can't be written."""
        if step % EVERY and step != steps:
            return
        if not self._begun:
            write_whole(self.path, "".join(f"{line}\n" for line in self._kept).encode(), self._advice)
            self._begun = True
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{step},{loss:.5f},{learning_rate:.3g},{seconds:.1f}\n")
        except OSError as error:
            raise OutputFailed(f"{self.path}: {reason(error)}; {self._advice}") from None


def _step(line: str) -> float:
    """The step of a line; a line cut off in the middle belongs to none that was done."""
    fields = line.split(",")
    return int(fields[0]) if len(fields) == HEADER.count(",") + 1 and fields[0].isdigit() else float("inf")
