"""Host, outbox on disk, line and instrument as a state machine in simulated time, against three promises.

Every result takes effect; none takes effect twice but flagged and listed; order is kept. The instrument remembers as
its persistence class says; the line drops, doubles, flips and delays; cables are pulled, instruments restart, hosts are
killed, other hosts come between.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from firmware_bridge import outbox as outbox_module
from firmware_bridge.host import Host
from firmware_bridge.messages import CellResult, Hello, NewStream
from firmware_bridge.outbox import Outbox
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.schema import SCHEMA_HASH, MessageType, Persistence, is_sequenced

WINDOW = 160
FAULTS = st.lists(st.sampled_from(["", "", "", "drop", "double", "flip", "delay"]), min_size=1, max_size=12)


class Board:
    """An instrument that keeps, over a restart, what its class promises."""

    def __init__(self, persistence: Persistence) -> None:
        self.persistence = persistence
        self.boots = 0
        self.cut_off = False
        self.applied: list[CellResult] = []
        self.restart()

    def restart(self) -> None:
        before = self.receiver if self.boots else None
        self.boots += 1
        self.receiver = Receiver(boot_id=self.boots, unique_id=b"board", window_bytes=WINDOW)
        self.receiver.persistence = self.persistence
        if before is not None and self.persistence is not Persistence.RAM_ONLY:
            self.receiver.stream_id, self.receiver.last_applied_seq = before.stream_id, before.last_applied_seq

    def receive(self, frame: Frame) -> Frame | None:
        answer, message = self.receiver.receive(frame)
        if isinstance(message, CellResult):
            if self.cut_off:  # counted, but the power went before it took effect
                self.cut_off = False
                self.restart()
                return None
            self.applied.append(message)
        return answer


class World(RuleBasedStateMachine):
    persistence: Persistence

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.lives = 0
        self.ids = 0
        self.now = 0.0
        self.board = Board(self.persistence)
        self.checked = 0
        self.first: list[int] = []
        self.to_board: list[bytes] = []
        self.to_host: list[bytes] = []
        self.at_board = FrameDecoder()
        self.plugged = True
        self.live(Outbox(self.folder / "0"))

    def live(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.host = Host(outbox, 115200, self.new_id)
        self.host.connect()

    def new_id(self, size: int) -> int:
        self.ids += 1
        return self.ids

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            self.end()
        finally:
            self.outbox.close(self.host.sent_to)
            shutil.rmtree(self.folder)

    def end(self) -> None:
        """Over a good line everything takes effect."""
        self.replug()
        for _ in range(400):
            self.elapse(0.05)
            self.carry([""] * 20)
            if self.outbox.acknowledged == self.outbox.last and self.host.online:
                break
        assert self.outbox.acknowledged == self.outbox.last
        withheld = {doubt.position for doubt in self.outbox.doubts() if not doubt.repeated}
        assert set(self.first) | withheld == set(range(1, self.outbox.last + 1))

    def settle(self) -> None:
        """Let the outbox write all but acknowledgements, which a kill may lose."""
        assert self.outbox.flush(10.0)
        with self.outbox.changed:
            assert self.outbox.changed.wait_for(lambda: not self.outbox._urgent(), 10.0)

    @rule(count=st.integers(1, 12))
    def put(self, count: int) -> None:
        for _ in range(count):
            number = self.outbox.last + 1
            self.outbox.put(MessageType.CELL_RESULT, CellResult(number, 0, "basophil", 1.0, (0, 0, 1, 1)).encode())
        self.settle()

    @rule(seconds=st.sampled_from([0.0, 0.03, 0.3, 2.0]))
    def elapse(self, seconds: float) -> None:
        self.now += seconds
        data = self.host.take(self.now)
        self.settle()
        if self.plugged:
            self.to_board += [encode_frame(frame) for frame in FrameDecoder().feed(data)]

    @rule(faults=FAULTS)
    def carry(self, faults: list[str]) -> None:
        for number, fault in enumerate(faults):
            if self.to_board:
                self.fault(self.to_board, fault, number, self.deliver_to_board)
            if self.to_host:
                self.fault(self.to_host, fault, number, self.deliver_to_host)

    def fault(self, line: list[bytes], fault: str, number: int, deliver: object) -> None:
        data = line.pop(0)
        if fault == "drop":
            return
        if fault == "delay":
            line.append(data)
            return
        if fault == "double":
            line.insert(0, data)
        if fault == "flip":
            flipped = bytearray(data)
            flipped[number % len(flipped)] ^= 1 << number % 8
            data = bytes(flipped)
        deliver(data)  # type: ignore[operator]

    def deliver_to_board(self, data: bytes) -> None:
        for frame in self.at_board.feed(data):
            if is_sequenced(frame.type):
                self.is_on_disk(frame)
            answer = self.board.receive(frame)
            self.look()
            if answer is not None:
                self.to_host.append(encode_frame(answer))

    def deliver_to_host(self, data: bytes) -> None:
        if self.plugged:
            self.host.receive(data, self.now)
            self.settle()

    def is_on_disk(self, frame: Frame) -> None:
        number = int.from_bytes(frame.payload[:4], "little")
        found = self.outbox._reader.execute("SELECT last, allowed FROM state").fetchone()
        assert number <= min(found), "sent before it was on disk"

    def look(self) -> None:
        """Every message that took effect: in its order, or doubled, flagged and listed."""
        for result in self.board.applied[self.checked :]:
            listed = {doubt.position: doubt.repeated for doubt in self.outbox.doubts()}
            if result.cell_id in self.first:
                assert result.redelivered, "doubled without a flag"
            else:
                last = self.first[-1] if self.first else 0
                skipped = range(last + 1, result.cell_id)
                assert result.cell_id > last, "out of order"
                assert all(listed.get(number) is False for number in skipped), "lost"
                self.first.append(result.cell_id)
            if result.redelivered:
                assert listed.get(result.cell_id) is True, "flagged but not listed"
        self.checked = len(self.board.applied)

    @rule(lose=st.booleans())
    def unplug(self, lose: bool) -> None:
        if self.plugged:
            self.plugged = False
            self.host.lost()
        if lose:
            self.to_board.clear()
            self.to_host.clear()

    @rule()
    def replug(self) -> None:
        if not self.plugged:
            self.plugged = True
            self.host.connect()

    @rule(lose=st.booleans())
    def restart_the_instrument(self, lose: bool) -> None:
        self.board.restart()
        if lose:
            self.to_board.clear()
            self.to_host.clear()

    @precondition(lambda self: self.persistence is Persistence.COMMIT_BEFORE)
    @rule()
    def cut_off_the_instrument(self) -> None:
        self.board.cut_off = True

    @precondition(lambda self: not self.plugged)
    @rule(stream=st.integers(1 << 20, (1 << 20) + 3))
    def another_host_comes_between(self, stream: int) -> None:
        hello = Hello(1, 0, 0, SCHEMA_HASH, stream)
        self.board.receive(Frame(MessageType.HELLO, 0xFFFF, 0, hello.encode()))
        self.board.receive(Frame(MessageType.NEW_STREAM, 0xFFFF, 0, NewStream(stream).encode()))

    @rule()
    def kill_the_host(self) -> None:
        self.lives += 1
        image = self.folder / str(self.lives)
        for part in ("", "-wal"):
            if Path(f"{self.outbox.path}{part}").exists():
                shutil.copy(f"{self.outbox.path}{part}", f"{image}{part}")
        last = self.outbox.last
        self.outbox.close()
        self.live(Outbox(image))
        assert self.outbox.last == last, "a durable result is gone"
        self.plugged = True


@pytest.mark.parametrize("persistence", list(Persistence))
def test_the_promises_hold(persistence: Persistence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "_ACKNOWLEDGED_WAIT_S", 1e6)
    machine = type("TheWorld", (World,), {"persistence": persistence})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=100, stateful_step_count=40, derandomize=True, database=None, deadline=None),
    )


def test_doubt_outlives_another_kill() -> None:
    """The instrument forgot, the host learnt of it and was killed before it sent anything: the flag is still there."""
    world = type("TheWorld", (World,), {"persistence": Persistence.RAM_ONLY})()
    world.begin()
    try:
        for _ in range(2):  # HELLO, NEW_STREAM
            world.elapse(0.0)
            world.carry([""])
        world.put(3)
        world.elapse(0.0)
        while world.to_board:
            world.deliver_to_board(world.to_board.pop(0))
        world.board.restart()
        world.unplug(lose=True)
        world.replug()
        world.elapse(0.0)
        world.carry([""])
        assert [doubt.position for doubt in world.outbox.doubts()] == [1, 2, 3]
        world.kill_the_host()
    finally:
        world.teardown()
    applied = [(result.cell_id, result.redelivered) for result in world.board.applied]
    assert applied == [(1, False), (2, False), (3, False), (1, True), (2, True), (3, True)]
