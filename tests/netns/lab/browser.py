# SPDX-License-Identifier: Apache-2.0
"""A real browser without a screen, and a web site whose pages call an API and tell what came of it."""

import json
import os
import queue
import shutil
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from .core import LabError, Namespace, Process

PROGRAMS = ("chromium-headless-shell", "chromium")
# After so many seconds a site closes a connection on which nothing was asked: a browser opens some in advance.
IDLE_TIME = 0.5

# A page does its steps in order, each one fetch(), and tells what a script can know of each: status, the headers that
# it may read and the body, or the name of the error. "<step.header>" in an address or a header stands for a header of
# an earlier answer. Then it waits to be told where to go.
_PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>page</title><link rel="icon" href="data:,"><script>
(async () => {
  const page = @PAGE@, answers = {};
  const filled = text => text.replace(/<(\\w+)\\.([a-z-]+)>/g, (_, step, name) => answers[step].headers[name]);
  for (const {name, url, ...options} of page.steps) {
    for (const header in options.headers) options.headers[header] = filled(options.headers[header]);
    try {
      const answer = await fetch(filled(url), options);
      answers[name] = {status: answer.status, type: answer.type, headers: Object.fromEntries(answer.headers),
                       body: await answer.text()};
    } catch (error) {
      answers[name] = {error: error.name, headers: {}};
    }
  }
  await fetch(page.desk + "/report", {method: "POST", mode: "no-cors", body: JSON.stringify(answers)});
  location = await (await fetch(page.desk + "/next")).text();
})();
</script>"""


class Step(dict[str, Any]):
    """One fetch() of a page."""

    def __init__(self, name: str, method: str, url: str, body: Any = None, *, headers: dict[str, str] | None = None,
                 **options: Any):
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            options["body"] = json.dumps(body)
        super().__init__(name=name, method=method, url=url, headers=headers, **options)

    @property
    def name(self) -> str:
        return self["name"]


class Answer(dict[str, Any]):
    """What the script has got: `status`, `type`, `headers` and `body`, or `error`."""

    @property
    def json(self) -> Any:
        return json.loads(self["body"])

    @property
    def outcome(self) -> int | str:
        """The status, or the name of the error."""
        return self.get("error") or self["status"]


Answers = dict[str, Answer]


class Desk:
    """Where the pages of one browser report, and learn which page is next."""

    def __init__(self) -> None:
        self.reports: queue.Queue[Answers] = queue.Queue()
        self.directions: queue.Queue[str] = queue.Queue()


class Site:
    """Serves pages at an address and port, under whatever name the browser comes by. A step that asks for
    /hook/NAME of it calls what `hooks` has there."""

    def __init__(self, namespace: Namespace, address: str, port: int,
                 hooks: dict[str, Callable[[], object]] | None = None):
        self.port = port
        self.desks: list[Desk] = []
        self._hooks = hooks or {}
        self._pages: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            timeout = IDLE_TIME

            def do_GET(self) -> None:
                _, kind, name, *_ = f"{self.path}/".split("/")
                if kind == "page":
                    self.answer(site._pages[int(name)], "text/html; charset=utf-8")
                elif kind == "hook":
                    site._hooks[name]()
                    self.answer("done")
                elif kind == "desk":
                    self.answer(site.desks[int(name)].directions.get())
                else:
                    self.send_error(404)

            def do_POST(self) -> None:
                answers = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer("")
                desk = site.desks[int(self.path.split("/")[2])]
                desk.reports.put({name: Answer(answer) for name, answer in answers.items()})

            def answer(self, text: str, kind: str = "text/plain") -> None:
                content = text.encode()
                self.send_response(200)
                for field in (("Content-Type", kind), ("Content-Length", str(len(content))), ("Connection", "close"),
                              ("Cache-Control", "no-store"), ("Access-Control-Allow-Origin", "*")):
                    self.send_header(*field)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = namespace.call(lambda: Server((address, port), Handler))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_page(self, content: dict[str, Any]) -> str:
        """Gives the path of the page."""
        # In a script "<" could begin its end.
        self._pages.append(_PAGE.replace("@PAGE@", json.dumps(content).replace("<", "\\u003c")))
        return f"/page/{len(self._pages) - 1}"


class Browser:
    """One browser that knows nothing yet; its caches last as long as itself. To be used in a with statement."""

    def __init__(self, namespace: Namespace, site: Site, home: str, names: dict[str, str], *, trusted_key: str = ""):
        """`home` is the origin of `site` that pages report to. `names` has the address of each name there is.
        `trusted_key`: the hash of the key of a server whose certificate nobody has signed."""
        program = next((name for name in PROGRAMS if shutil.which(name)), None)
        if program is None:
            raise LabError(f"there is no {PROGRAMS[0]}: ./dev deps browser")
        self._namespace, self._site, self._desk = namespace, site, Desk()
        self._desk_url = f"{home}/desk/{len(site.desks)}"
        site.desks.append(self._desk)
        data = namespace.lab.path(namespace.lab.unused_name("browser"))
        rules = ", ".join(f"MAP {name} {address}" for name, address in names.items())
        self._environment = {"HOME": data}
        self._arguments = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={data}", f"--host-resolver-rules={rules}",
            *([f"--ignore-certificate-errors-spki-list={trusted_key}"] if trusted_key else [])]
        self._process: Process | None = None

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            # Debian's program is a script that waits for the browser, which has processes of its own.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)

    def visit(self, origin: str, steps: Sequence[Step], *, site: Site | None = None, timeout: float = 40.0) -> Answers:
        """Opens a page of this origin, which `site` serves, and gives what its script has got."""
        url = origin + (site or self._site).add_page({"steps": steps, "desk": self._desk_url})
        if self._process is None:
            self._process = self._namespace.start(*self._arguments, url, environment=self._environment)
        else:
            self._desk.directions.put(url)
        end = time.monotonic() + timeout
        while self._process.running() and time.monotonic() < end:
            try:
                return self._desk.reports.get(timeout=0.2)
            except queue.Empty:
                pass
        raise LabError(f"the page told nothing within {timeout:g} s:\n{self._process.output[-4000:]}")
