"""Commands, stops, events and clocks: host and instrument without input or output, over a wire that loses, doubles and
holds back frames, in a time that the test gives.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.clock import InstrumentClock
from firmware_bridge.control import ANSWER_GRACE_S, Asked, outcome
from firmware_bridge.errors import CommandFailedError, CommandInDoubtError
from firmware_bridge.host import Host
from firmware_bridge.messages import CellResult, Command, InstrumentEvent, Log, Stop, TimeSync
from firmware_bridge.protocol import Frame, FrameDecoder, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.receiver_control import ControlReceiver, number_distance
from firmware_bridge.schema import LATER_MESSAGES, Capability, CommandStatus, LogLevel, MessageType, Opcode
from firmware_bridge.store import MemoryStore

STEP_S = 0.01
MOVE = (Opcode.STAGE_MOVE, (1, 2, 3))


@dataclass
class Machine:
    """An instrument whose commands take ``takes_ms``."""

    takes_ms: int = 0
    capabilities: Capability = LATER_MESSAGES
    silence_stop_ms: int = 0
    boot_id: int = 1
    begun: list[Command] = field(default_factory=list)
    stops: int = 0
    ends_ms: int | None = None

    def __post_init__(self) -> None:
        self.boot()

    def boot(self) -> None:
        self.ends_ms = None
        self.control = ControlReceiver(self.begin, self.stop, self.capabilities, silence_stop_ms=self.silence_stop_ms)
        self.decoder = FrameDecoder()
        self.receiver = Receiver(boot_id=self.boot_id, control=self.control, decoder=self.decoder)

    def reset(self) -> None:
        self.boot_id += 1
        self.boot()

    def begin(self, command: Command) -> CommandStatus:
        self.begun.append(command)
        if not self.takes_ms:
            return CommandStatus.DONE
        self.ends_ms = self.now_ms + self.takes_ms
        return CommandStatus.RUNNING

    def stop(self) -> None:
        self.stops += 1
        self.ends_ms = None

    def step(self, data: bytes, now_ms: int) -> bytes:
        self.now_ms = now_ms
        answers = []
        for frame in self.decoder.feed(data):
            answer, _ = self.receiver.receive(frame, now_ms)
            answers += [answer] if answer else []
        if self.ends_ms is not None and now_ms >= self.ends_ms:
            self.ends_ms = None
            self.control.done(CommandStatus.DONE, detail=7)
        return b"".join(map(encode_frame, [*answers, *self.receiver.tick(now_ms)]))


class Wire:
    """Host, instrument and frames under way; ``chance`` of each fault for each frame."""

    def __init__(self, machine: Machine, chance: float = 0.0, seed: int = 0) -> None:
        self.machine = machine
        self.source = random.Random(seed)
        self.store = MemoryStore()
        self.host = Host(self.store, 115200, lambda size: self.source.randrange(1, 1 << 8 * size))
        self.chance = chance
        self.now = 100.0
        self.cut = False
        self.under_way: list[tuple[float, int, bool, bytes]] = []
        self.told: list[tuple[InstrumentEvent, float | None] | Log] = []
        self.host.connect()

    @property
    def control(self):
        return self.host.control

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            self.send(True, self.host.take(self.now))
            self.send(False, self.machine.step(self.due(True), round(self.now * 1000)))
            self.host.receive(self.due(False), self.now)
            self.told += self.control.told
            self.control.told.clear()
            if self.host.unanswered_s(self.now) > 3:
                self.host.lost()
                self.host.connect()

    def until(self, condition, seconds: float = 20.0) -> None:
        for _ in range(round(seconds / STEP_S)):
            if condition():
                return
            self.run(STEP_S)
        raise AssertionError("did not come about")

    def send(self, to_instrument: bool, data: bytes) -> None:
        for part in FrameDecoder().feed(data):
            for _ in range(2 if self.happens() else 1):
                late = self.source.random() * 0.3 if self.happens() else 0.0
                if not self.happens() and not self.cut:
                    order = len(self.under_way)
                    self.under_way.append((self.now + late, order, to_instrument, encode_frame(part)))

    def due(self, to_instrument: bool) -> bytes:
        ready = sorted(item for item in self.under_way if item[2] == to_instrument and item[0] <= self.now)
        self.under_way = [item for item in self.under_way if item not in ready]
        return b"".join(item[3] for item in ready)

    def happens(self) -> bool:
        return self.source.random() < self.chance

    def online(self) -> Wire:
        self.until(lambda: self.host.online)
        return self

    def asked(self, deadline_s: float = 5.0) -> Asked:
        return self.control.begin(*MOVE, self.now + deadline_s)


def failed(asked: Asked) -> CommandStatus:
    with pytest.raises(CommandFailedError) as caught:
        outcome("MoveStage", asked)
    assert "\n" not in str(caught.value)
    return CommandStatus(caught.value.status)


@pytest.mark.parametrize("takes_ms", [0, 700])
def test_a_command_is_carried_out_and_its_end_told(takes_ms: int) -> None:
    wire = Wire(Machine(takes_ms)).online()
    asked = wire.asked()
    wire.run(takes_ms / 1000 + 0.05)
    assert asked.status is CommandStatus.DONE
    assert outcome("MoveStage", asked) == (7 if takes_ms else 0)
    (begun,) = wire.machine.begun
    assert (begun.opcode, begun.argument_1, begun.argument_2, begun.argument_3) == (Opcode.STAGE_MOVE, 1, 2, 3)
    assert 4900 <= begun.deadline_ms <= 5000


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30), takes_ms=st.sampled_from((0, 40, 400)))
def test_each_command_once_through_every_fault(seed: int, takes_ms: int) -> None:
    wire = Wire(Machine(takes_ms), chance=0.2, seed=seed).online()
    for _ in range(12):
        asked = wire.asked(30.0)
        wire.until(lambda asked=asked: asked.ended)
        assert asked.status is CommandStatus.DONE
    assert [command.number for command in wire.machine.begun] == list(range(1, 13))


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30), when_s=st.floats(0, 0.4))
def test_after_a_stop_nothing_moves_whatever_was_under_way(seed: int, when_s: float) -> None:
    wire = Wire(Machine(300), chance=0.25, seed=seed).online()
    asked = wire.asked()
    wire.run(when_s)
    halt = wire.control.stop()
    wire.until(lambda: halt.answered)
    assert wire.machine.ends_ms is None
    assert wire.machine.stops
    wire.run(2.0)  # what was held back arrives
    assert wire.machine.ends_ms is None
    assert len(wire.machine.begun) <= 1
    assert asked.status in (CommandStatus.STOPPED, CommandStatus.DONE)


def test_a_stop_reaches_an_instrument_that_is_being_greeted_anew() -> None:
    wire = Wire(Machine(3000)).online()
    wire.asked()
    wire.run(0.1)
    assert wire.machine.control.running
    wire.host.connect()
    wire.control.stop()
    wire.send(True, wire.host.take(wire.now))
    first = FrameDecoder().feed(b"".join(item[3] for item in wire.under_way))[0]
    assert first.type == MessageType.STOP, "before the greeting"
    wire.run(0.05)
    assert not wire.machine.control.running


def test_a_stop_goes_before_results_that_wait() -> None:
    wire = Wire(Machine()).online()
    for number in range(500):
        message = CellResult(number, 1, "monocyte", 1.0, (0, 0, 1, 1))
        wire.store.put(message.TYPE, message.encode())
    wire.control.stop()
    kinds = [frame.type for frame in FrameDecoder().feed(wire.host.take(wire.now))]
    assert kinds[0] == MessageType.STOP
    assert MessageType.CELL_RESULT in kinds


def test_what_is_not_done_in_time_is_ended_by_the_instrument() -> None:
    wire = Wire(Machine(5000)).online()
    asked = wire.asked(0.5)
    wire.run(0.5 + ANSWER_GRACE_S)
    assert failed(asked) is CommandStatus.EXPIRED
    assert wire.machine.stops == 1


def test_what_could_not_be_sent_in_time_is_never_begun() -> None:
    wire = Wire(Machine()).online()
    wire.cut = True
    wire.host.lost()
    asked = wire.asked(0.2)
    wire.run(1.0)
    wire.cut = False
    wire.host.connect()
    wire.run(2.0)
    assert failed(asked) is CommandStatus.EXPIRED
    assert not wire.machine.begun


def test_a_reset_in_the_midst_leaves_it_in_doubt_and_it_is_not_repeated() -> None:
    wire = Wire(Machine(2000)).online()
    asked = wire.asked()
    wire.run(0.2)
    assert len(wire.machine.begun) == 1
    wire.machine.reset()
    wire.until(lambda: asked.ended)
    assert asked.in_doubt
    with pytest.raises(CommandInDoubtError):
        outcome("MoveStage", asked)
    wire.run(3.0)
    assert len(wire.machine.begun) == 1


def test_a_cable_that_is_out_for_a_while_costs_only_time() -> None:
    wire = Wire(Machine(500)).online()
    asked = wire.asked()
    wire.run(0.1)
    wire.host.lost()
    wire.cut = True
    wire.run(1.0)
    wire.cut = False
    wire.host.connect()
    wire.until(lambda: asked.ended)
    assert asked.status is CommandStatus.DONE
    assert len(wire.machine.begun) == 1


def test_another_program_s_command_finds_the_instrument_busy() -> None:
    wire = Wire(Machine(5000)).online()
    wire.asked()
    wire.run(0.1)
    after_a_kill = Wire(wire.machine, seed=1)
    after_a_kill.now = wire.now
    after_a_kill.online()
    asked = after_a_kill.asked()
    after_a_kill.run(0.1)
    assert failed(asked) is CommandStatus.BUSY
    halt = after_a_kill.control.stop()
    after_a_kill.run(0.1)
    assert halt.answered
    asked = after_a_kill.asked()
    after_a_kill.run(0.1)
    assert len(wire.machine.begun) == 2
    assert not asked.ended


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(seed=st.integers(0, 1 << 30))
def test_each_event_once_and_in_order(seed: int) -> None:
    wire = Wire(Machine(), chance=0.25, seed=seed).online()
    for value in range(8):
        wire.until(lambda value=value: wire.machine.control.event(1, 2, value, round(wire.now * 1000)))
        if value == 4:
            wire.host.connect()
    wire.until(lambda: not wire.machine.control.restless)
    assert [event.value for event, _ in wire.told] == list(range(8))


def test_an_event_after_a_reset_is_another_one() -> None:
    wire = Wire(Machine()).online()
    for _ in range(2):
        assert wire.machine.control.event(1, 0, 1, 0)
        wire.run(0.3)
        wire.machine.reset()
        wire.host.connect()
        wire.online()
    assert len(wire.told) == 2


def test_an_event_s_time_is_a_time_of_the_host() -> None:
    wire = Wire(Machine()).online()
    wire.run(1.0)
    happened = wire.now
    wire.cut = True
    wire.machine.control.event(1, 0, 1, round(happened * 1000))
    wire.run(0.4)
    wire.cut = False
    wire.run(1.0)
    ((_, at),) = wire.told
    assert at == pytest.approx(happened, abs=0.02)


def test_a_host_of_version_1_0_is_told_nothing_of_its_own_accord() -> None:
    wire = Wire(Machine()).online()
    wire.machine.control.host = Capability(0)
    assert wire.machine.control.event(1, 0, 1, 0)
    wire.machine.control.log(LogLevel.INFO, "nobody listens")
    assert wire.machine.receiver.tick(0) == []


def test_an_instrument_of_version_1_0_is_asked_for_nothing_new() -> None:
    machine = Machine()
    machine.receiver = Receiver(boot_id=1)
    wire = Wire(machine).online()
    message = CellResult(1, 1, "monocyte", 1.0, (0, 0, 1, 1))
    wire.store.put(message.TYPE, message.encode())
    wire.run(5.0)
    assert wire.host.online
    assert wire.store.acknowledged == 1
    assert machine.decoder.frames == 3, "HELLO, NEW_STREAM and the result"


def test_an_idle_instrument_that_dies_is_noticed() -> None:
    wire = Wire(Machine()).online()
    wire.run(2.0)
    assert wire.host.unanswered_s(wire.now) < 0.1
    wire.cut = True
    wire.until(lambda: wire.host.unanswered_s(wire.now) > 2.9, 5.0)


def test_an_instrument_may_stop_when_the_host_falls_silent() -> None:
    wire = Wire(Machine(60_000, silence_stop_ms=2000)).online()
    asked = wire.asked(60.0)
    wire.run(10.0)
    assert wire.machine.stops == 0, "heartbeats keep it going"
    wire.cut = True
    wire.run(2.5)
    assert wire.machine.stops == 1
    wire.cut = False
    wire.until(lambda: asked.ended)
    assert failed(asked) is CommandStatus.STOPPED


def test_the_figures_of_a_heartbeat_are_the_decoder_s() -> None:
    wire = Wire(Machine()).online()
    wire.machine.decoder.feed(b"\0\1\2\3\0" + encode_frame(Frame(1, 1, 1))[:-3] + b"\x55\x55\0")
    wire.run(1.5)
    decoder = wire.machine.decoder
    assert wire.control.heartbeat is not None
    assert (decoder.crc_errors + decoder.malformed) == 2
    assert wire.control.heartbeat.crc_errors + wire.control.heartbeat.dropped == 2


def test_a_line_for_people_arrives_cut_to_what_fits() -> None:
    wire = Wire(Machine()).online()
    wire.machine.control.log(LogLevel.WARNING, "é" * 60)
    wire.run(0.05)
    assert wire.told == [Log(LogLevel.WARNING, "é" * 31)]


def test_numbers_wrap_around() -> None:
    assert number_distance(1, 0xFFFF) == 2
    assert number_distance(0xFFFF, 1) == -2
    wire = Wire(Machine()).online()
    wire.control._number = 0xFFFE
    for number in (0xFFFF, 1, 2):
        asked = wire.asked()
        wire.run(0.05)
        assert asked.status is CommandStatus.DONE
        assert wire.machine.begun[-1].number == number


def test_a_stop_of_a_stranger_does_not_outdate_a_command() -> None:
    machine = Machine()
    machine.now_ms = 0
    machine.control.receive(Command(5, 3, 1, 100, 0, 0, 0), 0, machine.decoder)
    machine.control.stopped_by(Stop(1, 6, 9))
    machine.control.receive(Command(5, 4, 1, 100, 0, 0, 0), 0, machine.decoder)
    assert len(machine.begun) == 2


@given(
    offset_ms=st.integers(0, 0xFFFFFFFF),
    ways=st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.2)), min_size=1, max_size=20),
    after_ms=st.integers(-5000, 5000),
)
@settings(derandomize=True, database=None, deadline=None)
def test_the_instrument_s_clock_is_known_to_half_the_shortest_way(
    offset_ms: int, ways: list[tuple[float, float]], after_ms: int
) -> None:
    clock, now = InstrumentClock(), 50.0
    assert clock.host_time(0) is None
    for there, back in ways:
        received_ms = (round((now + there) * 1000) + offset_ms) & 0xFFFFFFFF
        sent = round(now * 1e9)
        now += there + back
        clock.measured(TimeSync(sent, received_ms, received_ms), now)
    happened = now + after_ms / 1000
    told = clock.host_time((round(happened * 1000) + offset_ms) & 0xFFFFFFFF)
    assert told == pytest.approx(happened, abs=min(there + back for there, back in ways[-8:]) / 2 + 0.0021)
