# SPDX-License-Identifier: Apache-2.0
"""Real servers and clients inside the namespaces."""

import errno
import hashlib
import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from collections.abc import Iterator
from typing import Any

from .core import LabError, Namespace, Process, eventually


def _accepts(namespace: Namespace, address: str, port: int) -> bool:
    with namespace.socket(timeout=2) as probe:
        try:
            probe.connect((address, port))
            return True
        except OSError:
            return False


def nginx(namespace: Namespace, address: str, files: dict[str, bytes], port: int = 80,
          rate: str = "") -> Process:
    """Serves `files`; the log tells the address and port that each request came from. `rate`: bytes a second."""
    lab = namespace.lab
    root = lab.path(f"{namespace.role}-www")
    os.makedirs(root, exist_ok=True)
    for name, content in files.items():
        with open(f"{root}/{name}", "wb") as file:
            file.write(content)
    configuration = lab.write(f"{namespace.role}-nginx.conf", f"""
        user root;
        daemon off;
        master_process off;
        pid {lab.path(namespace.role)}-nginx.pid;
        error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            log_format clients '$remote_addr:$remote_port "$request" $status $body_bytes_sent';
            access_log {nginx_log(namespace)} clients;
            client_body_temp_path {root}/.body;
            client_max_body_size 0;
            proxy_temp_path {root}/.proxy;
            fastcgi_temp_path {root}/.fastcgi;
            uwsgi_temp_path {root}/.uwsgi;
            scgi_temp_path {root}/.scgi;
            server {{
                listen {address}:{port};
                root {root};
                {f"limit_rate {rate};" if rate else ""}
                location = /who {{ return 200 "$remote_addr:$remote_port\\n"; }}
            }}
        }}
        """)
    process = namespace.start("nginx", "-c", configuration, "-p", root)
    eventually(lambda: _accepts(namespace, address, port), what=f"nginx on {address}:{port}\n{process.output}")
    return process


def nginx_log(namespace: Namespace) -> str:
    return namespace.lab.path(f"{namespace.role}-access.log")


def random_file(size: int) -> bytes:
    return os.urandom(size)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def iperf3_server(namespace: Namespace, address: str, port: int = 5201) -> Process:
    process = namespace.start("iperf3", "-s", "-B", address, "-p", port)
    # A connection that says nothing would keep iperf3 waiting: look whether it listens.
    eventually(lambda: f"{address}:{port}" in namespace.run("ss", "-Hltn").stdout, what="iperf3 listens")
    return process


def iperf3(namespace: Namespace, address: str, seconds: int, *options: object, port: int = 5201) -> dict[str, Any]:
    """Runs a client to its end and gives what it reports."""
    return iperf3_result(start_iperf3(namespace, address, seconds, *options, port=port), seconds)


def start_iperf3(namespace: Namespace, address: str, seconds: int, *options: object, port: int = 5201) -> Process:
    return namespace.start("iperf3", "-c", address, "-p", port, "-t", seconds, "-J", "--connect-timeout", 5000,
                           *options)


def iperf3_result(process: Process, seconds: int) -> dict[str, Any]:
    process.wait(seconds + 20)
    # It may warn before it reports: of datagrams that are larger than a link's MTU, for one.
    result = json.loads(process.output[process.output.index("{"):])
    if "error" in result:
        raise LabError(f"iperf3: {result['error']}")
    return result


def dns_server(namespace: Namespace, address: str, names: dict[str, str]) -> Process:
    lab = namespace.lab
    process = namespace.start("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null",
                              "--user=root", "--log-facility=-", "--log-queries", f"--listen-address={address}",
                              "--bind-interfaces", "--no-poll", f"--pid-file={lab.path('dnsmasq.pid')}",
                              *(f"--address=/{name}/{value}" for name, value in names.items()))
    eventually(lambda: _accepts(namespace, address, 53), what=f"dnsmasq on {address}")
    return process


@contextmanager
def echo_server(namespace: Namespace, address: str, port: int, kind: int = socket.SOCK_STREAM) -> Iterator[list[Any]]:
    """Sends back what it is sent. Gives a list of the peers that it has met, in order."""
    peers: list[Any] = []
    server = namespace.socket(kind, timeout=0.1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    ending = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(0.1)
        with connection:
            while not ending.is_set():
                try:
                    data = connection.recv(65536)
                    if not data:
                        return
                    connection.sendall(data)
                except TimeoutError:
                    continue
                except OSError:
                    return

    def work() -> None:
        while not ending.is_set():
            try:
                if kind == socket.SOCK_DGRAM:
                    data, peer = server.recvfrom(65535)
                    peers.append(peer)
                    server.sendto(data, peer)
                else:
                    connection, peer = server.accept()
                    peers.append(peer)
                    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                    threads[-1].start()
            except OSError:
                continue

    if kind == socket.SOCK_STREAM:
        server.listen(1024)
    main = threading.Thread(target=work, daemon=True)
    main.start()
    try:
        yield peers
    finally:
        ending.set()
        main.join()
        for thread in threads:
            thread.join()
        server.close()


def refusal(namespace: Namespace, address: str, port: int, source: str = "", timeout: float = 1.0) -> str:
    """How an attempt to connect fails: by name of the error, or "silence"; "none" where it does not."""
    with namespace.socket(timeout=timeout) as client:
        if source:
            client.bind((source, 0))
        try:
            client.connect((address, port))
        except TimeoutError:
            return "silence"
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return "none"


class Conversation:
    """A TCP connection that counts its bytes both ways: data is sent and must come back as it was."""

    def __init__(self, namespace: Namespace, address: str, port: int, source: str | None = None):
        self.socket = namespace.socket()
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((address, port))
        self.rounds = 0

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, size: int = 100, timeout: float = 10.0) -> None:
        data = os.urandom(size)
        self.socket.settimeout(timeout)
        self.socket.sendall(data)
        back = b""
        while len(back) < size:
            more = self.socket.recv(65536)
            if not more:
                raise LabError("the connection was closed in the middle of a conversation")
            back += more
        if back != data:
            raise LabError("the connection gave back other bytes than were sent")
        self.rounds += 1

    def retransmissions(self) -> int:
        """tcpi_total_retrans of the kernel's struct tcp_info."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int.from_bytes(info[100:104], "little")


class Chatter:
    """A conversation that goes on by itself until it is ended."""

    def __init__(self, namespace: Namespace, address: str, port: int, interval: float = 0.005, size: int = 200):
        self.conversation = Conversation(namespace, address, port)
        self.failure: BaseException | None = None
        self.longest = 0.0  # that a round took
        self._ending = threading.Event()
        self._interval, self._size = interval, size
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Chatter":
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.conversation.socket.close()

    def _work(self) -> None:
        try:
            while not self._ending.wait(self._interval):
                started = time.monotonic()
                self.conversation.say(self._size)
                self.longest = max(self.longest, time.monotonic() - started)
        except BaseException as error:  # noqa: BLE001 - looked at by check()
            self.failure = error

    def check(self, retransmissions: int = 2, longest: float = 2.0) -> None:
        """Fails if the conversation broke, stands still or stood still, or had more to send again.

        A stray segment that is sent again is a busy machine's doing; what is looked for here comes in bursts.
        """
        before = self.conversation.rounds
        eventually(lambda: self.failure or self.conversation.rounds > before + 3, what="the conversation goes on")
        if self.failure:
            raise LabError(f"the conversation broke after {self.conversation.rounds} rounds: {self.failure!r}")
        if (lost := self.conversation.retransmissions()) > retransmissions:
            raise LabError(f"{lost} segments of the conversation had to be sent again")
        if self.longest > longest:
            raise LabError(f"the conversation stood still for {self.longest:.1f} s")
