"""Commands, stops, events and clocks of the C library, held to the tables of docs/protocol.md and to the Python
instrument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.messages import Ack, Command, Heartbeat, Hello, HelloAck, Log, Nak, Stop, TimeSync
from firmware_bridge.protocol import MAX_PAYLOAD, Frame, encode_frame
from firmware_bridge.receiver import Receiver
from firmware_bridge.receiver_control import ControlReceiver
from firmware_bridge.schema import (
    LATER_MESSAGES,
    SCHEMA_HASH,
    Capability,
    CommandStatus,
    EventCode,
    LogLevel,
    MessageType,
    NakReason,
)
from tests.firmware_bridge.firmware.checks import cell
from tests.firmware_bridge.firmware.control_checks import (
    ISSUER,
    ask,
    deadline_check,
    done,
    event_check,
    framed,
    greet,
    greeted,
    move,
    once_check,
    other_connection_check,
    said,
    stop_check,
)
from tests.firmware_bridge.firmware.instrument import CAPABILITIES, CInstrument
from tests.firmware_bridge.firmware.library import CReceiver, Library

SEEDED = settings(derandomize=True, database=None, deadline=None, max_examples=200)
RUNNING, STOPPED, BUSY = CommandStatus.RUNNING, CommandStatus.STOPPED, CommandStatus.BUSY


def test_a_command_begins_once(library: Library) -> None:
    once_check(library)


def test_a_command_of_an_earlier_connection_does_not_begin(library: Library) -> None:
    other_connection_check(library)


def test_what_is_not_done_in_time_has_stopped(library: Library) -> None:
    deadline_check(library)


def test_stop_ends_what_runs_and_what_it_overtook(library: Library) -> None:
    stop_check(library)


def test_an_event_is_sent_until_it_has_arrived(library: Library) -> None:
    event_check(library)


def test_what_the_instrument_tells_of_itself(library: Library) -> None:
    told = greet(CInstrument(library), 7)
    assert isinstance(told, HelloAck)
    assert told.capabilities == CAPABILITIES


def test_a_command_comes_with_all_its_fields(library: Library) -> None:
    instrument = greeted(library)
    command = Command(0xFEDC, 0x0102, 0x81, 0xFFFFFFFF, -(1 << 31), (1 << 31) - 1, -1)
    ask(instrument, command)
    assert instrument.begun == [command]


@pytest.mark.parametrize("status", set(CommandStatus) - {RUNNING})
def test_a_command_that_ends_at_once_says_how(library: Library, status: CommandStatus) -> None:
    instrument = greeted(library)
    instrument.begin = lambda _: (status, -5)
    for _ in range(2):
        assert ask(instrument, move(1)) == done(1, status, -5)
    assert len(instrument.begun) == 1
    assert instrument.tick(5) == []


def test_a_command_may_tell_its_end_while_it_begins(library: Library) -> None:
    instrument = greeted(library)

    def begin(_: Command) -> tuple[int, int]:
        instrument.done(CommandStatus.FAILED, 3)
        return RUNNING, 0

    instrument.begin = begin
    assert ask(instrument, move(1)) == done(1, CommandStatus.FAILED, 3)


def test_another_command_has_to_wait(library: Library) -> None:
    instrument = greeted(library)
    ask(instrument, move(1))
    assert ask(instrument, move(2)) == done(2, BUSY)
    assert ask(instrument, move(9, issuer=41)) == done(9, BUSY, issuer=41)
    assert ask(instrument, move(1)) == done(1, RUNNING)
    instrument.done(CommandStatus.DONE)
    assert ask(instrument, move(9, issuer=41)) == done(9, RUNNING, issuer=41)
    assert [command.number for command in instrument.begun] == [1, 9]


def test_the_end_of_a_command_is_told_once(library: Library) -> None:
    instrument = greeted(library)
    instrument.done(CommandStatus.DONE)  # none runs
    ask(instrument, move(1))
    assert instrument.tick(1) == []
    instrument.done(CommandStatus.DONE, 17)
    instrument.done(CommandStatus.FAILED)
    assert said(instrument.tick(2)) == [done(1, CommandStatus.DONE, 17)]
    assert instrument.tick(3) == []


def test_numbers_go_on_over_the_wrap(library: Library) -> None:
    instrument = greeted(library)
    instrument.begin = lambda _: (CommandStatus.DONE, 0)
    for number in (0xFFFE, 0xFFFF, 1, 0x8000):
        assert ask(instrument, move(number)) == done(number, CommandStatus.DONE)
        assert ask(instrument, move((number - 1) & 0xFFFF)) is None
    assert ask(instrument, move(1)) is None
    assert [command.number for command in instrument.begun] == [0xFFFE, 0xFFFF, 1, 0x8000]


def test_a_stop_before_any_command_outdates_what_it_overtook(library: Library) -> None:
    instrument = CInstrument(library)
    assert ask(instrument, Stop(1, ISSUER, 2), 99) == Stop(1, ISSUER, 2)  # nobody has greeted
    assert instrument.stops == 1
    greet(instrument, 7)
    assert ask(instrument, move(2)) == done(2, STOPPED)
    assert ask(instrument, move(1)) is None
    assert ask(instrument, move(3)) == done(3, RUNNING)


def test_a_stop_of_another_program_leaves_the_numbers(library: Library) -> None:
    instrument = greeted(library)
    ask(instrument, move(5))
    ask(instrument, Stop(1, 41, 9), 99)
    assert ask(instrument, move(5)) == done(5, STOPPED)
    assert ask(instrument, move(6)) == done(6, RUNNING)


def test_a_stop_to_nobody_and_one_that_is_cut(library: Library) -> None:
    instrument = greeted(library)
    ask(instrument, move(1))
    assert instrument.receive(framed(Stop(1, ISSUER, 1), 0)) == (None, None)
    assert instrument.receive(Frame(MessageType.STOP, 99, 0, b"12345")) == (None, None)
    assert instrument.stops == 0
    assert ask(instrument, move(1)) == done(1, RUNNING)


def test_silence_stops(library: Library) -> None:
    instrument = greeted(library, silence_stop_ms=2000)
    instrument.receive(framed(move(1, 100_000)))
    assert instrument.tick(1999) == []
    ask(instrument, move(1, 100_000))
    assert instrument.tick(3998) == []
    assert instrument.stops == 0
    assert said(instrument.tick(3999)) == [done(1, STOPPED)]
    for now in range(4000, 20_000, 1000):
        instrument.tick(now)
    assert instrument.stops == 1


def test_an_instrument_without_a_limit_bears_silence(library: Library) -> None:
    instrument = greeted(library)
    ask(instrument, move(1, 0xFFFFFFFF))
    for now in range(0, 1 << 32, 1 << 28):
        assert instrument.tick(now) == []
    assert instrument.stops == 0


def test_a_heartbeat_tells_what_was_received(library: Library) -> None:
    instrument = greeted(library)
    instrument.overruns = 0xFFFFFFFE
    instrument.tick(123)
    frame = encode_frame(framed(Heartbeat(1, 2, 3, 4, 5)))
    before = instrument.link.decoder.frames
    instrument.feed(b"\0abc\0" + frame[:2] + b"\x55" + frame[3:] + b"\1" * 100 + b"\0")
    assert ask(instrument, Heartbeat(1, 2, 3, 4, 5)) == Heartbeat(123, before + 1, 1, 2, 0xFFFFFFFE)


def test_a_time_sync_brings_the_clock(library: Library) -> None:
    instrument = greeted(library)
    instrument.tick(0xFFFFFFFF)
    sent = 0x0123456789ABCDEF
    assert ask(instrument, TimeSync(sent, 1, 2)) == TimeSync(sent, 0xFFFFFFFF, 0xFFFFFFFF)


def test_an_event_waits_for_a_host_that_has_events(library: Library) -> None:
    instrument = CInstrument(library)
    assert instrument.event(EventCode.BUTTON, 0, 1)
    assert instrument.tick(1) == []
    greet(instrument, 7, LATER_MESSAGES & ~Capability.EVENT)
    assert instrument.tick(1000) == []
    greet(instrument, 8)
    (frame,) = instrument.tick(1001)
    assert (frame.connection, frame.seq) == (8, 1)


def test_an_old_host_hears_nothing_of_its_own_accord(library: Library) -> None:
    instrument = greeted(library, 0)
    instrument.event(EventCode.BUTTON, 0, 1)
    ask(instrument, move(1, 10))
    instrument.log(LogLevel.INFO, b"to nobody")
    assert instrument.written == b""
    assert [frame for now in range(0, 2000, 50) for frame in instrument.tick(now)] == []


@pytest.mark.parametrize(
    ("text", "arrives"),
    [
        (b"", b""),
        (b"ready", b"ready"),
        (b"x" * 63, b"x" * 63),
        (b"x" * 64, b"x" * 63),
        ("ä".encode() * 40, "ä".encode() * 31),
        (b"x" * 61 + "€".encode(), b"x" * 61),
        (b"x" * 60 + "€x".encode(), b"x" * 60 + "€".encode()),
    ],
)
def test_a_log_is_cut_between_characters(library: Library, text: bytes, arrives: bytes) -> None:
    instrument = greeted(library)
    assert said(instrument.log(LogLevel.WARNING, text)) == [Log(LogLevel.WARNING, arrives.decode())]


@pytest.mark.parametrize("kind", [MessageType.COMMAND, MessageType.ACK, MessageType.HEARTBEAT, MessageType.TIME_SYNC])
@pytest.mark.parametrize("size", [0, 5, 22, 64])
def test_another_size_is_malformed(library: Library, kind: MessageType, size: int) -> None:
    instrument = greeted(library)
    answer, _ = instrument.receive(Frame(kind, 7, 0, bytes(size)))
    assert answer == framed(Nak(NakReason.MALFORMED, 1))
    assert not instrument.begun


@pytest.mark.parametrize("kind", [t for t in range(256) if t not in (1, 3, 4, 6, 7, 10, 12, *range(0x10, 0x20))])
def test_what_it_does_not_know_it_refuses(library: Library, kind: int) -> None:
    answer, _ = greeted(library).receive(Frame(kind, 7, 0, bytes(6)))
    assert answer == framed(Nak(NakReason.UNSUPPORTED, 1))


def test_without_the_control_part_it_is_an_instrument_of_version_1_0(library: Library) -> None:
    receiver = CReceiver(library, boot_id=1)
    told, _ = receiver.receive(framed(Hello(1, 1, LATER_MESSAGES, SCHEMA_HASH, 5)))
    assert told is not None
    assert told.type == HelloAck.TYPE
    assert told.payload[2:6] == bytes(4)
    asked: Sequence[Any] = (move(1), Stop(1, 2, 3), Ack(1, 0), Heartbeat(0, 0, 0, 0, 0), TimeSync(0, 0, 0))
    for message in asked:
        assert receiver.receive(framed(message, 8)) == (None, None)
        assert receiver.receive(framed(message)) == (framed(Nak(NakReason.UNSUPPORTED, 1)), None)


# The C instrument and the Python one: the same answers, the same commands begun, the same stops.

U16, U32, I32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(-(1 << 31), (1 << 31) - 1)
CONNECTIONS = st.sampled_from((7, 7, 7, 7, 8, 0))
ISSUERS = st.sampled_from((ISSUER, ISSUER, ISSUER, 41))
NUMBERS = st.integers(1, 6) | st.sampled_from((0x7FFF, 0x8001, 0xFFFF))
STATUSES = st.sampled_from(tuple(CommandStatus))
COMMANDS = st.builds(
    Command,
    issuer=ISSUERS,
    number=NUMBERS,
    opcode=st.sampled_from((0, 0, 0, 0, 1, 2, 3, 4, 5)),  # the status it begins with
    deadline_ms=st.sampled_from((0, 1, 100, 1000, 100_000)),
    argument_1=I32,
    argument_2=I32,
    argument_3=I32,
)
STOPS = st.builds(Stop, stop=U16, issuer=ISSUERS, number=NUMBERS | st.just(0))
CAPABILITY_SETS = st.sampled_from((LATER_MESSAGES, LATER_MESSAGES, Capability.COMMAND))
HELLOS = st.builds(
    lambda capabilities, version: Hello(version, 1, capabilities, SCHEMA_HASH, 5),
    CAPABILITY_SETS,
    st.sampled_from((1, 1, 1, 2)),
)
ACKS = st.builds(Ack, st.integers(0, 4), U16)
HEARTBEATS = st.builds(Heartbeat, U32, U32, U32, U32, U32)
TIME_SYNCS = st.builds(TimeSync, st.integers(0, (1 << 64) - 1), U32, U32)
MESSAGES = st.one_of(COMMANDS, COMMANDS, STOPS, HELLOS, ACKS, ACKS, HEARTBEATS, TIME_SYNCS)
FRAMES = st.builds(framed, MESSAGES, CONNECTIONS) | st.builds(
    lambda kind, connection, payload: Frame(kind, connection, 0, payload),
    st.integers(2, 0x12),
    CONNECTIONS,
    st.binary(max_size=MAX_PAYLOAD),
)
STEPS = st.one_of(
    st.tuples(st.just("frame"), FRAMES),
    st.tuples(st.just("frame"), FRAMES),
    st.tuples(st.just("tick"), st.sampled_from((0, 1, 99, 100, 249, 250, 1000, 2000, 2001))),
    st.tuples(st.just("done"), STATUSES.filter(bool)),
    st.tuples(st.just("event"), I32),
)


@SEEDED
@given(st.sampled_from((0, 1000, 0x7FFFFF00, 0xFFFFFF00)), st.sampled_from((0, 2000)), st.lists(STEPS, max_size=40))
def test_both_instruments_do_and_say_the_same(
    library: Library, began_ms: int, silence_stop_ms: int, steps: list[tuple[str, Any]]
) -> None:
    ours = CInstrument(library, silence_stop_ms=silence_stop_ms, begin=lambda command: (command.opcode, 0))
    begun: list[Command] = []
    stops: list[None] = []

    def begin(command: Command) -> CommandStatus:
        begun.append(command)
        return CommandStatus(command.opcode)

    control = ControlReceiver(begin, lambda: stops.append(None), CAPABILITIES, silence_stop_ms=silence_stop_ms)
    theirs = Receiver(boot_id=1, control=control)
    now = began_ms
    hello = framed(Hello(1, 1, LATER_MESSAGES, SCHEMA_HASH, 5))
    for kind, given_ in (("tick", 0), ("frame", hello), *steps, ("tick", 300)):
        if kind == "frame":
            theirs.decoder.frames += 1
            assert ours.receive(given_) == theirs.receive(given_, now), given_
        elif kind == "tick":
            now = (now + given_) & 0xFFFFFFFF
            assert ours.tick(now) == theirs.tick(now)
        elif kind == "done":
            ours.done(given_, 5)
            control.done(given_, 5)
        else:
            assert ours.event(EventCode.BUTTON, 1, given_) == control.event(EventCode.BUTTON, 1, given_, now)
        assert (ours.begun, ours.stops) == (begun, len(stops))


@SEEDED
@given(st.lists(st.tuples(st.sampled_from(("command", "stop", "tick", "done")), st.integers(1, 12)), max_size=60))
def test_no_order_of_frames_begins_a_command_twice_or_lets_one_run_on(
    library: Library, steps: list[tuple[str, int]]
) -> None:
    instrument, now = greeted(library), 0
    ran: set[int] = set()
    running = 0
    stopped = 0
    for kind, number in steps:
        if kind == "command":
            before = len(instrument.begun)
            ask(instrument, move(number, 1000))
            if len(instrument.begun) > before:
                assert not running
                assert number > stopped
                assert number not in ran
                ran.add(number)
                running = number
        elif kind == "stop":
            ask(instrument, Stop(1, ISSUER, number))
            stopped, running = max(stopped, number), 0
        elif kind == "tick":
            now += number * 100
            told = said(instrument.tick(now))
            running = (
                0 if any(getattr(message, "status", None) == CommandStatus.EXPIRED for message in told) else running
            )
        else:
            instrument.done(CommandStatus.DONE)
            running = 0


def test_results_go_on_while_a_stage_moves(library: Library) -> None:
    instrument = greeted(library)
    instrument.receive(Frame(MessageType.NEW_STREAM, 7, 0, (5).to_bytes(4, "little")))
    ask(instrument, move(1))
    for seq in (1, 2, 3):
        answer, applied = instrument.receive(cell(seq, seq))
        assert answer == framed(Ack(seq, 2048))
        assert applied is not None
    assert ask(instrument, move(1)) == done(1, RUNNING)
