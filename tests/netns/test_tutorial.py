# SPDX-License-Identifier: Apache-2.0
"""The tutorial: every command in it is run, and says what the page says."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab import Agent, Lab, Namespace, Tenants
from lab.agent import programs
from lab.world import H1, H3

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^(gw1|blue|red|db|web)[#$] (.*)$")


@contextmanager
def _mirror(namespace: Namespace, address: str) -> Iterator[None]:
    """A web server that answers with the address that it was asked from."""
    listener = namespace.socket()
    listener.bind((address, 80))
    listener.listen()
    listener.settimeout(0.1)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            try:
                connection, peer = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(2)
                connection.recv(65536)
                body = f"{peer[0]}\n"
                connection.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                                   .encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        listener.close()


def _commands(console: str) -> Iterator[tuple[str, str, list[str]]]:
    """Where each command runs, what it is, and the lines that are printed."""
    where, command, output = "", "", []
    for line in console.splitlines():
        if begin := PROMPT.match(line):
            if where:
                yield where, command, output
            where, command, output = begin[1], begin[2], []
        else:
            output.append(line)
    yield where, command, output


def _says(wanted: list[str], said: str) -> bool:
    """A line that is … stands for any lines, and … within a line for anything."""
    pattern = "".join(r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in wanted)
    return re.fullmatch(pattern, said) is not None


def _blocks() -> list[tuple[str, str]]:
    return [(block[1], block[2]) for block in BLOCK.finditer(PAGE.read_text())]


@pytest.fixture(scope="module")
def tenants(lab: Lab) -> Tenants:
    return Tenants(lab)


def test_the_tutorial_holds(tenants: Tenants) -> None:
    (configuration,) = [text for kind, text in _blocks() if kind == "yaml"]
    places = {"gw1": tenants.gateway, "blue": tenants.blue, "red": tenants.red, "db": tenants.red_db,
              "web": tenants.web}
    agent = Agent(tenants.gateway, configuration)
    environment = {**os.environ, "SALLYPORT_SOCKET": agent.api_socket, "PATH": f"{programs()}:{os.environ['PATH']}"}
    done = 0
    with ExitStack() as ending:
        for host, address in ((tenants.web, "0.0.0.0"), (tenants.blue, H1), (tenants.red, H1), (tenants.red_db, H3)):
            ending.enter_context(_mirror(host, address))
        ending.push(agent)
        for where, command, wanted in (one for kind, text in _blocks() if kind == "console"
                                       for one in _commands(text)):
            if command == "systemctl start sallyport":
                agent.start()
                continue
            ran = subprocess.run(places[where].command(["sh", "-c", command]), env=environment, timeout=30,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            assert ran.returncode == 0, f"{where}: {command}\n{ran.stdout}"
            assert _says(wanted, ran.stdout), \
                f"{where}: {command}\nshould say\n" + "\n".join(wanted) + f"\nand says\n{ran.stdout}"
            done += 1
        agent.check_accounts()
    assert done >= 40


def test_what_it_says_can_be_wrong() -> None:
    assert _says(["a…c", "…", "e"], "abc\nd\ne\n")
    assert not _says(["a…c", "…", "e"], "abc\nd\nf\n")
    assert not _says(["a"], "a\nb\n")
