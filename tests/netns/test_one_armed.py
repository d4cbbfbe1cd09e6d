# SPDX-License-Identifier: Apache-2.0
"""A gateway with one device that is inside and outside at once."""

import re
import socket
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, OneArmed, services
from lab.capture import Wire
from lab.core import eventually
from lab.frames import UDP, echo, ipv4, udp
from lab.world import EIP1, EIP2, H1, H2, ISP, WEB


@pytest.fixture(scope="module")
def agent(one_armed: OneArmed) -> Iterator[Agent]:
    with Agent(one_armed.gateway, one_armed.configuration()) as running:
        services.nginx(one_armed.web, WEB, {"file": services.random_file(1_000_000)})
        services.iperf3_server(one_armed.web, WEB)
        services.dns_server(one_armed.web, WEB, {"name.example": "192.0.2.1"})
        yield running


@pytest.fixture(autouse=True)
def accounts(agent: Agent) -> Iterator[None]:
    yield
    agent.check_accounts()


def test_real_programs(one_armed: OneArmed) -> None:
    for host in (one_armed.h1, one_armed.h2):
        assert host.run("curl", "-sS", "--max-time", 10, f"http://{WEB}/who").stdout.startswith(f"{EIP1}:")
        got = host.run("curl", "-sS", "--max-time", 10, "-o", "/dev/null", "-w", "%{size_download}",
                       f"http://{WEB}/file").stdout
        assert got == "1000000"
        assert host.run("dig", "+short", "+timeout=3", f"@{WEB}", "name.example").stdout == "192.0.2.1\n"
        assert "5 received" in host.run("ping", "-n", "-c", 5, "-i", 0.05, "-W", 2, WEB).stdout
    for options in ((), ("-R",)):
        result = services.iperf3(one_armed.h1, WEB, 1, *options)
        assert result["end"]["sum_received"]["bytes"] > 5_000_000


def test_traceroute(one_armed: OneArmed) -> None:
    text = one_armed.h1.run("traceroute", "-n", "-q", 1, "-w", 2, "-m", 5, WEB).stdout
    hops = [re.findall(r"\d+\.\d+\.\d+\.\d+", line) for line in text.splitlines()[1:]]
    assert hops[0] in (["10.0.1.1"], ["198.51.100.1"]) and hops[1:] == [[ISP], [WEB]], text


def test_status_shows_one_device_of_both_roles(agent: Agent) -> None:
    device, = agent.status()["devices"]
    assert device["device"] == "arm0" and device["role"] == "both" and device["attached"]


def test_arp_for_the_elastic_ip(one_armed: OneArmed) -> None:
    one_armed.isp.ip(f"neigh flush {EIP1}")
    one_armed.isp.run("ping", "-c", 1, "-W", 0.3, EIP1, check=False)
    neighbour, = one_armed.isp.ip_json(f"neigh show {EIP1}")
    assert neighbour["lladdr"] == one_armed.gateway.mac("arm0")
    one_armed.isp.run("ping", "-c", 1, "-W", 0.3, EIP2, check=False)
    assert all("lladdr" not in entry for entry in one_armed.isp.ip_json(f"neigh show {EIP2}"))


def test_nothing_gets_in(one_armed: OneArmed, agent: Agent) -> None:
    before = agent.drops()
    with Capture(one_armed.h1, "eth0", keep=lambda p: p.source == "192.0.2.9") as inside, \
            Capture(one_armed.isp, "gw0", keep=lambda p: p.destination == "192.0.2.9") as outside, \
            Wire(one_armed.isp, "gw0", one_armed.gateway.mac("arm0")) as wire:
        for port in range(1, 101):
            wire.send_ip(ipv4("192.0.2.9", EIP1, UDP, udp("192.0.2.9", EIP1, 4000, port)))
        wire.send_ip(ipv4("192.0.2.9", EIP1, 1, echo(1, 1)))
        eventually(lambda: agent.drops().get("unsolicited", 0) == before.get("unsolicited", 0) + 101)
    assert not inside.packets and not outside.packets


def test_own_traffic(one_armed: OneArmed) -> None:
    """Connections to the gateway's own addresses, from inside and outside, and from it to the outside."""
    for client, address in ((one_armed.h1, "10.0.1.1"), (one_armed.isp, "198.51.100.1")):
        with services.echo_server(one_armed.gateway, address, 22) as peers, services.Conversation(client, address, 22) as talk:
            talk.say(10_000)
            assert peers[0][0] in (H1, ISP)
    with services.echo_server(one_armed.web, WEB, 7) as peers, services.Conversation(one_armed.gateway, WEB, 7) as talk:
        talk.say(10_000)
        assert peers[0][0] == "198.51.100.1"


def test_hosts_of_the_vpc(one_armed: OneArmed) -> None:
    with services.echo_server(one_armed.h2, H2, 7, socket.SOCK_DGRAM) as peers:
        with one_armed.h1.socket(socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (H2, 7))
            client.recv(10)
        assert peers[0][0] == H1
