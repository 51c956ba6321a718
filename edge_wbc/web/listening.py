"""Where a server listens, and whether it may: what would be open to the network unguarded is refused."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from edge_wbc.errors import EnvironmentMissing, InputRefused, UsageError, reason
from edge_wbc.web.connection import BUFFER_BYTES, MOST, MOST_OF_ONE, Listening
from edge_wbc.web.served import LOOPBACK_NAMES, Served, is_loopback, own_names

PORT = 8642


@dataclass(frozen=True, slots=True)
class Serving:
    """Where to listen, and who may come in."""

    host: str = "127.0.0.1"
    port: int = PORT
    """0: any that is free."""
    certificate: Path | None = None
    key: Path | None = None
    """Of the certificate; None where that file holds it too."""
    users: Path | None = None
    """The file of users; None: the one in the user's data folder."""
    names: tuple[str, ...] = ()
    """Names that people reach it under, besides this machine's own."""
    behind_proxy: bool = False
    """Whether a reverse proxy does the TLS and says who comes."""

    @property
    def secure(self) -> bool:
        return self.certificate is not None or self.behind_proxy


def check(serving: Serving, *, has_users: bool) -> bool:
    """Whether only this machine itself can reach it.

    :raises UsageError: it would be open to the network without users, or without TLS.
    :raises EnvironmentMissing: nothing is known under the name of the host.
    """
    if serving.key is not None and serving.certificate is None:
        raise UsageError("--key without --certificate; name the file of the certificate too")
    try:
        loopback = is_loopback(serving.host)
    except (OSError, UnicodeError):
        raise EnvironmentMissing(f"no address is known for {serving.host!r}; name another --host") from None
    where = "behind a proxy" if serving.behind_proxy else f"on {serving.host}"
    if not has_users and (serving.behind_proxy or not loopback):
        raise UsageError(
            f"{where} others can come in, and there are no users; first `edge-wbc users add NAME --role administrator`"
        )
    if not loopback and not serving.secure:
        raise UsageError(
            f"on {serving.host} passwords would cross the network in the clear; give --certificate and --key, "
            "or --behind-proxy where a reverse proxy does the TLS"
        )
    return loopback


def listen(serving: Serving) -> Listening:
    """:raises EnvironmentMissing: the address can't be listened on."""
    try:
        found = socket.getaddrinfo(serving.host, serving.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = Listening(family, kind, protocol, most_of_one=MOST if serving.behind_proxy else MOST_OF_ONE)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            listening.bind(address)
            listening.listen(MOST)
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise EnvironmentMissing(
            f"{serving.host}, port {serving.port}: {words}; end what listens there, or name another --port"
        ) from None
    return listening


def tls(serving: Serving) -> ssl.SSLContext | None:
    """:raises InputRefused: certificate or key can't be used."""
    if serving.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in (serving.certificate, *([serving.key] if serving.key else [])):
        try:
            file.open("rb").close()
        except OSError as error:
            raise InputRefused(f"{file}: {reason(error)}; name a file in PEM that this account may read") from None
    try:
        context.load_cert_chain(serving.certificate, serving.key, lambda: "")
    except (OSError, ValueError):  # OpenSSL's own words help nobody
        raise InputRefused(
            f"{serving.certificate}: no certificate in PEM, or its key does not fit or has a password; give both open"
        ) from None
    return context


def served(serving: Serving, port: int, *, loopback: bool) -> Served:
    """Under which names it goes."""
    more = {name.lower() for name in serving.names}
    if not loopback:
        more |= own_names() | {serving.host.lower()}
    return Served(
        names=LOOPBACK_NAMES | more,
        any_address=not loopback,
        secure=serving.secure,
        proxied=serving.behind_proxy,
        port=port,
    )


def address(serving: Serving, port: int, token: str | None) -> str:
    """What a person opens."""
    if serving.behind_proxy:
        return f"https://{(serving.names or (socket.gethostname(),))[0]}/"
    wild = serving.host in ("", "0.0.0.0", "::")
    host = (serving.names or (socket.gethostname(),))[0] if wild else serving.host
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if serving.secure else 'http'}://{host}:{port}/" + (f"?token={token}" if token else "")
