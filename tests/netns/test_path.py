# SPDX-License-Identifier: Apache-2.0
"""Traceroute, path MTU discovery, large packets and fragments through the gateway."""

import os
import re
import socket
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, Lab, Routed, services
from lab.capture import Wire
from lab.core import Namespace, eventually
from lab.frames import ICMP, TCP, UDP, ipv4, udp
from lab.world import EIP1, GATEWAY_OUTSIDE, H3, ISP, WEB

H4 = "10.0.3.11"  # behind h3, which is a router here


@pytest.fixture(scope="module")
def world(lab: Lab) -> Routed:
    world = Routed(lab)
    world.h3.sysctl("net.ipv4.ip_forward=1")
    world.h4 = lab.namespace("h4")
    lab.link(world.h3, "behind", world.h4, "eth0")
    world.h3.ip("addr add 10.0.3.1/24 dev behind")
    world.h4.ip(f"addr add {H4}/24 dev eth0", "route add default via 10.0.3.1")
    world.gateway.ip(f"route add 10.0.3.0/24 via {H3}")
    return world


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    configuration = world.configuration()
    configuration["subnets"].append({"name": "far", "vpc": "main", "cidr": "10.0.3.0/24", "route_table": "private"})
    with Agent(world.gateway, configuration) as running:
        services.nginx(world.web, WEB, {"file": services.random_file(3_000_000)})
        yield running


@pytest.fixture(autouse=True)
def accounts(agent: Agent, world: Routed) -> Iterator[None]:
    yield
    for link in _links(world).values():
        for namespace, device in link:
            namespace.ip(f"link set {device} mtu 1500")
    world.isp.ip("route replace 203.0.113.0/24 dev web0 src 203.0.113.1")
    world.h3.ip("route replace 10.0.3.0/24 dev behind src 10.0.3.1")
    for host in (world.h1, world.h2, world.h3, world.h4, world.web, world.isp):
        host.ip("route flush cache")
    agent.check_accounts()


def _links(world: Routed) -> dict[str, list[tuple[Namespace, str]]]:
    """Both ends of a wire: a veth takes no packet that is larger than its own MTU."""
    return {"wan": [(world.gateway, "wan0"), (world.isp, "gw0")], "db": [(world.gateway, "lan1"), (world.h3, "eth0")],
            "web": [(world.isp, "web0"), (world.web, "eth0")]}


def _narrow_wire(world: Routed, name: str, mtu: int) -> None:
    for namespace, device in _links(world)[name]:
        namespace.ip(f"link set {device} mtu {mtu}")
    time.sleep(0.3)  # the agent hears of it through netlink


def _narrow_way_to_the_web(world: Routed, mtu: int) -> None:
    """The router outside passes on no larger packets, and neither end knows."""
    world.isp.ip(f"route replace 203.0.113.0/24 dev web0 src 203.0.113.1 mtu lock {mtu}")


def _narrow_way_to_h4(world: Routed, mtu: int) -> None:
    world.h3.ip(f"route replace 10.0.3.0/24 dev behind src 10.0.3.1 mtu lock {mtu}")


@pytest.mark.parametrize(("mode", "options"), [("udp", ()), ("icmp", ("-I",)), ("tcp", ("-T", "-p", "80"))])
@pytest.mark.parametrize("host", ["h1", "h3"])
def test_traceroute(world: Routed, host: str, mode: str, options: tuple[str, ...]) -> None:
    gateway = {"h1": "10.0.1.1", "h3": "10.0.2.1"}[host]
    text = getattr(world, host).run("traceroute", "-n", "-q", 2, "-w", 2, "-m", 5, *options, WEB, timeout=40).stdout
    hops = [re.findall(r"\d+\.\d+\.\d+\.\d+", line)[:1] for line in text.splitlines()[1:]]
    assert hops == [[gateway], [ISP], [WEB]], text
    assert "!" not in text and "*" not in text, text


def test_time_exceeded_is_made_by_the_gateway(world: Routed, agent: Agent) -> None:
    before = agent.drops().get("ttl_exceeded", 0)
    packet = ipv4(H3, WEB, UDP, udp(H3, WEB, 4000, 4001, b"short life"), ttl=1)
    with Capture(world.h3, "eth0", keep=lambda p: p.protocol == ICMP) as inside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        wire.send_ip(packet)
        error = inside.wait_for(lambda p: p.icmp_type == 11)[0]
    assert (error.source, error.destination, error.icmp_code) == ("10.0.2.1", H3, 0)
    assert error.checksums_right() and error.quoted
    assert error.quoted.ip[:20] == packet[:20]
    assert (error.quoted.source_port, error.quoted.destination_port) == (4000, 4001)
    assert agent.drops()["ttl_exceeded"] == before + 1


def test_no_error_about_an_error(world: Routed) -> None:
    """An ICMP error, a later fragment and a broadcast never cause an ICMP error (RFC 1122 3.2.2)."""
    inner = ipv4(WEB, H3, UDP, udp(WEB, H3, 1, 2))
    error = b"\x03\x01\xfc\xfe\0\0\0\0" + inner[:28]
    with Capture(world.h3, "eth0", keep=lambda p: p.icmp_type in (3, 11)) as inside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        wire.send_ip(ipv4(H3, WEB, ICMP, error, ttl=1))
        wire.send_ip(ipv4(H3, WEB, UDP, b"x" * 64, ttl=1, dont_fragment=False, offset=1480))
        time.sleep(0.5)
    assert not inside.packets


def test_time_exceeded_for_a_reply(world: Routed, agent: Agent) -> None:
    """A packet from outside that runs out of life at the gateway is answered from the outside address."""
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers, \
            world.h3.socket(socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", (WEB, 7))
        client.recv(10)
        host, port = peers[0]
        with Capture(world.isp, "gw0", keep=lambda p: p.icmp_type == 11) as outside, \
                Wire(world.isp, "gw0", world.wan_mac) as wire:
            wire.send_ip(ipv4(WEB, host, UDP, udp(WEB, host, 7, port, b"late"), ttl=1))
            error = outside.wait_for(lambda p: True)[0]
    assert (error.source, error.destination) == (GATEWAY_OUTSIDE, WEB)
    assert error.quoted and (error.quoted.destination, error.quoted.destination_port) == (host, port)
    assert error.checksums_right()


# Path MTU discovery

def test_frag_needed_from_behind_the_gateway(world: Routed, agent: Agent) -> None:
    _narrow_way_to_the_web(world, 1400)
    text = world.h1.run("ping", "-n", "-M", "do", "-c", 1, "-W", 2, "-s", 1400, WEB, check=False).stdout
    assert f"From {ISP}" in text and "mtu = 1400" in text, text
    text = world.h1.run("ping", "-n", "-M", "do", "-c", 1, "-W", 2, "-s", 1372, WEB).stdout
    assert "1 received" in text


def test_tracepath(world: Routed, agent: Agent) -> None:
    _narrow_way_to_the_web(world, 1400)
    text = world.h1.run("tracepath", "-n", "-m", 5, WEB, timeout=30).stdout
    assert "pmtu 1400" in text, text
    assert re.search(rf"{re.escape(WEB)}.*reached", text), text
    assert "Resume: pmtu 1400 hops 3 back 3" in text, text


def test_tcp_finds_the_path_mtu_outwards(world: Routed, agent: Agent) -> None:
    """The server offers 1460, the wire before it carries 1400: only a translated ICMP error can help."""
    _narrow_way_to_the_web(world, 1400)
    with services.echo_server(world.web, WEB, 7), Capture(
            world.h3, "eth0", keep=lambda p: p.icmp_type == 3) as inside, services.Conversation(world.h3, WEB, 7) as talk:
        talk.say(100_000)
    error = inside.packets[0]
    assert (error.source, error.icmp_code, error.icmp_rest & 0xFFFF) == (ISP, 4, 1400)
    assert error.quoted and (error.quoted.source, error.quoted.destination) == (H3, WEB)
    assert error.checksums_right()


def test_tcp_finds_the_path_mtu_inwards(world: Routed, agent: Agent) -> None:
    """A narrow wire behind a router inside: its ICMP error goes out translated, with no private address in it."""
    _narrow_way_to_h4(world, 1300)
    with Capture(world.isp, "gw0", keep=lambda p: p.icmp_type == 3) as outside:
        got = world.h4.run("curl", "-sS", "--max-time", 10, "-o", "/dev/null", "-w", "%{size_download}",
                           f"http://{WEB}/file").stdout
    assert got == "3000000"
    error = outside.packets[0]
    assert (error.source, error.destination, error.icmp_code, error.icmp_rest & 0xFFFF) == (EIP1, WEB, 4, 1300)
    assert error.quoted and (error.quoted.source, error.quoted.destination, error.quoted.source_port) == (WEB, EIP1, 80)
    assert error.checksums_right()


def test_frag_needed_made_by_the_gateway_outwards(world: Routed, agent: Agent) -> None:
    _narrow_wire(world, "wan", 1300)
    before = agent.drops().get("fragmentation_needed", 0)
    text = world.h1.run("ping", "-n", "-M", "do", "-c", 1, "-W", 2, "-s", 1400, WEB, check=False).stdout
    assert "From 10.0.1.1" in text and "mtu = 1300" in text, text
    assert "1 received" in world.h1.run("ping", "-n", "-M", "do", "-c", 1, "-W", 2, "-s", 1272, WEB).stdout
    assert agent.drops()["fragmentation_needed"] == before + 1
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h2, WEB, 7) as talk:
        talk.say(100_000)


def test_frag_needed_made_by_the_gateway_inwards(world: Routed, agent: Agent) -> None:
    _narrow_wire(world, "db", 1300)
    with Capture(world.isp, "gw0", keep=lambda p: p.icmp_type == 3) as outside, \
            services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers, \
            world.h3.socket(socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", (WEB, 7))
        client.recv(10)
        host, port = peers[0]
        with Wire(world.isp, "gw0", world.wan_mac) as wire:
            wire.send_ip(ipv4(WEB, host, UDP, udp(WEB, host, 7, port, b"x" * 1400)))
            error = outside.wait_for(lambda p: True)[0]
    assert (error.source, error.destination, error.icmp_code, error.icmp_rest & 0xFFFF) == (
        GATEWAY_OUTSIDE, WEB, 4, 1300)
    assert error.quoted and error.quoted.destination == EIP1
    assert error.checksums_right()


# Large packets and fragments

@pytest.mark.row("4787-REQ-13a", "1812-§4.2.2.7-a")
def test_large_packet_that_may_be_fragmented(world: Routed, agent: Agent) -> None:
    _narrow_wire(world, "wan", 1300)
    with Capture(world.isp, "gw0", keep=lambda p: p.kind == 0x0800) as outside:
        text = world.h1.run("ping", "-n", "-M", "dont", "-c", 3, "-i", 0.05, "-W", 2, "-s", 1400, WEB).stdout
        data = os.urandom(1400)
        with world.web.socket(socket.SOCK_DGRAM) as server, Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
            server.bind((WEB, 9))
            server.settimeout(5)
            for _ in range(3):
                wire.send_ip(ipv4(H3, WEB, UDP, udp(H3, WEB, 5000, 9, data), dont_fragment=False))
                received, (address, port) = server.recvfrom(65535)  # its checksum was right, or it would not be here
                assert received == data and address == EIP1
    assert "3 received" in text, text
    assert {packet.source for packet in outside.packets} == {EIP1}
    for protocol in (ICMP, UDP):
        of_protocol = [packet for packet in outside.packets if packet.protocol == protocol]
        assert len({packet.identification for packet in of_protocol}) == 3
        assert len(of_protocol) == 6, "few fragments: two are enough"
        for first, second in zip(of_protocol[::2], of_protocol[1::2], strict=True):
            assert first.identification == second.identification
            assert first.offset == 0 and first.more_fragments and not second.more_fragments
            assert second.offset == len(first.ip) - 20
            assert protocol == ICMP or first.source_port == port


def test_fragments_of_udp_both_ways(world: Routed, agent: Agent) -> None:
    data = os.urandom(4000)
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers, Capture(
            world.isp, "gw0", keep=lambda p: p.protocol == UDP) as outside:
        for host in (world.h1, world.h3):
            with host.socket(socket.SOCK_DGRAM) as client:
                for _ in range(5):
                    client.sendto(data, (WEB, 7))
                    assert client.recv(65535) == data
    assert len(peers) == 10
    assert len(outside.packets) == 30
    assert {packet.source for packet in outside.packets} == {EIP1}
    assert all(packet.checksums_right() for packet in outside.packets)


def test_fragments_of_ping(world: Routed, agent: Agent) -> None:
    for size in (2000, 9000):
        text = world.h1.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 2, "-s", size, WEB).stdout
        assert "3 received" in text, text


def test_the_smallest_mtu(world: Routed, agent: Agent) -> None:
    """576 bytes, which every host of IPv4 takes, are enough for everything to get through."""
    _narrow_wire(world, "web", 576)
    got = world.h1.run("curl", "-sS", "--max-time", 20, "-o", "/dev/null", "-w", "%{size_download}",
                       f"http://{WEB}/file").stdout
    assert got == "3000000"
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h1, WEB, 7) as talk:
        talk.say(50_000)


def test_later_fragment_without_first_is_dropped(world: Routed, agent: Agent) -> None:
    before = agent.drops().get("fragment_without_first", 0)
    with Capture(world.isp, "gw0", keep=lambda p: p.protocol in (UDP, TCP)) as outside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        wire.send_ip(ipv4(H3, WEB, UDP, b"y" * 64, identification=4711, dont_fragment=False, offset=1480))
        eventually(lambda: agent.drops().get("fragment_without_first", 0) == before + 1)
    assert not outside.packets
