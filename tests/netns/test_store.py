# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged outlives kill -9 and a full disk; what was not is there as a whole or not at all."""

import contextlib
import errno
import http.client
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Agent, Routed, services
from lab.agent import as_yaml
from lab.world import WEB

SEED = int(os.environ.get("SALLYPORT_SEED", "20"))
ROUNDS = 6


def _made(agent: Agent) -> dict[str, str]:
    """The Elastic IPs that were made through the API, and their addresses."""
    return {one["name"]: one["address"] for one in agent.json("get", "elastic_ips")["elastic_ips"]
            if one["origin"] == "api"}


def _ask(agent: Agent, method: str, name: str, address: str | None) -> bool:
    """Whether the command was acknowledged; False: the agent died over it."""
    body = None if address is None else {"address": address}
    try:
        status, _, answer = agent.request(method, f"/v1/elastic_ips/{name}", body)
    except (OSError, http.client.HTTPException):
        return False
    assert status in (200, 201, 204), (status, answer)
    return True


def test_kill_at_any_moment_of_a_stream_of_commands(world: Routed) -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    acknowledged: dict[str, str] = {}
    commands = unanswered_done = 0
    with Agent(world.gateway, world.configuration()) as agent, services.echo_server(world.web, WEB, 7), \
            services.Chatter(world.h1, WEB, 7) as chatter:
        for _ in range(ROUNDS):
            death = threading.Timer(dice.uniform(0.0, 0.4), agent.kill)
            death.start()
            while True:
                name = f"e{dice.randrange(8)}"
                after = dict(acknowledged)
                if name in acknowledged and dice.random() < 0.3:
                    address = None
                    del after[name]
                else:
                    # No two have the same address.
                    address = f"198.51.100.{20 + 20 * int(name[1:]) + dice.randrange(20)}"
                    after[name] = address
                commands += 1
                if not _ask(agent, "DELETE" if address is None else "PUT", name, address):
                    break
                acknowledged = after
            death.join()
            agent.start()
            found = _made(agent)
            assert found in (acknowledged, after), f"acknowledged: {acknowledged}, one more: {after}, found: {found}"
            unanswered_done += found != acknowledged
            acknowledged = found
            status = agent.status()
            assert status["ready"] and status["applied_revision"] == status["desired_revision"]
            chatter.check()
    print(f"{commands} commands, {unanswered_done} of {ROUNDS} were done and not answered")
    assert commands > 2 * ROUNDS, "commands were under way when the agent died"


@pytest.fixture
def small_disk(world: Routed) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = Path(world.lab.path("small-disk"))
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(OSError) as refused:
        (place / "one-more").write_bytes(bytes(4096))
    assert refused.value.errno == errno.ENOSPC
    (place / "one-more").unlink(missing_ok=True)
    return filler


def test_full_disk_refuses_what_it_cannot_keep(world: Routed, small_disk: Path) -> None:
    agent = Agent(world.gateway, world.configuration())
    agent.state_dir = str(small_disk)
    wanted = world.lab.path("wanted.yaml")
    with agent, services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        groups = [_group(f"many-{number}") for number in range(20)]
        Path(wanted).write_text(as_yaml(world.configuration(security_groups=groups)), encoding="utf-8")
        filler = _fill(small_disk)

        refused = agent.run("apply", wanted)
        assert refused.returncode == 1
        assert "no space" in refused.stderr and "nothing was changed" in refused.stderr, refused.stderr
        # What little room the log has left is soon used up.
        assert not all(_make_group(agent, f"made-{number}") for number in range(30))

        # What ran goes on, and what is asked is answered.
        chatter.check()
        assert not any(name.startswith("many") for name in _groups(agent))
        assert agent.status()["ready"]
        known = _groups(agent), agent.status()["desired_revision"]
        agent.kill()
        agent.start()
        assert (_groups(agent), agent.status()["desired_revision"]) == known, "what was acknowledged is there"
        chatter.check()

        filler.unlink()
        applied = agent.json("apply", wanted)
        assert applied["revision"] == known[1] + 1
        agent.kill()
        agent.start()
        assert agent.status()["applied_revision"] == applied["revision"]
        assert _groups(agent) == known[0] | {f"many-{number}" for number in range(20)}
        chatter.check()


def _group(name: str) -> dict:
    """A security group that takes some room."""
    return {"name": name, "vpc": "main", "ingress": [
        {"protocol": "tcp", "ports": str(port), "cidr": "0.0.0.0/0", "description": "x" * 200}
        for port in range(1000, 1060)]}


def _groups(agent: Agent) -> set[str]:
    return {group["name"] for group in agent.json("get", "security_groups")["security_groups"]}


def _make_group(agent: Agent, name: str) -> bool:
    status, _, answer = agent.request("PUT", f"/v1/security_groups/{name}", _group(name))
    assert status == 201 or (status == 500 and "no space" in answer["detail"]), (status, answer)
    return status == 201
