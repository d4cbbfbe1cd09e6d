# SPDX-License-Identifier: Apache-2.0
"""The command line against a gateway with traffic. Its forms and texts alone are tested in tests/cli."""

import copy
import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab import Agent, Routed, eventually, services
from lab.agent import as_yaml
from lab.capture import Wire
from lab.frames import UDP, ipv4, udp
from lab.services import Conversation
from lab.world import EIP1, EIP2, H1, H2, H3, WEB, WEBS


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration()) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def known_flows(world: Routed, agent: Agent) -> Iterator[None]:
    """4 TCP flows of h1 to two remotes, 2 of h2, 1 of h3; 3 UDP flows of h3; 1 ICMP flow of h1."""
    with ExitStack() as stack:
        for address in WEBS[:2]:
            stack.enter_context(services.echo_server(world.web, address, 7))
            stack.enter_context(services.echo_server(world.web, address, 7, socket.SOCK_DGRAM))
        for host, address in ((world.h1, WEB), (world.h1, WEB), (world.h1, WEBS[1]), (world.h1, WEBS[1]),
                              (world.h2, WEB), (world.h2, WEB), (world.h3, WEBS[1])):
            stack.enter_context(Conversation(host, address, 7)).say()
        for _ in range(3):
            client = stack.enter_context(world.h3.socket(socket.SOCK_DGRAM))
            client.sendto(b"x", (WEB, 7))
            client.recv(10)
        world.h1.run("ping", "-n", "-c", 1, WEB)
        yield


@pytest.mark.parametrize(("filters", "count"), [
    ((), 11),
    (("--protocol", "tcp"), 7), (("--protocol", "udp"), 3), (("--protocol", "icmp"), 1),
    (("--inside", H1), 5), (("--inside", H3), 4), (("--inside", "10.0.1.0/24"), 7), (("--inside", "10.0.9.0/24"), 0),
    (("--external", EIP1), 11), (("--external", EIP2), 0),
    (("--remote", f"{WEB}:7"), 7), (("--remote", WEB), 8), (("--remote", "203.0.113.0/24"), 11),
    (("--inside", H1, "--remote", WEBS[1], "--protocol", "tcp"), 2),
])
def test_filters_of_flows(agent: Agent, filters: tuple[str, ...], count: int) -> None:
    assert agent.flow_count(*filters) == count
    answer = agent.json("flows", *filters)
    assert answer["total"] == len(answer["flows"]) == count
    assert agent.text("flows", "--count", *filters).strip() == str(count)
    text = agent.text("flows", *filters)
    assert sum(WEBS[0] in line or WEBS[1] in line for line in text.splitlines()) == count


def test_flows_by_external_endpoint_finds_the_one(agent: Agent) -> None:
    flow = agent.flows("--protocol", "udp")[0]
    assert agent.flows("--protocol", "udp", "--external", flow["external"])[0]["inside"] == flow["inside"]


def test_limit(agent: Agent) -> None:
    answer = agent.json("flows", "--limit", 2)
    assert len(answer["flows"]) == 2 and answer["total"] == 11


def test_top(agent: Agent) -> None:
    top = agent.json("flows", "--top")["top"]
    assert [(host["inside"], host["flows"]) for host in top] == [(H1, 5), (H3, 4), (H2, 2)]
    assert all(host["vpc"] == "main" and host["bytes"] > 100 for host in top)
    assert H1 in agent.text("flows", "--top")


def test_status(agent: Agent) -> None:
    status = agent.status()
    assert status["gateway"] == "gw1" and status["ready"] and status["error"] is None
    assert status["applied_revision"] == status["desired_revision"] >= 1
    assert status["flows"]["active"] == 11 and status["flows"]["capacity"] >= 65536
    gateway, = status["nat_gateways"]
    assert gateway["active_flows"] == {"tcp": 7, "udp": 3, "icmp": 1}
    assert gateway["port_allocation_errors"] == 0 and gateway["flow_attempts"] >= 11
    elastic_ip, = status["elastic_ips"]
    assert elastic_ip["address"] == EIP1 and elastic_ip["nat_gateway"] == "egress"
    assert elastic_ip["ports_in_use"] == {"tcp": 7, "udp": 3, "icmp": 1}
    text = agent.text("status")
    for word in ("gw1", "ready", "lan0", "wan0", "native", "egress", EIP1):
        assert word in text, word


def test_get(agent: Agent) -> None:
    for kind, names in (("vpcs", ["main"]), ("subnets", ["app", "db"]), ("elastic_ips", ["eip-1"]),
                        ("nat_gateways", ["egress"]), ("route_tables", ["private"]), ("instances", [])):
        assert [item["name"] for item in agent.json("get", kind)[kind]] == names
        for name in names:
            item = agent.json("get", kind, name)
            assert item["name"] == name and item["origin"] == "file"
            assert name in agent.text("get", kind)
    assert agent.json("get", "nat_gateways", "egress")["elastic_ips"] == ["eip-1"]
    assert agent.run("get", "vpcs", "nobody").returncode == 1
    assert agent.run("get", "nonsense").returncode == 2


def test_plan_and_apply(world: Routed, agent: Agent) -> None:
    configuration = copy.deepcopy(world.configuration())
    same = world.lab.write("same.yaml", as_yaml(configuration))
    assert agent.json("plan", same, code=0)["changes"] == []
    configuration["elastic_ips"].append({"name": "eip-2", "address": EIP2})
    configuration["nat_gateways"][0]["elastic_ips"].append("eip-2")
    changed = world.lab.write("changed.yaml", as_yaml(configuration))
    plan = agent.json("plan", changed, code=2)
    changes = {(change["kind"], change["name"]): change for change in plan["changes"]}
    assert changes["elastic_ips", "eip-2"]["change"] == "create"
    assert changes["nat_gateways", "egress"]["change"] == "update"
    assert changes["nat_gateways", "egress"]["fields"] == ["elastic_ips"]
    assert len(changes) == 2

    revision = agent.status()["applied_revision"]
    assert agent.json("apply", changed)["revision"] == revision + 1
    again = agent.json("apply", changed)
    assert again["revision"] == revision + 1 and again["changes"] == []
    assert agent.json("plan", changed, code=0)["changes"] == []
    assert agent.status()["nat_gateways"][0]["elastic_ips"] == ["eip-1", "eip-2"]
    assert "--- " not in agent.text("apply", same)
    assert agent.flow_count() == 11, "no flow was lost on the way there and back"
    history = agent.json("history")["revisions"]
    assert [entry["source"] for entry in history[:2]].count("apply") >= 1 or history[-1]["source"] == "apply"
    done = agent.run("apply", "-", input=as_yaml(configuration))
    assert done.returncode == 0, done
    agent.text("apply", same)


def test_monitor_shows_drops(world: Routed, agent: Agent) -> None:
    monitor = agent.namespace.start(agent.client, "--socket", agent.api_socket, "-o", "json", "monitor", "--drops")
    try:
        time.sleep(1)
        with Wire(world.isp, "gw0", world.wan_mac) as wire:
            for port in range(7000, 7005):
                wire.send_ip(ipv4("192.0.2.1", EIP1, UDP, udp("192.0.2.1", EIP1, 6000, port, b"knock")))

        def events() -> list[dict]:
            return [json.loads(line) for line in monitor.output.splitlines() if line.startswith("{")]

        eventually(lambda: len(events()) >= 5, 10)
        event = events()[0]
        assert event["reason"] == "unsolicited" and event["device"] == "wan0" and event["protocol"] == "udp"
        assert event["source"] == "192.0.2.1:6000" and event["destination"].startswith(f"{EIP1}:70")
        assert {event["destination"] for event in events()} == {f"{EIP1}:{port}" for port in range(7000, 7005)}
    finally:
        monitor.stop(signal.SIGINT)


def test_monitor_as_text(world: Routed, agent: Agent) -> None:
    monitor = agent.namespace.start(agent.client, "--socket", agent.api_socket, "monitor", "--drops", "--count", 1)
    time.sleep(1)
    with Wire(world.isp, "gw0", world.wan_mac) as wire:
        wire.send_ip(ipv4("192.0.2.1", "10.0.1.99", UDP, udp("192.0.2.1", "10.0.1.99", 6000, 1)))
    text = monitor.finish(10)
    assert "private_destination" in text and "10.0.1.99" in text


def test_doctor_finds_and_mends(world: Routed, agent: Agent) -> None:
    def found() -> dict[str, list[dict]]:
        done = agent.run("-o", "json", "doctor")
        checks = json.loads(done.stdout)["checks"]
        bad = [check for check in checks if check["severity"] == "error"]
        assert done.returncode == (1 if bad else 0)
        assert all(check["severity"] == "ok" or check["mend"] or check["text"] for check in checks)
        return {"all": checks, "bad": [check for check in checks if check["severity"] != "ok"]}

    assert len(found()["all"]) >= 6
    assert not [check for check in found()["bad"] if check["check"] in ("ip_forward", "rp_filter")]

    world.gateway.sysctl("net.ipv4.ip_forward=0")
    try:
        fault, = (check for check in found()["bad"] if check["check"] == "ip_forward")
        assert "ip_forward" in fault["mend"]
        world.gateway.run("sh", "-c", fault["mend"])
        assert not [check for check in found()["bad"] if check["check"] == "ip_forward"]
    finally:
        world.gateway.sysctl("net.ipv4.ip_forward=1")

    world.gateway.sysctl("net.ipv4.conf.all.rp_filter=1")
    try:
        fault = next(check for check in found()["bad"] if check["check"] == "rp_filter")
        assert "rp_filter" in fault["mend"]
    finally:
        world.gateway.sysctl("net.ipv4.conf.all.rp_filter=0")
    assert "ip_forward" in agent.text("doctor")


def test_version(agent: Agent) -> None:
    version = agent.json("version")
    assert version["version"] == version["agent"]["version"] == agent.status()["version"]


def test_without_an_agent(world: Routed, agent: Agent) -> None:
    for command in (("status",), ("flows",), ("reload",), ("get", "vpcs")):
        done = world.h1.run(agent.client, "--socket", "/nowhere/api.sock", *command, check=False)
        assert done.returncode == 3 and "/nowhere/api.sock" in done.stderr, done
    for command in ((), ("nonsense",), ("flows", "--nonsense"), ("plan",)):
        assert world.h1.run(agent.client, *command, check=False).returncode in ((0, 2) if not command else (2,))


def test_socket_from_the_environment(agent: Agent) -> None:
    done = agent.namespace.run("env", f"SALLYPORT_SOCKET={agent.api_socket}", agent.client, "status")
    assert "gw1" in done.stdout


def test_many_clients_at_once(agent: Agent) -> None:
    clients = [agent.namespace.start(agent.client, "--socket", agent.api_socket, "-o", "json", "flows", "--count")
               for _ in range(30)]
    for client in clients:
        assert json.loads(client.finish(20))["count"] == 11
