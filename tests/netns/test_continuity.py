# SPDX-License-Identifier: Apache-2.0
"""Traffic does not notice that the agent dies, starts, reloads, or brings a new program."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import Agent, Namespace, Routed, eventually, services
from lab.agent import programs
from lab.world import EIP1, EIP2, WEB

CONTENT = services.random_file(40_000_000)
PACE = ("-b", "80M", "-l", "16K")  # so that what is sent again is the gateway's fault and not a full queue's


@pytest.fixture(scope="module", autouse=True)
def servers(world: Routed) -> None:
    services.nginx(world.web, WEB, {"file": CONTENT}, rate="5m")
    services.iperf3_server(world.web, WEB)
    services.iperf3_server(world.web, WEB, 5202)


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration()) as running:
        yield running


def _two_addresses(world: Routed) -> dict:
    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-2"]}])


@contextmanager
def _transfers(world: Routed, agent: Agent, seconds: int) -> Iterator[list[services.Chatter]]:
    """iperf3 up and down, a download and conversations; afterwards none of them may have noticed a thing."""
    senders = (world.h1, world.web)
    before = [_lost_segments(sender) for sender in senders]
    up = services.start_iperf3(world.h1, WEB, seconds, *PACE)
    down = services.start_iperf3(world.h2, WEB, seconds, "-R", *PACE, port=5202)
    target = world.lab.path("got")
    download = world.h3.start("curl", "-sS", "--max-time", seconds + 20, "-o", target, f"http://{WEB}/file")
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as one, \
            services.Chatter(world.h3, WEB, 7) as other:
        eventually(lambda: agent.flow_count("--protocol", "tcp") >= 6)
        time.sleep(0.5)
        yield [one, other]
        for chatter in (one, other):
            chatter.check()
        for process, sender, lost_before in zip((up, down), senders, before, strict=True):
            result = services.iperf3_result(process, seconds)
            lost = _lost_segments(sender) - lost_before
            assert lost <= 10, f"{lost} segments were lost: {_by_second(result)}"
            for interval in result["intervals"][1:]:
                assert interval["sum"]["bytes"] > 0, f"the transfer stood still: {_by_second(result)}"
        download.finish(seconds + 30)
        assert Path(target).read_bytes() == CONTENT


def _lost_segments(sender: Namespace) -> int:
    """What a host has sent again, without what had arrived all the same: its receiver says so (RFC 2883). Where all
    processors are busy for some milliseconds, as when a kernel verifies programs, virtual devices let packets overtake
    each other, and a sender takes those for lost."""
    counters = {}
    for table in ("snmp", "netstat"):
        lines = [line.split() for line in sender.read(f"/proc/net/{table}").splitlines()]
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            counters.update(zip(names[1:], values[1:], strict=True))
    return int(counters["RetransSegs"]) - int(counters["TCPDSACKRecv"]) - int(counters["TCPDSACKOfoRecv"])


def _by_second(result: dict) -> list[tuple[float, int, int]]:
    return [(round(interval["sum"]["start"], 1), interval["sum"]["bytes"], interval["sum"].get("retransmits", 0))
            for interval in result["intervals"]]


def _identities(agent: Agent) -> set[tuple[str, ...]]:
    return {(flow["protocol"], flow["inside"], flow["external"], flow["remote"])
            for flow in agent.flows("--protocol", "tcp", "--limit", 1000)}


def _attached_programs(world: Routed) -> dict[str, int]:
    return {link["ifname"]: link["xdp"]["prog"]["id"] for link in world.gateway.ip_json("-d link show")
            if link.get("xdp", {}).get("prog")}


def test_through_kill_restart_reload_and_replacement(world: Routed, agent: Agent) -> None:
    rebuilt = _rebuilt(world)
    with _transfers(world, agent, 10) as chatters:
        before, first_programs = _identities(agent), _attached_programs(world)
        assert len(before) >= 6 and set(first_programs) == {"lan0", "lan1", "wan0"}

        agent.kill()
        time.sleep(1.0)
        assert _attached_programs(world) == first_programs
        for chatter in chatters:
            chatter.check()

        agent.start()
        assert _identities(agent) >= before
        assert all(device["attached"] and device["mode"] == "native" for device in agent.devices().values())

        revision = agent.status()["applied_revision"]
        answer = agent.reload(_two_addresses(world))
        assert answer["revision"] == revision + 1
        assert _identities(agent) >= before

        second_programs = _attached_programs(world)
        agent.kill()
        agent.program = rebuilt
        agent.start()
        third_programs = _attached_programs(world)
        assert all(third_programs[device] != second_programs[device] for device in second_programs), \
            "the new agent has put its own program in the old one's place"
        assert _identities(agent) >= before
    agent.check_accounts()


def _rebuilt(world: Routed) -> Path:
    """Another file with the same program: what an upgrade puts in place."""
    path = Path(world.lab.path("sallyportd-new"))
    shutil.copy(programs() / "sallyportd", path)
    subprocess.run(["strip", "--strip-debug", str(path)], check=True)
    return path


def test_through_an_orderly_stop_and_start(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        chatter.check()
        before = _identities(agent)
        assert agent.stop() == 0
        attached = _attached_programs(world)
        assert set(attached) == {"lan0", "lan1", "wan0"}, "SIGTERM leaves forwarding in place"
        chatter.check()
        agent.start()
        chatter.check()
        assert _identities(agent) >= before


def test_new_flows_while_the_agent_is_away(world: Routed, agent: Agent) -> None:
    agent.kill()
    for host in (world.h1, world.h2, world.h3):
        assert host.run("curl", "-sS", "--max-time", 5, f"http://{WEB}/who").stdout.startswith(f"{EIP1}:")
    time.sleep(3.0)
    assert world.h1.run("curl", "-sS", "--max-time", 5, f"http://{WEB}/who").stdout.startswith(f"{EIP1}:")
    agent.start()
    assert agent.flow_count("--protocol", "tcp") >= 4
    agent.check_accounts()


def test_many_restarts_in_a_row(world: Routed, agent: Agent) -> None:
    """Killed at any moment of its start, it leaves something that the next one can go on with."""
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        for delay in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
            agent.kill()
            agent.launch()
            time.sleep(delay)
        agent.kill()
        agent.start()
        chatter.check()
    agent.check_accounts()


def test_second_agent_is_refused(world: Routed, agent: Agent) -> None:
    """Two agents on one state would fight; the second says so, and the first goes on."""
    second = Agent(world.gateway, world.configuration(), name="second")
    second.state_dir, second.run_dir, second.pin_dir = agent.state_dir, agent.run_dir, agent.pin_dir
    process = second.launch()
    assert process.wait(20) != 0
    assert process.output.strip()
    assert agent.status()["ready"]


def test_restart_without_a_change_changes_nothing(world: Routed, agent: Agent) -> None:
    revision = agent.status()["applied_revision"]
    agent.stop()
    agent.start()
    status = agent.status()
    assert status["applied_revision"] == status["desired_revision"] == revision


def test_state_of_an_unknown_layout_is_refused_and_kept(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        chatter.check()
        agent.stop()
        pins = _pins(agent)
        meta = next(path for path in pins if os.path.basename(path) == "meta")
        value = _read_element(world, meta)
        known = value[:4]
        _write_element(world, meta, b"\x63\0\0\0" + value[4:])
        process = agent.launch()
        assert process.wait(20) != 0
        assert "layout" in process.output and "99" in process.output, process.output
        assert _pins(agent) == pins
        assert set(_attached_programs(world)) == {"lan0", "lan1", "wan0"}
        chatter.check()
        _write_element(world, meta, known + value[4:])
        agent.start()
        chatter.check()


def _pins(agent: Agent) -> set[str]:
    return {f"{parent}/{name}" for parent, _, names in os.walk(agent.pin_dir) for name in names}


def _read_element(world: Routed, path: str) -> bytes:
    text = world.gateway.run("bpftool", "-j", "map", "lookup", "pinned", path, "key", "0", "0", "0", "0").stdout
    return bytes(int(byte, 16) for byte in json.loads(text)["value"])


def _write_element(world: Routed, path: str, value: bytes) -> None:
    world.gateway.run("bpftool", "map", "update", "pinned", path, "key", "0", "0", "0", "0", "value",
                      *(str(byte) for byte in value))


def test_agent_in_a_stopped_state_does_not_stop_traffic(world: Routed, agent: Agent) -> None:
    """SIGSTOP: the agent hangs for a while, and nobody notices."""
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        chatter.check()
        agent.process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        chatter.check()
        agent.process.send_signal(signal.SIGCONT)
        assert agent.status()["ready"]
