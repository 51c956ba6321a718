"""How delivery goes on after a greeting. No input or output: what the host knows and what the instrument told."""

from __future__ import annotations

from dataclasses import replace

from firmware_bridge.errors import ProtocolError
from firmware_bridge.messages import HelloAck
from firmware_bridge.protocol import seq_distance
from firmware_bridge.schema import Persistence
from firmware_bridge.store import Resumption, Stream


def decide(stream: Stream, acknowledged: int, maybe_sent: int, hello: HelloAck, fresh_id: int) -> Resumption:
    """Return what a HELLO_ACK means for what waits behind position ``acknowledged``.

    Bytes may have gone out up to position ``maybe_sent``. An instrument that remembers the stream says itself how
    far it came. One that does not, or a RAM_ONLY one that has started again, leaves what was in flight in doubt: it
    goes out again, flagged. COMMIT_BEFORE counts a message before it takes effect: started again, the last one
    counted is in doubt, and is not repeated.

    :param fresh_id: the stream to start where the instrument does not know ours.
    :raises ProtocolError: the instrument remembers less than it acknowledged, or more than was sent.
    """
    restarted = stream.boot_id is not None and (stream.boot_id, stream.unique_id) != (hello.boot_id, hello.unique_id)
    met = replace(stream, boot_id=hello.boot_id, unique_id=hello.unique_id)
    if hello.stream_id != stream.stream_id:
        in_flight = 0 if stream.boot_id is None else maybe_sent  # nothing goes out before the first instrument is known
        return Resumption(replace(met, stream_id=fresh_id, start=acknowledged), acknowledged, repeated=in_flight)
    covered = seq_distance(hello.last_applied_seq, stream.seq(acknowledged))
    if covered < 0:
        raise ProtocolError(
            f"the instrument remembers message {hello.last_applied_seq}, but acknowledged {stream.seq(acknowledged)}: "
            "its memory is damaged; have it repaired, or start a new stream by `edge-wbc instrument log --new-stream`"
        )
    if acknowledged + covered > maybe_sent:
        raise ProtocolError(
            f"the instrument remembers message {hello.last_applied_seq}, which was never sent "
            f"(the newest was {stream.seq(maybe_sent)}): the outbox was copied or restored; "
            "start a new stream by `edge-wbc instrument log --new-stream`"
        )
    reached = acknowledged + covered
    if restarted and hello.persistence == Persistence.COMMIT_BEFORE:
        return Resumption(met, reached, withheld=reached if covered else None)
    if restarted and hello.persistence != Persistence.ATOMIC:
        return Resumption(met, reached, repeated=maybe_sent)
    return Resumption(met, reached)
