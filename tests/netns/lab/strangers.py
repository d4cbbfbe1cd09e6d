# SPDX-License-Identifier: Apache-2.0
"""Clients that a server on the network has to live with: slow ones, greedy ones, and such that speak no HTTP.

A program of its own, so that what they do costs the tests no time: strangers.py PORT plain|tls TOKEN. It says
"ready" when all of them are at work, and counts at its end, which comes when its standard input is closed.
"""

import json
import random
import socket
import ssl
import sys
import threading
import time

# Each stranger has an address of its own on loopback; each address has so many connections.
ADDRESSES = 24
CONNECTIONS = 60
DRIBBLE = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


class Strangers:
    def __init__(self, port: int, tls: bool, token: str):
        self.server = ("127.0.0.1", port)
        self.tls = tls
        self.token = token
        self.stop = threading.Event()
        self.counts: dict[str, int] = {}
        self.lock = threading.Lock()

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def connect(self, number: int) -> socket.socket:
        made = socket.socket()
        made.settimeout(3)
        try:
            made.bind((f"127.0.2.{1 + number % ADDRESSES}", 0))
            made.connect(self.server)
            if self.tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                made = context.wrap_socket(made)
        except OSError:
            made.close()
            raise
        return made

    def dribble(self) -> None:
        """Many connections at once, each of which says a little now and then and never all."""
        alive: list[socket.socket] = []
        while not self.stop.is_set():
            while len(alive) < ADDRESSES * CONNECTIONS and not self.stop.is_set():
                stranger = socket.socket()
                stranger.setblocking(False)
                try:
                    stranger.bind((f"127.0.2.{1 + len(alive) % ADDRESSES}", 0))
                    stranger.connect(self.server)
                except BlockingIOError:
                    pass
                except OSError:
                    stranger.close()
                    break
                alive.append(stranger)
                self.count("slow")
            gone = []
            for stranger in alive:
                try:
                    stranger.send(DRIBBLE[:1] if random.random() < 0.5 else b"x")
                    if not stranger.recv(4096):
                        gone.append(stranger)
                except BlockingIOError:
                    pass
                except OSError:
                    gone.append(stranger)
            for stranger in gone:
                stranger.close()
                alive.remove(stranger)
                self.count("slow, closed")
            time.sleep(0.1)
        for stranger in alive:
            stranger.close()

    def babble(self) -> None:
        """Garbage, with and without a beginning that makes sense."""
        beginnings = [b"", b"GET ", b"POST /v1/apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: ",
                      b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000]
        while not self.stop.is_set():
            try:
                with self.connect(random.randrange(ADDRESSES)) as stranger:
                    stranger.sendall(random.choice(beginnings) + random.randbytes(random.randrange(2000)) + b"\r\n\r\n")
                    stranger.recv(4096)
                self.count("garbage")
            except OSError:
                self.count("garbage, refused")
            time.sleep(0.005)

    def heave(self, token: str) -> None:
        """Bodies that are larger than allowed, and such that only claim to be."""
        piece = b"x" * 65536
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        while not self.stop.is_set():
            size = random.choice([17 << 20, 16 << 20, 1 << 40])
            chunked = random.random() < 0.5
            length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
            try:
                with self.connect(random.randrange(ADDRESSES)) as stranger:
                    stranger.sendall(f"POST /v1/plan HTTP/1.1\r\nHost: localhost\r\n{authorization}"
                                     f"Content-Type: application/json\r\n{length}\r\n\r\n".encode())
                    for _ in range(300):
                        stranger.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            except OSError:
                pass
            self.count("large")

    def ask(self, token: str) -> None:
        """As fast as one can, on one connection after the other."""
        request = (f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n").encode()
        while not self.stop.is_set():
            try:
                with self.connect(random.randrange(ADDRESSES)) as stranger:
                    for _ in range(20):
                        stranger.sendall(request)
                        answer = b""
                        while not answer.endswith(b"}\n") and (more := stranger.recv(65536)):
                            answer += more
                        self.count(answer[9:12].decode(errors="replace") or "closed")
                        if not answer:
                            break
            except OSError:
                self.count("refused")
            time.sleep(0.002)

    def shake(self) -> None:
        """Hands, and nothing else: each handshake costs the server a signature."""
        while not self.stop.is_set():
            try:
                self.connect(random.randrange(ADDRESSES)).close()
                self.count("handshakes")
            except OSError:
                self.count("handshakes, refused")

    def run(self) -> None:
        works = [self.dribble, self.babble, self.babble, lambda: self.heave(""), lambda: self.heave(self.token),
                 lambda: self.ask("guess"), lambda: self.ask(self.token)]
        works += [self.shake] * 3 if self.tls else []
        threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        print("ready", flush=True)
        sys.stdin.read()
        self.stop.set()
        for thread in threads:
            thread.join(5)
        print(json.dumps(self.counts), flush=True)


if __name__ == "__main__":
    Strangers(int(sys.argv[1]), sys.argv[2] == "tls", sys.argv[3]).run()
