# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from fake_agent import FakeAgent

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SALLYPORT_BUILD", os.path.join(ROOT, "build"))
PROGRAMS = os.environ.get("SALLYPORT_PROGRAMS", os.path.join(BUILD, "bin"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what came instead of comparing it")


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    with FakeAgent() as running:
        yield running


Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run() -> Run:
    """Runs a program with nothing of the caller's environment that could change what it prints."""

    def run_program(*words: str, **more: object) -> subprocess.CompletedProcess:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **more.pop("env", {})}
        return subprocess.run([os.path.join(PROGRAMS, words[0]), *words[1:]], env=environment, text=True,
                              capture_output=True, timeout=30, check=False, **more)

    return run_program


@pytest.fixture
def sallyport(run: Run, agent: FakeAgent) -> Run:
    """Runs the command line against the fake agent."""

    def run_sallyport(*words: str, **more: object) -> subprocess.CompletedProcess:
        more["env"] = {"SALLYPORT_SOCKET": agent.socket, **more.get("env", {})}
        return run("sallyport", *words, **more)

    return run_sallyport


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with the one kept in golden/. `pytest --update-golden` keeps the new one: look at the
    difference before you commit it."""

    def compare(name: str, text: str) -> None:
        path = os.path.join(HERE, "golden", name)
        if request.config.getoption("--update-golden"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return
        with open(path, encoding="utf-8") as file:
            assert text == file.read(), f"differs from golden/{name}"

    return compare
