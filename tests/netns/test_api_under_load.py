# SPDX-License-Identifier: Apache-2.0
"""Whatever strangers do on the network, the agent answers on its Unix socket, and traffic flows."""

import hashlib
import json
import os
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Agent, Lab, Routed, eventually
from lab.world import WEB

PORT = 9711
SECONDS = 6.0
TOKEN = secrets.token_urlsafe(32)


@pytest.fixture(scope="module", params=["plain", "tls"])
def listener(request: pytest.FixtureRequest, lab: Lab, world: Routed) -> dict[str, Any]:
    tokens = lab.write("tokens", f"ci:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    os.chmod(tokens, 0o600)
    section: dict[str, Any] = {"listen": f"127.0.0.1:{PORT}", "tokens_file": tokens}
    if request.param == "tls":
        section["tls"] = {"certificate": lab.path("gw1.pem"), "key": lab.path("gw1.key")}
        world.gateway.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=gw1",
                          "-keyout", section["tls"]["key"], "-out", section["tls"]["certificate"])
        os.chmod(section["tls"]["key"], 0o600)
    return section


@pytest.fixture(scope="module")
def agent(world: Routed, listener: dict[str, Any]) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration(api=listener)) as running:
        yield running


@pytest.fixture
def strangers(world: Routed, agent: Agent, listener: dict[str, Any]) -> Iterator["subprocess.Popen[str]"]:
    del agent
    program = Path(__file__).with_name("lab") / "strangers.py"
    process = subprocess.Popen(
        world.gateway.command(["nice", "-n", "10", sys.executable, program, PORT,
                               "tls" if "tls" in listener else "plain", TOKEN]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)))  # noqa: PLW1509
    assert process.stdout and process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()


def _memory(agent: Agent) -> int:
    """In use by the agent, in MiB."""
    pids = agent.namespace.run("pgrep", "-f", f"sallyportd.*{agent.name}/").stdout.split()
    return max(int(line.split()[1]) for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()
               if line.startswith("VmRSS")) // 1024


def _measured(seconds: float, act: Any) -> list[float]:
    """How long each of many calls takes, one after the other."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        act()
        took.append(time.monotonic() - begun)
        time.sleep(0.01)
    return sorted(took)


def test_strangers_disturb_nobody(world: Routed, agent: Agent, listener: dict[str, Any],
                                  strangers: "subprocess.Popen[str]") -> None:
    def ask() -> None:
        status, _, body = agent.request("GET", "/v1/status")
        assert status == 200 and body["gateway"] == "gw1"
    answers = _measured(SECONDS / 2, ask)
    commands = _measured(SECONDS / 2, agent.status)
    ping = world.h1.run("ping", "-q", "-c", "50", "-i", "0.02", WEB)
    memory = _memory(agent)
    counts = json.loads(strangers.communicate(timeout=20)[0])
    told = (f"{len(answers)} answers, the slowest after {answers[-1]:.3f} s; {len(commands)} commands, the slowest "
            f"after {commands[-1]:.3f} s; {memory} MiB; {counts}")
    print(told)
    assert "50 received" in ping.stdout, ping.stdout
    # A machine that does something else as well is slow now and then; an agent that is held up is so always.
    assert answers[len(answers) * 9 // 10] < 0.25 and answers[-1] < 2, told
    assert commands[len(commands) * 9 // 10] < 0.5 and commands[-1] < 3, told
    assert memory < 400, told
    # They were at work.
    assert counts["slow"] >= 1000 and counts["large"] >= 3, told
    assert counts.get("garbage", 0) + counts.get("garbage, refused", 0) >= 20, told
    assert "tls" not in listener or counts["handshakes"] >= 50, told
    # And those who have a token were served beside them.
    assert counts["200"] >= 20, told
    assert agent.process and agent.process.running()


def test_afterwards_all_is_as_before(world: Routed, agent: Agent, listener: dict[str, Any]) -> None:
    def served() -> bool:
        done = world.gateway.run("curl", "--silent", "--insecure", "--max-time", "3", "--oauth2-bearer", TOKEN,
                                 f"{'https' if 'tls' in listener else 'http'}://127.0.0.1:{PORT}/v1/version",
                                 check=False)
        return done.returncode == 0 and "version" in done.stdout
    eventually(served, 15, 0.2, "the API over TCP answers")
    agent.check_accounts()
