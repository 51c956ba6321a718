"""The device of the double: memory at made-up addresses, streams whose work waits for a synchronisation, what was seen.

Work given to a stream runs when the host waits for it and not before, so "not yet done" is the same in every run. Until
then what it will write is poison; what it will read must stay as it was. Every misuse is a finding with a name.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np

POISON = np.frombuffer(bytes.fromhex("addeffff"), np.uint8)
"""What memory holds before its content is there: as float32 a NaN."""


class Violation(AssertionError):
    """A use that CUDA or TensorRT would answer with garbage, a crash or nothing at all. Begins with its kind."""


@dataclass
class Fault:
    """What a call does instead of its work: gives ``value``, or raises it where it is an exception."""

    value: Any
    words: str = ""
    """Said to TensorRT's logger."""
    at: int = 1
    """From which call on, counted from 1."""


@dataclass(eq=False)
class Block:
    """An allocation."""

    words: str
    address: int
    """Where the device sees it; 0 where it does not."""
    data: np.ndarray
    """uint8 (size,)."""
    host: bool
    dtype: np.dtype[Any] | None = None
    """Of the elements last put there, where known."""
    filled: int = 0
    """How many bytes from the start hold something."""


class Span(NamedTuple):
    """A part of a block."""

    block: Block
    start: int
    size: int

    @property
    def bytes(self) -> np.ndarray:
        return self.block.data[self.start : self.start + self.size]

    def fill(self, content: np.ndarray, dtype: np.dtype[Any] | None) -> None:
        self.bytes[:] = content
        self.block.filled = max(self.block.filled, self.start + self.size)
        if not self.block.host:
            self.block.dtype = dtype

    def meets(self, other: Span) -> bool:
        apart = self.start + self.size <= other.start or other.start + other.size <= self.start
        return self.block is other.block and not apart


@dataclass(eq=False)
class Work:
    """One thing for a stream to do."""

    words: str
    run: Callable[[], None]
    reads: list[Span]
    writes: list[Span]
    scratch: list[Span] = field(default_factory=list)
    """What it writes and reads while it runs, and nobody afterwards."""
    owner: object = None
    """Tells the work of one execution context from that of another."""
    changed: Callable[[], str] = str
    """Asked at each replay of a CUDA graph: what is not as it was when it was captured."""
    before: list[np.ndarray] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [*self.reads, *self.writes, *self.scratch]

    def clashes(self, other: Work) -> bool:
        """Whether the two must not run at the same time."""
        pairs = itertools.chain(
            itertools.product([*self.writes, *self.scratch], other.spans),
            itertools.product(self.reads, [*other.writes, *other.scratch]),
        )
        return any(a.meets(b) for a, b in pairs)


@dataclass(eq=False)
class Lane:
    """A stream."""

    queue: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None


class Machine:
    """What is installed and what happened on it."""

    def __init__(
        self, integrated: bool, capability: tuple[int, int], memory: tuple[int, int], devices: int, faults: Any
    ) -> None:
        self.integrated, self.capability, self.memory, self.devices = integrated, capability, memory, devices
        self.faults = {name: fault if isinstance(fault, Fault) else Fault(fault) for name, fault in faults.items()}
        self.dla_cores = 0
        self.calls: Counter[str] = Counter()
        self.findings: list[str] = []
        self.allocations, self.timed, self.inside_ns = 0, 0, 0
        """Allocations made; tactics timed, which a timing cache saves; time spent in here, in no caller."""
        self.alive: dict[int, str] = {}
        self.made_in: dict[int, Any] = {}
        """The context that was current, of each thing alive."""
        self.blocks: list[Block] = []
        self.lanes: dict[int, Lane] = {}
        self.stacks: dict[threading.Thread, list[Any]] = {}
        self.say: Callable[[str], None] = lambda words: None
        self._lock, self._depth = threading.RLock(), 0

    def check(self) -> None:
        """:raises Violation: with every finding, and everything that is still there."""
        found = [
            *self.findings,
            *(f"leak: {words} is still there" for words in self.alive.values()),
            *(f"context never popped: in {thread.name}" for thread, stack in self.stacks.items() if stack),
            *(f"never waited for: {work.words}" for work in self.pending()),
        ]
        if found:
            raise Violation("\n".join(found))

    def verify(self, result: np.ndarray) -> None:
        """:raises Violation: if poison got into a result of 4-byte elements."""
        if (np.frombuffer(result.tobytes(), np.uint32) == POISON.view(np.uint32)).any():
            self.violation("read before it was there", f"{result.dtype}{list(result.shape)} holds poison")

    def violation(self, kind: str, words: str) -> NoReturn:
        self.findings.append(f"{kind}: {words}")
        raise Violation(self.findings[-1])

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Count, time and run a call of a double, or do what the test set in its place."""
        with self._lock:
            start, self._depth = time.perf_counter_ns(), self._depth + 1
            try:
                self.calls[name] += 1
                fault = self.faults.get(name)
                if fault is None or self.calls[name] < fault.at:
                    return function(*args, **kwargs)
                if fault.words:
                    self.say(fault.words)
                if isinstance(fault.value, BaseException):
                    raise fault.value
                return fault.value
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.inside_ns += time.perf_counter_ns() - start

    def counted(self, prefix: str, names: dict[str, Any]) -> dict[str, Any]:
        """The same names, each function, constructor and method going through ``call``."""

        def through(name: str, function: Any) -> Any:
            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                return self.call(f"{prefix}.{name}", function, *args, **kwargs)

            return call

        for name, value in names.items():
            for member, method in list(vars(value).items()) if isinstance(value, type) else []:
                if inspect.isfunction(method) and (member == "__init__" or not member.startswith("_")):
                    setattr(value, member, through(name if member == "__init__" else f"{name}.{member}", method))
        return {name: through(name, value) if inspect.isfunction(value) else value for name, value in names.items()}

    def born(self, words: str) -> int:
        """A number for a new thing that has to be released; also its handle."""
        self.allocations += 1
        number = 0x1000 * self.allocations
        self.alive[number] = f"{words} {self.allocations}"
        self.made_in[number] = next(reversed(self.stack), None)
        return number

    def gone(self, number: int) -> None:
        self.alive.pop(number, None)
        self.made_in.pop(number, None)

    def pending(self) -> list[Work]:
        return [work for lane in self.lanes.values() for work in lane.queue]

    @property
    def stack(self) -> list[Any]:
        """The contexts pushed in this thread."""
        return self.stacks.setdefault(threading.current_thread(), [])

    def current(self, what: str) -> Any:
        if not self.stack:
            self.violation("no context in this thread", f"{what} in {threading.current_thread().name}")
        return self.stack[-1]

    def free_bytes(self) -> int:
        return self.memory[0] - sum(block.data.size for block in self.blocks)

    def span(self, address: int, size: int, words: str) -> Span:
        """What the device sees at an address."""
        for block in self.blocks:
            if block.address and block.address <= address < block.address + block.data.size:
                if address + size > block.address + block.data.size:
                    self.violation("too small", f"{words} needs {size} bytes, {block.words} has {block.data.size}")
                return Span(block, address - block.address, size)
        self.violation("wrong address", f"{words} at {address:#x}: nothing there that the device could see")

    def pinned(self, array: np.ndarray, words: str) -> Span:
        """The page-locked block an array lies in."""
        for block in self.blocks:
            start = array.ctypes.data - block.data.ctypes.data
            if block.host and 0 <= start < block.data.size and array.flags.c_contiguous:
                return Span(block, start, array.nbytes)
        self.violation("not page-locked", f"{words}: {array.dtype}{list(array.shape)}")

    def typed(self, span: Span, dtype: np.dtype[Any] | None, words: str) -> None:
        """Bytes say nothing of their type; anything else must be the type that is wanted."""
        if span.block.dtype not in (None, dtype, np.dtype(np.uint8)):
            self.violation("wrong dtype", f"{words} is {dtype}, {span.block.words} holds {span.block.dtype}")

    def lane(self, handle: int, words: str) -> Lane:
        return self.lanes.get(handle) or self.violation("no such stream", f"{words} on {handle:#x}")

    def enqueue(self, handle: int, work: Work) -> None:
        """Give a stream work, or the graph that is being captured there."""
        lane = self.lane(handle, work.words)
        if lane.captured is not None:
            lane.captured.append(work)
            return
        for span in work.spans:
            if span.block not in self.blocks:
                self.violation("freed early", f"{span.block.words} under {work.words}")
        for pending in self.pending():
            if pending not in lane.queue and (work.clashes(pending) or work.owner is pending.owner is not None):
                self.violation("two streams at once", f"{pending.words} and {work.words}")
        for span in work.writes:
            self._fetched(lane, span, work)
        work.before = [span.bytes.copy() for span in work.reads if span.block.host]
        for span in work.writes:
            if span.block.host:
                span.bytes[:] = np.resize(POISON, span.size)
        lane.queue.append(work)

    def _fetched(self, lane: Lane, span: Span, work: Work) -> None:
        """A result must have been fetched before the next one takes its place."""
        waiting = None
        for pending in lane.queue:
            if any(span.meets(written) for written in pending.writes):
                waiting = pending
            elif waiting and not span.block.host and any(span.meets(read) for read in pending.reads):
                waiting = None
        if waiting:
            self.violation("before the first was done", f"{work.words} over {waiting.words} in {span.block.words}")

    def synchronise(self, lane: Lane, until: Work | None = None) -> None:
        """Let a stream do its work, up to one piece of it."""
        if lane.captured is not None:
            self.violation("synchronised while capturing", "the capture is lost")
        while lane.queue and (until is None or until in lane.queue):
            work = lane.queue.pop(0)
            poisoned = [np.resize(POISON, span.size) for span in work.writes if span.block.host]
            spans = [span for span in (*work.reads, *work.writes) if span.block.host]
            for span, content in zip(spans, [*work.before, *poisoned], strict=True):
                if not np.array_equal(span.bytes, content):
                    self.violation("changed in flight", f"{span.block.words} under {work.words}")
            for span in work.reads:
                if span.block.filled < span.start + span.size and not span.block.host:
                    self.violation("read before it was there", f"{work.words} reads {span.block.words}")
            work.run()
