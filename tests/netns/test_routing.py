# SPDX-License-Identifier: Apache-2.0
"""Subnets, route tables, NAT gateways and Elastic IPs: who leaves how, and who does not."""

import socket
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, Routed, eventually, services
from lab.capture import Wire
from lab.frames import ICMP, TCP, UDP, SYN, echo, ipv4, tcp, udp
from lab.world import EIP1, EIP2, EIP3, H1, H2, H3, WEB

OTHER = "203.0.113.13"      # an address of web that has a route of its own below
HOLE = "203.0.113.200"


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    configuration = world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2},
                     {"name": "eip-3", "address": EIP3}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-2"]},
                      {"name": "second", "vpc": "main", "elastic_ips": ["eip-3"]}],
        route_tables=[{"name": "private", "vpc": "main", "main": True,
                       "routes": [{"destination": "0.0.0.0/0", "nat_gateway": "egress"},
                                  {"destination": "203.0.113.128/25", "blackhole": True},
                                  {"destination": f"{OTHER}/32", "nat_gateway": "second"}]},
                      {"name": "narrow", "vpc": "main",
                       "routes": [{"destination": "203.0.113.0/24", "nat_gateway": "second"}]}])
    configuration["subnets"][1]["route_table"] = "narrow"
    with Agent(world.gateway, configuration) as running:
        yield running


@pytest.fixture(autouse=True)
def accounts(agent: Agent) -> Iterator[None]:
    yield
    agent.check_accounts()


def _seen_as(client_host, source: str, address: str = WEB, count: int = 1, peers: list | None = None) -> set[str]:
    """The Elastic IPs that datagrams of an instance arrive from."""
    with client_host.socket(socket.SOCK_DGRAM) as client:
        client.bind((source, 0))
        for _ in range(count):
            client.sendto(b"who am I?", (address, 7))
            client.recv(100)
    return {peer[0] for peer in (peers or [])}


def test_two_nat_gateways_by_route_table(world: Routed) -> None:
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers:
        assert _seen_as(world.h1, H1, peers=peers) <= {EIP1, EIP2}
        peers.clear()
        assert _seen_as(world.h3, H3, peers=peers) == {EIP3}


def test_longest_prefix_wins(world: Routed) -> None:
    with services.echo_server(world.web, OTHER, 7, socket.SOCK_DGRAM) as peers:
        assert _seen_as(world.h1, H1, OTHER, peers=peers) == {EIP3}


def test_a_host_keeps_its_elastic_ip_and_hosts_share_them_out(world: Routed) -> None:
    """Paired pooling, over protocols and remotes; 60 hosts use both addresses."""
    sources = [f"10.0.1.{number}" for number in range(101, 161)]
    seen: dict[str, set[str]] = defaultdict(set)
    with Capture(world.isp, "gw0", keep=lambda p: p.kind == 0x0800) as outside, \
            Wire(world.h1, "eth0", world.lan_mac) as wire:
        for number, source in enumerate(sources):
            mark = 20000 + number  # seen outside as the remote's port, or as the sequence of an echo
            for remote in ("203.0.113.10", "203.0.113.11", "192.0.2.7"):
                wire.send_ip(ipv4(source, remote, UDP, udp(source, remote, 5000, mark)))
                wire.send_ip(ipv4(source, remote, TCP, tcp(source, remote, 5000, mark, SYN)))
                wire.send_ip(ipv4(source, remote, ICMP, echo(9, mark)))
        outside.wait_for(lambda p: p.outgoing is False and p.destination != EIP1, 60 * 9)
    for packet in outside.packets:
        mark = packet.icmp_rest & 0xFFFF if packet.icmp_type == 8 else packet.destination_port
        if 20000 <= mark < 20060:
            seen[sources[mark - 20000]].add(packet.source)
    assert set(seen) == set(sources)
    assert all(len(addresses) == 1 for addresses in seen.values()), seen
    uses = [min(addresses) for addresses in seen.values()]
    assert set(uses) == {EIP1, EIP2}
    assert 10 <= uses.count(EIP1) <= 50, "hosts are shared out over the addresses"


def test_blackhole(world: Routed, agent: Agent) -> None:
    before = agent.drops().get("blackhole_route", 0)
    with Capture(world.isp, "gw0", keep=lambda p: p.destination == HOLE) as outside:
        done = world.h1.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 1, HOLE, check=False)
        assert "0 received" in done.stdout
    assert not outside.packets
    assert agent.drops()["blackhole_route"] == before + 3


def test_no_route(world: Routed, agent: Agent) -> None:
    """The narrow table leads to 203.0.113.0/24 and nowhere else."""
    before = agent.drops().get("no_route", 0)
    with Capture(world.isp, "gw0", keep=lambda p: p.destination == "192.0.2.7") as outside:
        done = world.h3.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 1, "192.0.2.7", check=False)
        assert "0 received" in done.stdout
    assert not outside.packets
    assert agent.drops()["no_route"] == before + 3


def test_subnets_of_a_vpc_reach_each_other_untranslated(world: Routed, agent: Agent) -> None:
    services.nginx(world.h3, H3, {})
    flows = agent.flow_count()
    assert world.h1.run("curl", "-sS", "--max-time", 5, f"http://{H3}/who").stdout.startswith(f"{H1}:")
    assert "3 received" in world.h3.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 1, H2).stdout
    assert agent.flow_count() == flows


def test_hosts_of_one_subnet_do_not_pass_the_gateway(world: Routed, agent: Agent) -> None:
    before = agent.devices()["lan0"]["received_packets"]
    assert "3 received" in world.h1.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 1, H2).stdout
    assert agent.devices()["lan0"]["received_packets"] - before <= 2  # a broadcast ARP request of each


@pytest.mark.parametrize(("source", "reason"), [
    ("10.0.9.9", "source_not_in_subnet"),        # in the VPC, in no subnet
    ("192.168.1.1", "source_not_in_subnet"),     # in no VPC
    ("198.51.100.50", "source_not_in_subnet"),   # an address of the outside
    ("127.0.0.1", "invalid_address"),
    ("0.0.0.0", "invalid_address"),
    ("224.0.0.1", "invalid_address"),
    ("255.255.255.255", "invalid_address"),
])
def test_a_source_that_is_no_instance(world: Routed, agent: Agent, source: str, reason: str) -> None:
    before = agent.drops()
    with Capture(world.isp, "gw0", keep=lambda p: p.protocol == UDP) as outside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        wire.send_ip(ipv4(source, WEB, UDP, udp(source, WEB, 1000, 2000)))
        eventually(lambda: agent.drops().get(reason, 0) == before.get(reason, 0) + 1, what=f"one more {reason}")
    assert not outside.packets
    after = agent.drops()
    assert sum(after.values()) == sum(before.values()) + 1


def test_an_elastic_ip_from_inside(world: Routed, agent: Agent) -> None:
    """It answers no more than it does to the outside; who may be reached through it is in test_hairpin.py."""
    before = agent.drops().get("unsolicited", 0)
    done = world.h1.run("ping", "-n", "-c", 2, "-i", 0.05, "-W", 1, EIP3, check=False)
    assert "0 received" in done.stdout
    assert agent.drops()["unsolicited"] == before + 2


def test_reply_from_another_remote_is_not_let_in(world: Routed, agent: Agent) -> None:
    """Only the remote that was spoken to may answer, from the port that was spoken to."""
    before = agent.drops().get("unsolicited", 0)
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers, \
            world.h3.socket(socket.SOCK_DGRAM) as client, \
            Capture(world.h3, "eth0", keep=lambda p: p.protocol == UDP) as inside, \
            Wire(world.isp, "gw0", world.wan_mac) as wire:
        client.sendto(b"hello", (WEB, 7))
        client.recv(10)
        host, port = peers[0]
        for source, source_port in ((WEB, 8), ("203.0.113.11", 7), ("192.0.2.1", 7)):
            wire.send_ip(ipv4(source, host, UDP, udp(source, host, source_port, port, b"let me in")))
        wire.send_ip(ipv4(WEB, host, UDP, udp(WEB, host, 7, port, b"the one")))
        inside.wait_for(lambda p: p.payload == b"the one")
        time.sleep(0.1)
        assert not inside.matching(lambda p: p.payload == b"let me in")
    assert agent.drops()["unsolicited"] == before + 3


def test_kernel_guards_the_private_prefix(world: Routed) -> None:
    """Under a protocol number of our own: what is addressed to no subnet does not leave by the default route."""
    route, = world.gateway.ip_json("route show proto 157")
    assert (route["type"], route["dst"]) == ("blackhole", "10.0.0.0/16")
    with Capture(world.isp, "gw0", keep=lambda p: p.destination == "10.0.77.1") as outside:
        done = world.h1.run("ping", "-n", "-c", 2, "-i", 0.05, "-W", 0.3, "10.0.77.1", check=False)
        assert "0 received" in done.stdout
    assert not outside.packets
