# SPDX-License-Identifier: Apache-2.0
"""Fragments in every order, with the agent that holds those that come before their first."""

import itertools
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Agent, Capture, OneArmed, Routed, services
from lab.capture import Wire
from lab.core import eventually
from lab.frames import ICMP, SYN, TCP, UDP, echo, ipv4, parse, tcp, udp
from lab.fragments import ORDERS, flow, fragments, receive, send_in_all_orders
from lab.relay import BackwardRelay
from lab.world import EIP1, GATEWAY_OUTSIDE, H1, H3, WEB

@pytest.fixture(autouse=True)
def accounts(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    agent = request.getfixturevalue("one_armed_agent" if "one_armed" in request.fixturenames else "agent")
    agent.check_accounts()
    eventually(lambda: all(device["held"] == 0 for device in agent.status()["devices"]), what="nothing is held")


@pytest.fixture(scope="module")
def one_armed_agent(one_armed: OneArmed) -> Iterator[Agent]:
    with Agent(one_armed.gateway, one_armed.configuration()) as running:
        yield running


@pytest.mark.row("4787-REQ-14")
@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_all_orders_from_outside(world: Routed, agent: Agent, pause: float) -> None:
    """RFC 4787 REQ-14: 4000 bytes in three fragments."""
    with flow(world.h3, H3, 5000 + int(10 * pause), agent) as (inside, external), \
            Wire(world.isp, "gw0", world.wan_mac) as wire:
        payloads = [os.urandom(4000) for _ in ORDERS]
        send_in_all_orders(wire, [fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, payload), 100 + number)
                                  for number, payload in enumerate(payloads)], pause)
        assert receive(inside, 6) == set(payloads)


@pytest.mark.row("4787-REQ-14")
@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_all_orders_from_inside(world: Routed, agent: Agent, pause: float) -> None:
    with world.web.socket(socket.SOCK_DGRAM) as outside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == UDP) as capture:
        outside.bind((WEB, 9))
        payloads = [os.urandom(4000) for _ in ORDERS]
        send_in_all_orders(wire, [fragments(H3, WEB, UDP, udp(H3, WEB, 5001, 9, payload),
                                            # Others each time: a sender must not use one again so soon.
                                            200 + int(100 * pause) + number)
                                  for number, payload in enumerate(payloads)], pause)
        assert receive(outside, 6) == set(payloads)
    assert {packet.source for packet in capture.packets} == {EIP1}
    assert len(capture.packets) == 18 and len({packet.identification for packet in capture.packets}) == 6
    assert all(packet.checksums_right() and packet.ttl == 63 for packet in capture.packets)


@pytest.mark.parametrize("protocol", [TCP, ICMP])
def test_other_protocols_from_inside(world: Routed, agent: Agent, protocol: int) -> None:
    """What leaves, put together, is the datagram but for its translation."""
    payload = os.urandom(4000)
    segment = tcp(H3, WEB, 5002, 9, SYN, payload=payload) if protocol == TCP else echo(77, 1, payload)
    with Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == protocol and p.source == EIP1) as capture:
        for number, order in enumerate(ORDERS):
            pieces = fragments(H3, WEB, protocol, segment, 300 + number)
            for which in order:
                wire.send_ip(pieces[which])
        capture.wait_for(lambda p: True, 18)
    for identification in {packet.identification for packet in capture.packets}:
        own = sorted((p for p in capture.packets if p.identification == identification), key=lambda p: p.offset)
        body = b"".join(p.ip[20:] for p in own)
        whole = parse(b"\0" * 12 + b"\x08\0" + ipv4(EIP1, WEB, protocol, body))
        assert whole.checksums_right() and whole.payload == payload
    assert len({packet.identification for packet in capture.packets}) == 6


def test_all_orders_on_one_device(one_armed: OneArmed, one_armed_agent: Agent) -> None:
    mac = one_armed.gateway.mac("arm0")
    with flow(one_armed.h1, H1, 5000, one_armed_agent) as (inside, external), \
            one_armed.web.socket(socket.SOCK_DGRAM) as outside, Wire(one_armed.isp, "gw0", mac) as from_outside, \
            Wire(one_armed.h1, "eth0", mac) as from_inside:
        outside.bind((WEB, 9))
        payloads = [os.urandom(4000) for _ in ORDERS]
        send_in_all_orders(from_outside, [fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, payload), 100 + number)
                                          for number, payload in enumerate(payloads)], 0)
        assert receive(inside, 6) == set(payloads)
        send_in_all_orders(from_inside, [fragments(H1, WEB, UDP, udp(H1, WEB, 5001, 9, payload), 200 + number)
                                         for number, payload in enumerate(payloads)], 0)
        assert receive(outside, 6) == set(payloads)


def test_towards_a_neighbour_that_is_not_resolved(world: Routed, agent: Agent) -> None:
    """The host's stack sends what was held, too."""
    with world.web.socket(socket.SOCK_DGRAM) as outside, Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        outside.bind((WEB, 9))
        payload = os.urandom(4000)
        pieces = fragments(H3, WEB, UDP, udp(H3, WEB, 5003, 9, payload), 400)
        world.forget_neighbours()
        for which in (2, 1, 0):
            wire.send_ip(pieces[which])
        assert receive(outside, 1) == {payload}


def test_held_for_two_seconds(world: Routed, agent: Agent) -> None:
    """What waits is shown, goes on if its first comes in time, and else is dropped for a reason."""
    before = agent.drops().get("fragment_without_first", 0)
    with flow(world.h3, H3, 5004, agent) as (inside, external), Wire(world.isp, "gw0", world.wan_mac) as wire:
        in_time, late = os.urandom(2000), os.urandom(2000)
        for payload, wait in ((in_time, 1.7), (late, 2.5)):
            pieces = fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, payload), 500 + len(payload) + int(wait))
            wire.send_ip(pieces[1])
            eventually(lambda: agent.devices()["wan0"]["held"] == 1)
            assert agent.scrape().value("sallyport_fragments_held", device="wan0") == 1
            time.sleep(wait - 0.2)
            wire.send_ip(pieces[0])
            if payload is in_time:
                assert receive(inside, 1) == {in_time}
        inside.settimeout(0.5)
        with pytest.raises(TimeoutError):
            inside.recv(65535)
    assert agent.drops()["fragment_without_first"] == before + 1


def test_release_takes_milliseconds(world: Routed, agent: Agent) -> None:
    with flow(world.h3, H3, 5005, agent) as (inside, external), Wire(world.isp, "gw0", world.wan_mac) as wire:
        inside.settimeout(5)
        took = []
        for number in range(50):
            pieces = fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, os.urandom(4000)), 600 + number)
            wire.send_ip(pieces[2])
            wire.send_ip(pieces[1])
            time.sleep(0.01)
            start = time.monotonic()
            wire.send_ip(pieces[0])
            inside.recv(65535)
            took.append(time.monotonic() - start)
    took.sort()
    print(f"from the first fragment to the whole datagram: median {took[25] * 1e3:.2f} ms, most {took[-1] * 1e3:.2f} ms")
    assert took[25] < 0.02


def test_fragments_to_the_gateway_itself_in_any_order(world: Routed, agent: Agent) -> None:
    with world.gateway.socket(socket.SOCK_DGRAM) as own, Wire(world.isp, "gw0", world.wan_mac) as wire:
        own.bind((GATEWAY_OUTSIDE, 9))
        payloads = [os.urandom(4000) for _ in ORDERS]
        segments = [udp(WEB, GATEWAY_OUTSIDE, 7, 9, payload) for payload in payloads]
        send_in_all_orders(wire, [fragments(WEB, GATEWAY_OUTSIDE, UDP, segment, 700 + number)
                                  for number, segment in enumerate(segments)], 0)
        assert receive(own, 6) == set(payloads)


class Flood:
    """200,000 lone fragments a second with random identifications: more would fill the wire, not the gateway."""

    def __init__(self, world: Routed, forged: bool):
        self._wire = Wire(world.isp, "gw0", world.wan_mac)
        self._forged = forged
        self._child = 0

    def __enter__(self) -> "Flood":
        frames = []
        for number in range(8192):
            source = f"192.0.2.{number % 250 + 1}" if self._forged else "192.0.2.1"
            frames.append(self._wire.header + ipv4(source, EIP1, UDP, b"z" * 100, dont_fragment=False, offset=1480,
                                                   identification=random.randrange(65536)))
        self._child = os.fork()
        if self._child == 0:
            start, sent = time.monotonic(), 0
            for frame in itertools.cycle(frames):
                try:
                    self._wire._socket.send(frame)
                except OSError:
                    pass
                sent += 1
                if sent % 50 == 0:
                    time.sleep(max(0.0, start + sent / 200_000 - time.monotonic()))
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        self._wire.__exit__()


@pytest.mark.row("4787-REQ-14a")
@pytest.mark.parametrize("forged", [False, True])
def test_flood_of_lone_fragments(world: Routed, agent: Agent, forged: bool) -> None:
    """RFC 4787 REQ-14: whole packets and fragments in order lose nothing, and memory stays bounded."""
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM), world.h3.socket(socket.SOCK_DGRAM) as whole, \
            world.h3.socket(socket.SOCK_DGRAM) as large:
        for client in (whole, large):
            client.settimeout(5)
        before = _memory(agent)
        start, packets = time.monotonic(), agent.devices()["wan0"]["received_packets"]
        with Flood(world, forged):
            end = start + 4
            rounds = 0
            while time.monotonic() < end:
                data, small = os.urandom(4000), os.urandom(100)
                large.sendto(data, (WEB, 7))
                whole.sendto(small, (WEB, 7))
                assert large.recv(65535) == data
                assert whole.recv(65535) == small
                rounds += 1
            assert agent.status()["ready"]  # and the agent has time for others
        took = time.monotonic() - start
        rate = (agent.devices()["wan0"]["received_packets"] - packets) / took
    print(f"{rounds} rounds during a flood of {rate:.0f} packets per second; memory grew by {_memory(agent) - before} KiB")
    assert rounds > 20
    assert _memory(agent) - before < 16 * 1024


def _memory(agent: Agent) -> int:
    """KiB that the agent has resident."""
    assert agent.process
    with open(f"/proc/{agent.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def test_real_programs_over_a_network_that_reorders(world: Routed, agent: Agent) -> None:
    """ping and a UDP conversation, whose datagrams come with their last fragment first, both ways."""
    far, other_web = world.lab.namespace("h4"), world.lab.namespace("web2")
    relays = []
    for near, device, end, router_address in ((world.h3, "behind", far, "10.0.3.1"),
                                              (world.isp, "web1", other_web, "192.0.2.1")):
        relay = world.lab.namespace(f"relay-{device}")
        world.lab.link(near, device, relay, "near")
        world.lab.link(relay, "far", end, "eth0")
        near.ip(f"addr add {router_address}/24 dev {device}")
        end.ip(f"addr add {router_address[:-1]}11/24 dev eth0", f"route add default via {router_address}")
        relays.append(BackwardRelay(relay, ("near", "far")))
    world.h3.sysctl("net.ipv4.ip_forward=1")
    world.gateway.ip(f"route add 10.0.3.0/24 via {H3}")
    agent.reload(with_far_subnet(world))
    with relays[0], relays[1]:
        text = far.run("ping", "-n", "-c", 10, "-i", 0.05, "-W", 2, "-s", 4000, "192.0.2.11").stdout
        assert "10 received" in text, text
        with services.echo_server(other_web, "192.0.2.11", 7, socket.SOCK_DGRAM), \
                far.socket(socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            for _ in range(50):
                data = os.urandom(4000)
                client.sendto(data, ("192.0.2.11", 7))
                assert client.recv(65535) == data
    assert relays[0].turned >= 60 and relays[1].turned >= 60


def test_iperf3_with_fragments_loses_nothing(world: Routed, agent: Agent) -> None:
    services.iperf3_server(world.web, WEB)
    for options in ((), ("-R",)):
        result = services.iperf3(world.h3, WEB, 2, "-u", "-l", 4000, "-b", "20M", *options)
        assert result["end"]["sum"]["lost_packets"] == 0 and result["end"]["sum"]["packets"] > 1000, result["end"]


def with_far_subnet(world: Routed) -> dict[str, Any]:
    configuration = world.configuration()
    configuration["subnets"].append({"name": "far", "vpc": "main", "cidr": "10.0.3.0/24", "route_table": "private"})
    return configuration
