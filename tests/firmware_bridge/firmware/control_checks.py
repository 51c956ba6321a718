"""Checks of commands, stops and events that hold for the library, and must not hold for one with a rule taken out."""

from __future__ import annotations

from firmware_bridge.messages import Ack, Command, CommandDone, Hello, InstrumentEvent, Message, Stop, decode_message
from firmware_bridge.protocol import Frame
from firmware_bridge.schema import LATER_MESSAGES, SCHEMA_HASH, CommandStatus, EventCode, MessageType, Opcode
from tests.firmware_bridge.firmware.instrument import CInstrument
from tests.firmware_bridge.firmware.library import Library

ISSUER = 40


def framed(message: Message, connection: int = 7) -> Frame:
    return Frame(message.TYPE, connection, 0, message.encode())


def move(number: int, deadline_ms: int = 1000, issuer: int = ISSUER) -> Command:
    return Command(issuer, number, Opcode.STAGE_MOVE, deadline_ms, 1, -2, 3)


def greet(instrument: CInstrument, connection: int, capabilities: int = LATER_MESSAGES) -> Message:
    answer = ask(instrument, Hello(1, 1, capabilities, SCHEMA_HASH, 5), connection)
    assert answer is not None
    return answer


def greeted(library: Library, capabilities: int = LATER_MESSAGES, *, silence_stop_ms: int = 0) -> CInstrument:
    instrument = CInstrument(library, silence_stop_ms=silence_stop_ms)
    greet(instrument, 7, capabilities)
    return instrument


def ask(instrument: CInstrument, message: Message, connection: int = 7) -> Message | None:
    """Return the answer to a message; it comes to the connection that asked."""
    answer, applied = instrument.receive(framed(message, connection))
    assert applied is None
    if answer is None:
        return None
    assert (answer.connection, answer.seq) == (connection, 0)
    return decode_message(answer.type, answer.payload)


def done(number: int, status: CommandStatus, detail: int = 0, issuer: int = ISSUER) -> CommandDone:
    return CommandDone(issuer, number, status, detail)


def said(frames: list[Frame]) -> list[Message]:
    return [decode_message(frame.type, frame.payload) for frame in frames]


def once_check(library: Library) -> None:
    """A command doubled, asked for again while it runs, and held back, begins once."""
    instrument = greeted(library)
    for _ in range(2):
        assert ask(instrument, move(1)) == done(1, CommandStatus.RUNNING)
    instrument.done(CommandStatus.DONE, -9)
    assert ask(instrument, move(1)) == done(1, CommandStatus.DONE, -9)
    assert ask(instrument, move(2)) == done(2, CommandStatus.RUNNING)
    instrument.done(CommandStatus.FAILED)
    assert ask(instrument, move(2)) == done(2, CommandStatus.FAILED)
    assert ask(instrument, move(1)) is None
    assert [command.number for command in instrument.begun] == [1, 2]


def other_connection_check(library: Library) -> None:
    """A command of an earlier connection is not carried out."""
    instrument = greeted(library)
    greet(instrument, 8)
    assert ask(instrument, move(1), 7) is None
    assert not instrument.begun


def deadline_check(library: Library) -> None:
    """What is not done in time stops, and its end is told once."""
    instrument = greeted(library)
    instrument.tick(0xFFFFFFF0)
    ask(instrument, move(1, 100))
    assert instrument.tick((0xFFFFFFF0 + 99) & 0xFFFFFFFF) == []
    assert instrument.stops == 0
    assert said(instrument.tick((0xFFFFFFF0 + 100) & 0xFFFFFFFF)) == [done(1, CommandStatus.EXPIRED)]
    assert instrument.stops == 1
    assert instrument.tick(200) == []
    assert ask(instrument, move(1, 100)) == done(1, CommandStatus.EXPIRED)
    assert ask(instrument, move(2, 0)) == done(2, CommandStatus.EXPIRED)
    assert ask(instrument, move(2, 100)) == done(2, CommandStatus.EXPIRED)
    assert [command.number for command in instrument.begun] == [1]


def stop_check(library: Library) -> None:
    """STOP ends what runs, from any connection, and also what it overtook."""
    instrument = greeted(library)
    ask(instrument, move(1))
    stop = Stop(3, ISSUER, 4)
    assert ask(instrument, stop, 99) == stop
    assert instrument.stops == 1
    for number in (2, 3, 4):
        assert ask(instrument, move(number)) in (None, done(4, CommandStatus.STOPPED))
    assert ask(instrument, move(5)) == done(5, CommandStatus.RUNNING)
    assert [command.number for command in instrument.begun] == [1, 5]
    assert ask(instrument, stop) == stop
    assert ask(instrument, move(5)) == done(5, CommandStatus.STOPPED)
    assert instrument.stops == 2
    instrument.done(CommandStatus.DONE)  # comes too late
    assert ask(instrument, move(5)) == done(5, CommandStatus.STOPPED)


def event_check(library: Library) -> None:
    """An event is sent again until its number is acknowledged, and then no more."""
    instrument = greeted(library)
    instrument.tick(1000)
    assert instrument.event(EventCode.BUTTON, 3, -1)
    assert not instrument.event(EventCode.BUTTON, 4, 1)
    event = InstrumentEvent(EventCode.BUTTON, 3, -1, 1000)
    times = []
    for now in range(1000, 1800):
        frames = instrument.tick(now)
        times += [now] * len(frames)
        assert all(frame == Frame(MessageType.EVENT, 7, 1, event.encode()) for frame in frames)
    assert times == [1000, 1250, 1500, 1750]
    assert ask(instrument, Ack(2, 0)) is None
    assert len(instrument.tick(2000)) == 1
    assert ask(instrument, Ack(1, 0)) is None
    assert instrument.tick(3000) == []
    assert instrument.event(EventCode.SAMPLE_LOADED, 0, 0)
    (frame,) = instrument.tick(3001)
    assert frame == Frame(MessageType.EVENT, 7, 2, InstrumentEvent(EventCode.SAMPLE_LOADED, 0, 0, 3000).encode())
    ask(instrument, Ack(1, 0))
    assert not instrument.event(EventCode.BUTTON, 4, 1)
