"""The device of the double: memory at made-up addresses, streams whose work waits for a synchronisation, and what it saw.

Work given to a stream runs when the host waits for it and not before, so "not yet done" is the same in every run. Until
then what it will write is poison; what it will read must stay as it was. Every misuse is a finding with a name.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

POISON = np.frombuffer(bytes.fromhex("addeffff"), np.uint8)
"""What memory holds before its content is there: as float32 a NaN, as uint8 no plain colour."""


class Violation(AssertionError):
    """A use that CUDA or TensorRT would answer with garbage, a crash or nothing at all. Begins with its kind."""


@dataclass
class Fault:
    """What a call does instead of its work: returns ``value``, or raises it where it is an exception."""

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
    host: bool = False
    freed: bool = False
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
    owner: object = None
    """Tells the work of one execution context from that of another."""
    scratch: list[Span] = field(default_factory=list)
    """What it writes and reads while it runs, and nobody afterwards."""
    still: Callable[[], str] = lambda: ""
    """Asked at each replay of a CUDA graph: what has changed since it was captured."""
    before: list[np.ndarray] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return [*self.reads, *self.writes, *self.scratch]


@dataclass(eq=False)
class Lane:
    """A stream."""

    handle: int
    queue: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None


class Machine:
    """What is installed and what happened on it."""

    def __init__(self, integrated: bool, capability: tuple[int, int], memory: tuple[int, int], faults: Any) -> None:
        self.integrated, self.capability, self.memory = integrated, capability, memory
        self.devices, self.dla_cores, self.timed = 1, 0, 0
        self.faults: dict[str, Fault] = {k: v if isinstance(v, Fault) else Fault(v) for k, v in faults.items()}
        self.calls: Counter[str] = Counter()
        self.findings: list[str] = []
        self.allocations = 0
        self.alive: dict[int, str] = {}
        self.blocks: list[Block] = []
        self.lanes: dict[int, Lane] = {}
        self.stacks: dict[threading.Thread, list[Any]] = {}
        self.inside_ns = 0
        """Time spent in here: a caller's time less this is its own."""
        self.say: Callable[[str], None] = lambda words: None
        self._numbers = itertools.count(1)
        self._lock, self._depth = threading.RLock(), 0

    # -- what the tests ask

    def check(self) -> None:
        """:raises Violation: with every finding, and everything that is still there."""
        stacks = [thread.name for thread, stack in self.stacks.items() if stack]
        found = [
            *self.findings,
            *(f"leak: {words} is still there" for words in self.alive.values()),
            *(f"context never popped: in {name}" for name in stacks),
            *(f"never waited for: {work.words}" for lane in self.lanes.values() for work in lane.queue),
        ]
        if found:
            raise Violation("\n".join(found))

    def verify(self, result: np.ndarray) -> None:
        """:raises Violation: if poison got into a result."""
        raw = np.frombuffer(result.tobytes(), np.uint32)
        if (raw == POISON.view(np.uint32)[0]).any():
            self.violation("read before it was there", f"{result.dtype}{list(result.shape)} holds poison")

    # -- what the doubles tell

    def violation(self, kind: str, words: str) -> None:
        self.findings.append(f"{kind}: {words}")
        raise Violation(self.findings[-1])

    def call(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Count, time and run a call of a double, or what the test set in its place."""
        with self._lock:
            start, self._depth = time.perf_counter_ns(), self._depth + 1
            try:
                self.calls[name] += 1
                fault = self.faults.get(name)
                if fault is None or self.calls[name] < fault.at:
                    return function(*args)
                if fault.words:
                    self.say(fault.words)
                if isinstance(fault.value, BaseException):
                    raise fault.value
                return fault.value
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.inside_ns += time.perf_counter_ns() - start

    def born(self, words: str) -> int:
        """A number for a new thing that has to be released; also its handle."""
        self.allocations += 1
        number = 0x1000 * next(self._numbers)
        self.alive[number] = f"{words} {number:#x}"
        return number

    def gone(self, number: int) -> None:
        self.alive.pop(number, None)

    # -- contexts

    @property
    def stack(self) -> list[Any]:
        return self.stacks.setdefault(threading.current_thread(), [])

    def current(self, what: str) -> Any:
        if not self.stack:
            self.violation("no context in this thread", f"{what} in {threading.current_thread().name}")
        return self.stack[-1]

    # -- memory

    def block(self, words: str, data: np.ndarray, host: bool = False, visible: bool = True) -> tuple[int, Block]:
        number = self.born(words)
        self.memory = (self.memory[0] - data.size, self.memory[1])
        block = Block(self.alive[number], 0x7_0000_0000 + (number << 20) if visible else 0, data, host)
        data[:] = np.resize(POISON, data.size)
        self.blocks.append(block)
        return number, block

    def free(self, number: int, block: Block, raising: bool = True) -> None:
        if block.freed:
            self.violation("freed twice", block.words)
        self.gone(number)
        self.blocks.remove(block)
        block.freed = True
        self.memory = (self.memory[0] + block.data.size, self.memory[1])
        block.data[:] = np.resize(POISON, block.data.size)
        used = [
            work.words
            for lane in self.lanes.values()
            for work in lane.queue
            if block in (span.block for span in work.spans)
        ]
        if used:
            self.findings.append(f"freed early: {block.words} under {used[0]}")
            if raising:
                raise Violation(self.findings[-1])

    def span(self, address: int, size: int, words: str) -> Span:
        """What the device sees at an address."""
        for block in self.blocks:
            if block.address and block.address <= address < block.address + block.data.size:
                if address + size > block.address + block.data.size:
                    self.violation("too small", f"{words} needs {size} bytes, {block.words} has {block.data.size}")
                return Span(block, address - block.address, size)
        own = any(block.host and block.data.ctypes.data <= address < block.data.ctypes.data + block.data.size
                  for block in self.blocks)  # fmt: skip
        self.violation("wrong address", f"{words} at {address:#x}, {'a host address' if own else 'no live memory'}")
        raise AssertionError

    def pinned(self, array: np.ndarray, words: str) -> Span:
        """The page-locked block an array lies in."""
        if not array.flags.c_contiguous:
            self.violation("not contiguous", words)
        for block in self.blocks:
            start = array.ctypes.data - block.data.ctypes.data
            if block.host and 0 <= start < block.data.size:
                return Span(block, start, array.nbytes)
        self.violation("not page-locked", f"{words}: {array.dtype}{list(array.shape)}")
        raise AssertionError

    def typed(self, span: Span, dtype: np.dtype[Any], words: str) -> None:
        """Bytes say nothing of their type; anything else must be the type that is wanted."""
        if span.block.dtype not in (None, dtype, np.dtype(np.uint8)):
            self.violation("wrong dtype", f"{words} is {dtype}, {span.block.words} holds {span.block.dtype}")

    # -- streams

    def lane(self, handle: int, words: str) -> Lane:
        if handle not in self.lanes:
            self.violation("no such stream", f"{words} on {handle:#x}")
        return self.lanes[handle]

    def enqueue(self, handle: int, work: Work) -> None:
        """Give a stream work, or the graph that is being captured there."""
        lane = self.lane(handle, work.words)
        if lane.captured is not None:
            lane.captured.append(work)
            return
        for span in work.spans:
            if span.block.freed:
                self.violation("freed early", f"{span.block.words} under {work.words}")
        for other in self.lanes.values():
            for pending in other.queue if other is not lane else ():
                if _clash(pending, work):
                    self.violation("two streams at once", f"{pending.words} and {work.words}")
        for span in work.writes:
            self._unread(lane, span, work)
        work.before = [span.bytes.copy() for span in work.reads if span.block.host]
        for span in work.writes:
            if span.block.host:
                span.bytes[:] = np.resize(POISON, span.size)
        lane.queue.append(work)

    def _unread(self, lane: Lane, span: Span, work: Work) -> None:
        """A result must have been fetched before the next one takes its place."""
        waiting = None
        for pending in lane.queue:
            if any(span.meets(written) for written in pending.writes):
                waiting = pending
            elif waiting and any(span.meets(read) for read in pending.reads) and not span.block.host:
                waiting = None
        if waiting:
            self.violation("before the first was done", f"{work.words} over {waiting.words} in {span.block.words}")

    def synchronise(self, lane: Lane, until: Work | None = None) -> None:
        """Let a stream do its work, up to one piece of it."""
        if lane.captured is not None:
            self.violation("synchronised while capturing", f"stream {lane.handle:#x}")
        while lane.queue and (until is None or until in lane.queue):
            self._run(lane.queue[0])
            lane.queue.pop(0)

    def _run(self, work: Work) -> None:
        for span, before in zip((span for span in work.reads if span.block.host), work.before, strict=True):
            if not np.array_equal(span.bytes, before):
                self.violation("changed in flight", f"{span.block.words} under {work.words}")
        for span in (span for span in work.writes if span.block.host):
            if not np.array_equal(span.bytes, np.resize(POISON, span.size)):
                self.violation("changed in flight", f"{span.block.words}, which {work.words} writes")
        for span in work.reads:
            if span.block.filled < span.start + span.size and not span.block.host:
                self.violation("read before it was there", f"{work.words} reads {span.block.words}")
        work.run()
        for span in work.writes:
            span.block.filled = max(span.block.filled, span.start + span.size)


def _clash(one: Work, other: Work) -> bool:
    """Whether two pieces of work must not run at the same time."""
    changes = [(a, b) for a in (*one.writes, *one.scratch) for b in other.spans]
    changes += [(a, b) for a in one.reads for b in (*other.writes, *other.scratch)]
    return any(a.meets(b) for a, b in changes)
