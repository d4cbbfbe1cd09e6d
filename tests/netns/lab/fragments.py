# SPDX-License-Identifier: Apache-2.0
"""Datagrams in fragments, sent in any order."""

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .agent import Agent
from .capture import Wire
from .core import Namespace, eventually
from .frames import ipv4
from .world import WEB

ORDERS = list(itertools.permutations(range(3)))


def fragments(source: str, destination: str, protocol: int, segment: bytes, identification: int,
              most: int = 1480) -> list[bytes]:
    return [ipv4(source, destination, protocol, segment[at:at + most], identification=identification,
                 dont_fragment=False, more_fragments=at + most < len(segment), offset=at)
            for at in range(0, len(segment), most)]


def send_in_all_orders(wire: Wire, datagrams: list[list[bytes]], pause: float) -> None:
    """Datagram n of three fragments in the n-th order; the pause is between the fragments of each."""
    for step in range(3):
        for order, pieces in zip(ORDERS, datagrams, strict=True):
            wire.send_ip(pieces[order[step]])
        if step < 2:
            time.sleep(pause)


def receive(receiver: socket.socket, count: int) -> set[bytes]:
    receiver.settimeout(5)
    return {receiver.recv(65535) for _ in range(count)}


@contextmanager
def flow(host: Namespace, source: str, port: int, agent: Agent) -> Iterator[tuple[socket.socket, int]]:
    """A socket inside that has sent to WEB:7, and the external port that it has."""
    with host.socket(socket.SOCK_DGRAM) as inside:
        inside.bind((source, port))
        inside.sendto(b"open", (WEB, 7))
        found = eventually(lambda: agent.flows("--inside", f"{source}:{port}"))
        yield inside, int(found[0]["external"].rsplit(":", 1)[1])
