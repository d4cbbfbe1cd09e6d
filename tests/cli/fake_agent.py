# SPDX-License-Identifier: Apache-2.0
"""An agent that gives prepared answers on a Unix socket and remembers what it was asked."""

import json
import os
import shutil
import socketserver
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ANSWERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "answers")


def prepared(name: str) -> dict[str, Any]:
    """An answer that is kept in a file of answers/."""
    with open(os.path.join(ANSWERS, f"{name}.json"), encoding="utf-8") as file:
        return json.load(file)


def problem(status: int, title: str, detail: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return status, {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeAgent:
    """`answers` maps "GET /v1/status" to an object, to (status, object), to bytes that are sent as they are, or
    to a list of those, one for each time. With the status 0 it says nothing and closes. What is not there is 404.
    `headers` go with every answer."""

    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=lambda: {"Sallyport-Revision": "3"})

    def __enter__(self) -> "FakeAgent":
        # Not in pytest's own folder: a socket's path has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="sallyport-")
        self.socket = os.path.join(self.folder, "api.sock")
        agent = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                agent.requests.append(Request(self.command, url.path, dict(parse_qsl(url.query)),
                                              json.loads(body) if body else None, dict(self.headers)))
                status, content = agent.answer_to(f"{self.command} {url.path}")
                if status == 0:  # the connection breaks instead
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in agent.headers.items():
                    self.send_header(name, value)
                if status in (204, 304):
                    self.end_headers()
                    return
                self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: Any) -> None:
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(self.socket, Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)

    def answer_to(self, request: str) -> tuple[int, bytes]:
        answer = self.answers.get(request, problem(404, "not found", f"there is no {request}"))
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else problem(500, "no more", f"no more answers to {request}")
        status = 200
        if isinstance(answer, tuple):
            status, answer = answer
        return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
