# SPDX-License-Identifier: Apache-2.0
"""Rows of tests/conformance/catalogue.tsv that need real hosts, or the agent."""

import copy
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import Agent, Routed, eventually, services
from lab.agent import as_yaml
from lab.frames import ACK, SYN, TCP
from lab.scan import Scan
from lab.world import EIP1, GATEWAY_OUTSIDE, H1, WEB, WEBS

PLAIN = WEBS[1]  # a destination that is not translated for


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    configuration = world.configuration()
    configuration["nat_gateways"][0]["no_translation"] = [f"{PLAIN}/32"]
    with Agent(world.gateway, configuration) as running:
        yield running


@pytest.fixture(autouse=True)
def accounts(agent: Agent) -> Iterator[None]:
    yield
    agent.check_accounts()


@pytest.mark.row("6888-REQ-6")
def test_untranslated_destination(world: Routed, agent: Agent) -> None:
    """One destination sees the instance itself, all others its Elastic IP; replies pass both ways."""
    world.isp.ip(f"route add 10.0.1.0/24 via {GATEWAY_OUTSIDE}")
    try:
        for address, seen_as in ((PLAIN, H1), (WEB, EIP1)):
            with services.echo_server(world.web, address, 7, socket.SOCK_DGRAM) as peers, \
                    world.h1.socket(socket.SOCK_DGRAM) as client:
                client.bind((H1, 5000))
                client.sendto(b"who am I?", (address, 7))
                assert client.recv(100) == b"who am I?"
                assert {peer[0] for peer in peers} == {seen_as}
            with services.echo_server(world.web, address, 7) as peers, world.h1.socket() as client:
                client.connect((address, 7))
                client.sendall(b"and now?")
                assert client.recv(100) == b"and now?"
                assert {peer[0] for peer in peers} == {seen_as}
            world.h1.run("ping", "-c", "2", "-i", "0.2", "-W", "2", address)
        # From there nothing gets in that was not asked for.
        with world.web.socket() as intruder:
            intruder.settimeout(1)
            with pytest.raises(OSError):
                intruder.bind((PLAIN, 0))
                intruder.connect((H1, 22))
    finally:
        world.isp.ip(f"route del 10.0.1.0/24 via {GATEWAY_OUTSIDE}")


@pytest.mark.row("4787-REQ-7")
def test_outside_with_addresses_of_the_inside(world: Routed, agent: Agent) -> None:
    """An outside that is given the inside's prefix is refused, by name, and used again when that is over."""
    world.gateway.ip("addr add 10.0.1.77/24 dev wan0")
    try:
        refused = eventually(lambda: _refused(agent), 10, what="wan0 is refused")
        assert "10.0.1.0/24" in refused and "conflict" in refused
        assert "conflict" in str(agent.status()["error"])
    finally:
        world.gateway.ip("addr del 10.0.1.77/24 dev wan0")
    eventually(lambda: _attached(agent), 10, what="wan0 is used again")
    world.h1.run("ping", "-c", "1", "-W", "2", WEB)


def _refused(agent: Agent) -> str:
    device = agent.devices()["wan0"]
    assert not device["attached"]
    return device["error"]


def _attached(agent: Agent) -> bool:
    assert agent.devices()["wan0"]["attached"]
    return True


@contextmanager
def _taker(world: Routed, port: int) -> Iterator[list[bytes]]:
    """Takes what one client sends, to the end, and hangs up."""
    taken: list[bytes] = []
    listener = world.web.socket(timeout=60)
    listener.bind((WEB, port))
    listener.listen()

    def take() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(60)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            taken.append(b"".join(parts))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield taken
    thread.join(60)
    listener.close()


@pytest.mark.row("4821-x1")
def test_path_mtu_is_found_without_icmp(world: Routed, agent: Agent) -> None:
    """Behind the next router a link is narrower and nobody may say so: probes find it out."""
    world.isp.ip("link set web0 mtu 1300")
    world.isp.run("nft", "-f", "-", input="""
        add table ip mute
        add chain ip mute out { type filter hook output priority 0; }
        add rule ip mute out ip protocol icmp drop
        """)
    world.h1.sysctl("net.ipv4.tcp_mtu_probing=2")
    try:
        content = services.random_file(10 * 1024 * 1024)
        with _taker(world, 9000) as taken, world.h1.socket(timeout=60) as client:
            client.connect((WEB, 9000))
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b"", "the other end has read all"
            assert services.digest(taken[0]) == services.digest(content)
    finally:
        world.h1.sysctl("net.ipv4.tcp_mtu_probing=0")
        world.isp.run("nft", "delete", "table", "ip", "mute")
        world.isp.ip("link set web0 mtu 1500")


@pytest.mark.row("4787-REQ-5")
def test_timers_below_the_floor(world: Routed, agent: Agent) -> None:
    """A timer below what the RFC asks for is refused, or accepted under a flag and with a warning."""
    configuration = copy.deepcopy(world.configuration())
    gateway = configuration["nat_gateways"][0]
    gateway["timeouts"] = {"udp": "119s"}
    path = world.lab.write("short.yaml", as_yaml(configuration))
    done = agent.run("check", path)
    assert done.returncode != 0
    assert "timeouts.udp" in done.stdout + done.stderr and "RFC 4787" in done.stdout + done.stderr
    gateway["allow_nonconformant_timeouts"] = True
    done = agent.run("check", world.lab.write("short.yaml", as_yaml(configuration)))
    assert done.returncode == 0
    assert "timeouts.udp" in done.stdout + done.stderr, "it warns"


@pytest.mark.row("6888-REQ-10")
def test_what_management_sees(world: Routed, agent: Agent) -> None:
    """Pools, limits, sessions and counters over the API, under the names that the manual has."""
    with services.echo_server(world.web, WEB, 7), world.h1.socket() as client:
        client.connect((WEB, 7))
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        status, _, seen = agent.request("GET", "/v1/status")
        assert status == 200
        gateway, = seen["nat_gateways"]
        assert gateway["elastic_ips"] == ["eip-1"]
        assert gateway["active_flows"]["tcp"] >= 1 and gateway["port_allocation_errors"] == 0
        pool, = seen["elastic_ips"]
        assert pool["address"] == EIP1 and pool["ports_in_use"]["tcp"] >= 1
        assert seen["flows"]["capacity"] >= 65536
        own = f"{H1}:{client.getsockname()[1]}"
        flow, = [flow for flow in agent.flows("--inside", H1, "--protocol", "tcp") if flow["inside"] == own]
        assert flow["external"].startswith(EIP1) and flow["remote"] == f"{WEB}:7"
        assert agent.json("get", "nat_gateways", "egress")["limits"] == {}
        assert agent.scrape().by("sallyport_nat_active_flows", "protocol").get("tcp", 0) >= 1


@pytest.mark.row("6092-REC-50", "6888-REQ-1")
def test_nothing_of_the_gateway_listens_outside(world: Routed, agent: Agent) -> None:
    """No port of the gateway's own accepts anything from outside."""
    with Scan(world) as scan:
        scan.tcp(GATEWAY_OUTSIDE, range(65536))
        scan.settle()
        accepted = [answer for answer in scan.answers()
                    if answer.protocol == TCP and answer.flags & (SYN | ACK) == SYN | ACK]
    assert accepted == []
    listening = world.gateway.run("ss", "-Hltnu").stdout.split("\n")
    local = [line.split()[4] for line in listening if line.strip()]
    assert all(address.startswith(("127.0.0.1:", "[::1]:")) for address in local), local
