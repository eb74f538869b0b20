"""Whether a Ray cluster can be at an address at all, found out in seconds: Ray itself tries for several minutes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

SECONDS = 10.0  # by hand; for a connection, and then for its first answer
OWN_NAMES = {"localhost", "127.0.0.1", "::1"}  # what Ray replaces by the address that other computers know this one by
# Ray's servers speak gRPC, which is HTTP/2: the client's first bytes with empty settings, and the type of the frame that
# every server answers first (RFC 9113, sections 3.4 and 6.5).
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
FRAME_HEADER, SETTINGS = 9, 4


def check_answers(address: str, own_address: Callable[[], str]) -> None:
    """Connect to "host:port" or "ray://host:port" and see that a gRPC server answers; leave other addresses to Ray.

    `own_address` gives what Ray connects to in place of "localhost". "auto" is what RAY_ADDRESS names, if it names one.
    Raises ConnectionError, which says what was found instead. A gRPC server that is not Ray's is not told from it, and
    with RAY_USE_TLS any server that takes the connection will do.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    if scheme not in ("", "ray") or not host or not port.isdecimal():
        return
    if not scheme and host in OWN_NAMES:
        host = own_address()
    try:
        with socket.create_connection((host, int(port)), SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true") or _speaks_grpc(connection):
                return
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConnectionError(f"{host}, port {port}: {getattr(error, 'strerror', None) or error}") from error
    raise ConnectionError(
        f"what listens at {host}, port {port}, is not Ray: a cluster has port 6379 unless it was started with another one, "
        "and 8265 is only its dashboard"
    )


def _speaks_grpc(connection: socket.socket) -> bool:
    connection.sendall(HELLO)
    answer = b""
    while len(answer) < FRAME_HEADER:
        more = connection.recv(FRAME_HEADER - len(answer))
        if not more:
            return False
        answer += more
    return answer[3] == SETTINGS
