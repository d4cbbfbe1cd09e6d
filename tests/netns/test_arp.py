# SPDX-License-Identifier: Apache-2.0
"""Elastic IPs on the link are the gateway's to answer for; nothing else is."""

import time

import pytest

from lab import Agent, Capture, Routed
from lab.capture import Wire
from lab.frames import Packet, arp, ethernet
from lab.world import EIP1, EIP2, EIP3, GATEWAY_OUTSIDE, H1, ISP

BROADCAST = "ff:ff:ff:ff:ff:ff"


def _ask(world: Routed, namespace, device: str, target: str, sender: str = ISP, to: str = BROADCAST,
         wait: float = 0.4) -> list[Packet]:
    """Sends an ARP request and gives the replies for its target."""
    with Capture(namespace, device, keep=lambda p: p.arp_operation == 2 and p.arp_sender == target) as capture, \
            Wire(namespace, device, BROADCAST) as wire:
        wire.send(ethernet(wire.mac, to, arp(1, wire.mac, sender, "00:00:00:00:00:00", target), 0x0806))
        time.sleep(wait)
    return capture.packets


def test_elastic_ip_is_answered(world: Routed, agent: Agent) -> None:
    before = agent.devices()["wan0"]["answered"]
    for to, sender in ((BROADCAST, ISP), (world.wan_mac, ISP), (BROADCAST, "0.0.0.0")):
        reply, = _ask(world, world.isp, "gw0", EIP1, sender, to)
        assert reply.arp_sender_mac == world.wan_mac == reply.source_mac
        assert reply.destination_mac == world.isp.mac("gw0")
    assert agent.devices()["wan0"]["answered"] == before + 3
    agent.check_accounts()


@pytest.mark.parametrize("address", [EIP2, "198.51.100.99", ISP, "203.0.113.10", H1, "0.0.0.0"])
def test_nobody_elses_address_is_answered(world: Routed, agent: Agent, address: str) -> None:
    assert not _ask(world, world.isp, "gw0", address, sender="198.51.100.200")


def test_own_address_is_answered_by_the_kernel_once(world: Routed, agent: Agent) -> None:
    before = agent.devices()["wan0"]
    assert len(_ask(world, world.isp, "gw0", GATEWAY_OUTSIDE)) == 1
    after = agent.devices()["wan0"]
    assert after["answered"] == before["answered"]
    assert after["passed"] > before["passed"]


def test_elastic_ip_is_not_answered_inside(world: Routed, agent: Agent) -> None:
    assert not _ask(world, world.h3, "eth0", EIP1, sender="10.0.2.11")


def test_neighbours_learn_of_a_bound_address(world: Routed, agent: Agent) -> None:
    """Gratuitous ARP when an Elastic IP is bound, for that one only; the neighbour's old entry is corrected."""
    world.isp.ip(f"neigh replace {EIP2} lladdr 02:00:00:00:00:99 dev gw0 nud stale")
    configuration = world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2},
                     {"name": "eip-3", "address": EIP3}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-2"]}])
    with Capture(world.isp, "gw0", keep=_gratuitous) as capture:
        agent.reload(configuration)
        announced = capture.wait_for(lambda p: p.arp_sender == EIP2)
    assert all(packet.arp_sender_mac == world.wan_mac == packet.source_mac for packet in announced)
    assert all(packet.destination_mac == BROADCAST for packet in announced)
    assert EIP1 not in {packet.arp_sender for packet in capture.packets}
    assert world.isp.ip_json(f"neigh show {EIP2}")[0]["lladdr"] == world.wan_mac
    assert _ask(world, world.isp, "gw0", EIP2)
    agent.reload(world.configuration())
    assert not _ask(world, world.isp, "gw0", EIP2)
    agent.check_accounts()


def test_neighbours_learn_of_it_at_start(world: Routed, agent: Agent) -> None:
    agent.detach_and_stop()
    with Capture(world.isp, "gw0", keep=_gratuitous) as capture:
        agent.start()
        capture.wait_for(lambda p: p.arp_sender == EIP1)


def _gratuitous(packet: Packet) -> bool:
    return packet.kind == 0x0806 and packet.arp_sender == packet.arp_target and not packet.outgoing


def test_malformed_arp_is_left_to_the_kernel(world: Routed, agent: Agent) -> None:
    before = agent.devices()["wan0"]
    with Wire(world.isp, "gw0", world.wan_mac) as wire:
        good = arp(1, wire.mac, ISP, "00:00:00:00:00:00", EIP1)
        for payload in (good[:20], b"\0\6" + good[2:], good[:4] + b"\x08\x04" + good[6:], b""):
            wire.send(ethernet(wire.mac, BROADCAST, payload, 0x0806))
        time.sleep(0.3)
    after = agent.devices()["wan0"]
    assert after["answered"] == before["answered"]
    agent.check_accounts()
