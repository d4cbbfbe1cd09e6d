# SPDX-License-Identifier: Apache-2.0
"""Sees every frame of a device, and knows when it did not."""

import errno
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable

from .core import LabError, Namespace, eventually
from .frames import Packet, ethernet, parse

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_IGNORE_OUTGOING = 263, 6, 23
_SO_RCVBUFFORCE = 33
_PACKET_OUTGOING = 4
Filter = Callable[[Packet], bool]


class Capture:
    """Records the frames of one device from the moment it is made until stop() or the end of a with statement.

    Frames that XDP redirects or drops are not seen on the device where it does so: capture at the far end.
    """

    def __init__(self, namespace: Namespace, device: str, *, outgoing: bool = False, keep: Filter | None = None,
                 raw: bool = False):
        self.device = device
        self._keep = keep
        self._raw = raw
        self.frames: list[bytes] = []   # with raw: what has come, unread
        self.packets: list[Packet] = []
        self._socket = namespace.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 256 << 20)
        if not outgoing:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        namespace.call(lambda: self._socket.bind((device, _ETH_P_ALL)))
        self._socket.settimeout(0.05)
        self._ending = False
        self._asked, self._asked_at = False, 0.0
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        while True:
            if self._asked and not self._more_to_come():
                self._asked = False
                self._caught_up.set()
                if self._ending:
                    return
            try:
                frame, address = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # told once when the device goes down; it may come up again
                    continue
                return
            if self._raw:
                self.frames.append(frame)
                continue
            packet = parse(frame, time.monotonic(), address[2] == _PACKET_OUTGOING)
            if self._keep is None or self._keep(packet):
                self.packets.append(packet)

    def _more_to_come(self) -> bool:
        """Whether frames wait that came before settle() was called, as far as one can tell on a busy wire."""
        left = self._asked_at + 0.1 - time.monotonic()
        return bool(select.select([self._socket], [], [], max(0.0, left))[0]) and left > -2.0

    def settle(self) -> None:
        """Returns when all that has come so far is in `packets`."""
        self._caught_up.clear()
        self._asked_at, self._asked = time.monotonic(), True
        self._caught_up.wait(10)

    def stop(self) -> list[Packet]:
        """Ends the recording, makes sure that nothing was missed, and gives what was seen."""
        if not self._ending:
            self._ending = True
            self.settle()
            self._thread.join()
            _, missed = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
            self._socket.close()
            if missed:
                raise LabError(f"the capture on {self.device} missed {missed} frames")
        return self.packets

    def wait_for(self, wanted: Filter, count: int = 1, timeout: float = 5.0, what: str = "a packet") -> list[Packet]:
        """Waits until `count` packets have come that are `wanted`, and gives them."""
        return eventually(lambda: (found := [p for p in list(self.packets) if wanted(p)]) and len(found) >= count
                          and found, timeout, what=f"{count} of {what} on {self.device}")

    def matching(self, wanted: Filter) -> list[Packet]:
        return [packet for packet in self.packets if wanted(packet)]


class Wire:
    """Sends frames out of a device as they are given, and nothing else."""

    def __init__(self, namespace: Namespace, device: str, gateway_mac: str):
        """`gateway_mac`: where send_ip() sends its packets to."""
        self._socket = namespace.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        namespace.call(lambda: self._socket.bind((device, 0)))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self.mac = namespace.mac(device)
        self.gateway_mac = gateway_mac
        self.sent = 0
        self.refused = 0  # times that the peer's queue was full; those frames were sent again

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def header(self) -> bytes:
        return ethernet(self.mac, self.gateway_mac, b"")

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self._socket.send(frame)
        self.sent += len(frames)

    def send_many(self, frames: Iterable[bytes], pause_every: int = 64) -> int:
        """Sends fast, and yields now and then so that a receiver on the same processor is not outrun."""
        count = 0
        for frame in frames:
            self._send_in_turn(frame)
            count += 1
            if count % pause_every == 0:
                time.sleep(0)
        self.sent += count
        return count

    def _send_in_turn(self, frame: bytes) -> None:
        """A veth's peer takes 256 frames at a time and may be kept from taking them. What it refuses it has dropped."""
        for _ in range(2000):
            try:
                self._socket.send(frame)
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.refused += 1
                time.sleep(0.001)
        raise LabError("the other end has taken no frame for two seconds")

    def send_ip(self, packet: bytes) -> None:
        self.send(ethernet(self.mac, self.gateway_mac, packet))
