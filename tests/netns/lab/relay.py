# SPDX-License-Identifier: Apache-2.0
"""A network between two devices that delivers the fragments of each datagram backwards."""

import select
import socket
import threading

from .core import Namespace
from .frames import parse

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23


class BackwardRelay:
    """Passes frames from one device of a namespace to the other; fragments when their datagram is there whole."""

    def __init__(self, namespace: Namespace, devices: tuple[str, str]):
        self.turned = 0  # datagrams
        self._sockets = []
        for device in devices:
            packet_socket = namespace.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            packet_socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            namespace.call(lambda opened=packet_socket, name=device: opened.bind((name, _ETH_P_ALL)))
            self._sockets.append(packet_socket)
        self._waiting: dict[tuple[str, str, int, int], dict[int, bytes]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> "BackwardRelay":
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for packet_socket in self._sockets:
            packet_socket.close()

    def _work(self) -> None:
        first, second = self._sockets
        while not self._ended.is_set():
            for readable in select.select(self._sockets, [], [], 0.05)[0]:
                for frame in self._pass(readable.recv(65535)):
                    (second if readable is first else first).send(frame)

    def _pass(self, frame: bytes) -> list[bytes]:
        packet = parse(frame)
        if not (packet.more_fragments or packet.offset):
            return [frame]
        key = (packet.source, packet.destination, packet.protocol, packet.identification)
        pieces = self._waiting.setdefault(key, {})
        pieces[packet.offset] = frame
        reached = 0
        for offset in sorted(pieces):
            piece = parse(pieces[offset])
            if offset != reached:
                return []
            reached = offset + len(piece.ip) - 20
            if not piece.more_fragments:
                del self._waiting[key]
                self.turned += 1
                return [pieces[at] for at in sorted(pieces, reverse=True)]
        return []
