# SPDX-License-Identifier: Apache-2.0
"""Neighbours come, go and change; the first packet is not lost."""

import socket
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, Routed, services
from lab.capture import Wire
from lab.core import Namespace, eventually
from lab.frames import ICMP, UDP, ipv4, udp
from lab.world import EIP1, GATEWAY_INSIDE, H1, H3, ISP, WEB


@pytest.fixture(autouse=True)
def accounts(agent: Agent) -> Iterator[None]:
    yield
    agent.check_accounts()


def _deaf(namespace: Namespace, deaf: bool) -> None:
    """A host that answers no ARP request, as if it were slow."""
    namespace.sysctl(f"net.ipv4.conf.all.arp_ignore={8 if deaf else 0}")


def _forgotten(world: Routed, address: str) -> bool:
    return not any("lladdr" in entry for entry in world.gateway.ip_json(f"neigh show {address}"))


def test_first_packet_ever(world: Routed, agent: Agent) -> None:
    """Nobody has spoken yet: a single datagram each way arrives."""
    world.forget_neighbours()
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers:
        for host in (world.h1, world.h2, world.h3):
            with host.socket(socket.SOCK_DGRAM, timeout=5) as client:
                client.sendto(b"just once", (WEB, 7))
                assert client.recv(100) == b"just once"
        assert len(peers) == 3 and {peer[0] for peer in peers} == {EIP1}


def test_packet_out_waits_for_an_unresolved_neighbour(world: Routed, agent: Agent) -> None:
    with Capture(world.isp, "gw0", keep=lambda p: p.protocol == UDP) as outside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        _deaf(world.isp, True)
        world.gateway.ip(f"neigh flush {ISP}")
        eventually(lambda: _forgotten(world, ISP))
        time.sleep(0.3)
        wire.send_ip(ipv4(H3, WEB, UDP, udp(H3, WEB, 5001, 9, b"patience")))
        time.sleep(0.3)
        outside.settle()
        assert not outside.packets
        _deaf(world.isp, False)
        arrived = outside.wait_for(lambda p: p.payload == b"patience")
        time.sleep(0.5)
    assert len(outside.packets) == 1
    assert arrived[0].source == EIP1 and arrived[0].checksums_right()


def test_packet_in_waits_for_an_unresolved_instance(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers, \
            world.h3.socket(socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", (WEB, 7))
        client.recv(10)
        host, port = peers[0]
        inner_port = client.getsockname()[1]
        with Capture(world.h3, "eth0", keep=lambda p: p.protocol == UDP) as inside, \
                Wire(world.isp, "gw0", world.wan_mac) as wire:
            _deaf(world.h3, True)
            world.gateway.ip(f"neigh flush {H3}")
            eventually(lambda: _forgotten(world, H3))
            time.sleep(0.3)
            wire.send_ip(ipv4(WEB, host, UDP, udp(WEB, host, 7, port, b"patience")))
            time.sleep(0.3)
            inside.settle()
            assert not inside.packets
            _deaf(world.h3, False)
            arrived = inside.wait_for(lambda p: p.payload == b"patience")
            time.sleep(0.5)
        assert len(inside.packets) == 1
        assert (arrived[0].destination, arrived[0].destination_port) == (H3, inner_port)
        assert arrived[0].checksums_right()


@pytest.mark.row("1812-§4.3.3.1-a")
def test_a_neighbour_that_never_answers(world: Routed, agent: Agent) -> None:
    """Once the kernel has given up, the sender is told, about its packet as it sent it."""
    silent = "198.51.100.99"
    packet = ipv4(H3, silent, UDP, udp(H3, silent, 5001, 9, b"anybody"))
    with Capture(world.h3, "eth0", keep=lambda p: p.protocol == ICMP) as inside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        def told() -> bool:
            wire.send_ip(packet)
            time.sleep(0.2)
            return bool(inside.packets)
        eventually(told, timeout=15)
        time.sleep(0.5)
    for error in inside.packets:
        assert (error.source, error.icmp_type, error.icmp_code) == (GATEWAY_INSIDE["lan1"], 3, 1)
        assert error.checksums_right() and error.quoted is not None
        assert (error.quoted.source, error.quoted.source_port, error.quoted.ttl) == (H3, 5001, 64)


def test_router_with_a_new_hardware_address(world: Routed, agent: Agent) -> None:
    """The router outside is exchanged: as soon as the kernel knows, established flows follow."""
    old = world.isp.mac("gw0")
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h1, WEB, 7) as talk:
        talk.say()
        world.isp.ip("link set gw0 address 02:5a:11:00:00:01", f"neigh replace {EIP1} lladdr {world.wan_mac} dev gw0")
        world.gateway.ip(f"neigh replace {ISP} lladdr 02:5a:11:00:00:01 dev wan0 nud reachable")
        talk.say()
        world.isp.ip(f"link set gw0 address {old}", f"neigh replace {EIP1} lladdr {world.wan_mac} dev gw0")
        world.gateway.ip(f"neigh replace {ISP} lladdr {old} dev wan0 nud reachable")
        talk.say()
        assert talk.retransmissions() <= 2


def test_instance_with_a_new_hardware_address(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h1, WEB, 7) as talk:
        talk.say()
        world.h1.ip("link set eth0 address 02:5a:11:00:00:02")
        world.h1.run("ping", "-c", 1, "-W", 1, "10.0.1.1")  # the gateway hears of it
        talk.say()
        assert talk.retransmissions() <= 4


def test_new_default_route(world: Routed, agent: Agent) -> None:
    """The kernel's route to the outside changes: flows take the new one."""
    second = "198.51.100.253"
    world.isp.ip(f"addr add {second}/24 dev gw0")
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h1, WEB, 7) as talk:
        talk.say()
        world.gateway.ip(f"route replace default via {second}")
        talk.say()
        world.gateway.ip(f"route replace default via {ISP}")
        talk.say()
        assert talk.retransmissions() <= 2
    world.isp.ip(f"addr del {second}/24 dev gw0")


def test_device_that_goes_down_and_up(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h1, WEB, 7) as talk:
        talk.say()
        world.gateway.ip("link set wan0 down")
        time.sleep(0.3)
        world.gateway.ip("link set wan0 up", f"route replace default via {ISP}")
        talk.say()
    device = agent.devices()["wan0"]
    assert device["attached"] and device["mode"] == "native"
    assert world.h1.run("ping", "-n", "-c", 1, "-W", 2, "-I", H1, WEB).stdout
