# SPDX-License-Identifier: Apache-2.0
"""Hosts that reach each other through the Elastic IP that they both leave by: real sockets on both sides."""

import copy
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import Agent, Capture, Namespace, OneArmed, Routed, eventually, services
from lab.frames import ICMP, UDP
from lab.world import EIP1, EIP2, H1, H2, WEB, World

Address = tuple[str, int]
MAPPED = {"mapping": "endpoint_independent"}  # TCP too: a port that others can be told


def _configuration(world: World, **changes: object) -> dict:
    configuration = copy.deepcopy(world.configuration())
    configuration["nat_gateways"][0].update(MAPPED, **changes)
    return configuration


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world)) as running:
        yield running


@pytest.fixture(autouse=True)
def accounts(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in ("agent", "one_armed_agent"):
        if name in request.fixturenames:
            request.getfixturevalue(name).check_accounts()


class Party:
    """A host's UDP socket, and the external endpoint that a server outside has seen it by."""

    def __init__(self, namespace: Namespace, server: list[Address]):
        self.socket = namespace.socket(socket.SOCK_DGRAM, timeout=3.0)
        # Fragments instead of errors.
        self.socket.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
        self.socket.sendto(b"who am I?", (WEB, 7))
        assert self.socket.recvfrom(100)[0] == b"who am I?"
        self.external: Address = server[-1]

    def __enter__(self) -> "Party":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, to: "Party", data: bytes) -> None:
        self.socket.sendto(data, to.external)

    def receive(self) -> tuple[bytes, Address]:
        return self.socket.recvfrom(65535)


def _open(one: Party, other: Party) -> None:
    """The first packet is what lets the other side in; it is not let in itself."""
    one.send(other, b"knock")


def _talk(one: Party, other: Party, *sizes: int) -> None:
    for size in sizes or (100,):
        for sender, receiver in ((other, one), (one, other)):
            data = os.urandom(size)
            sender.send(receiver, data)
            assert receiver.receive() == (data, sender.external)


def test_udp(world: Routed, agent: Agent, peers: list[Address]) -> None:
    """Behind one inside device and behind two; with a gateway that knows the neighbours and with one that does not."""
    for other in (world.h2, world.h3):
        world.forget_neighbours()
        with Party(world.h1, peers) as a, Party(other, peers) as b:
            assert a.external[0] == b.external[0] == EIP1
            _open(a, b)
            _talk(a, b)


def test_what_is_on_the_wire(world: Routed, agent: Agent, peers: list[Address]) -> None:
    with Party(world.h1, peers) as a, Party(world.h2, peers) as b, Capture(world.h2, "eth0") as seen, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == UDP) as outside:
        _open(a, b)
        _talk(a, b)
    packet, = seen.matching(lambda p: p.protocol == UDP)
    assert (packet.source, packet.source_port) == a.external
    assert packet.ttl == 63 and packet.checksums_right()
    assert not seen.matching(lambda p: p.source == H1), "the private address is shown"
    assert not outside.packets, "what is between instances leaves the gateway"


@pytest.mark.row("1812-§5.2.7.2-a")
def test_no_redirect(world: Routed, agent: Agent, peers: list[Address]) -> None:
    """RFC 1812 section 5.2.7.2: the packet goes out where it came in, and its sender is not told to go directly."""
    with Capture(world.h1, "eth0", keep=lambda p: p.protocol == ICMP) as one, \
            Capture(world.h2, "eth0", keep=lambda p: p.protocol == ICMP) as other:
        with Party(world.h1, peers) as a, Party(world.h2, peers) as b:
            world.forget_neighbours()  # the first goes by the kernel, which would send one
            _open(a, b)
            _talk(a, b, 100, 100)
        one.settle()
        other.settle()
        assert not [p for p in one.packets + other.packets if p.icmp_type == 5]


def test_fragments(world: Routed, agent: Agent, peers: list[Address]) -> None:  # RFC 5780 section 3.5
    with Party(world.h1, peers) as a, Party(world.h3, peers) as b:
        _open(a, b)
        _talk(a, b, 100, 3000, 20000)


def test_error(world: Routed, agent: Agent, peers: list[Address]) -> None:  # RFC 5508 REQ-7
    with Party(world.h1, peers) as a, Party(world.h2, peers) as b:
        _open(a, b)
        _talk(a, b)
        a.socket.connect(b.external)
        b.socket.close()
        with Capture(world.h1, "eth0", keep=lambda p: p.icmp_type == 3) as seen:
            a.socket.send(b"is anybody there?")
            with pytest.raises(ConnectionRefusedError):
                a.socket.recv(100)
        error, = seen.packets
        assert error.source == EIP1 and error.destination == H1 and error.checksums_right()
        assert error.quoted and error.quoted.source == H1
        assert (error.quoted.destination, error.quoted.destination_port) == b.external


def test_itself(world: Routed, agent: Agent, peers: list[Address]) -> None:
    with Party(world.h1, peers) as a, Party(world.h1, peers) as b:
        _open(a, b)
        _talk(a, b)
        a.send(a, b"me")
        assert a.receive() == (b"me", a.external)


def test_nobody_there(world: Routed, agent: Agent, peers: list[Address]) -> None:
    with Party(world.h1, peers) as a:
        before, dropped = agent.flow_count(), agent.drops().get("unsolicited", 0)
        for port in range(1, 101):
            a.socket.sendto(b"x", (EIP1, port))
        eventually(lambda: agent.drops().get("unsolicited", 0) == dropped + 100)
        assert agent.flow_count() <= before


@contextmanager
def _tcp_port(namespace: Namespace, port: int, server: list[Address]) -> Iterator[Address]:
    """Keeps a connection to the server outside open from `port`, and gives the external endpoint."""
    with _bound(namespace, port) as keeper:
        keeper.connect((WEB, 8))
        keeper.sendall(b"hello")
        assert keeper.recv(100) == b"hello"
        yield server[-1]


def _bound(namespace: Namespace, port: int) -> socket.socket:
    made = namespace.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("0.0.0.0", port))
    return made


def test_tcp_opened_from_both_sides(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 8) as server, _tcp_port(world.h1, 5000, server) as a, \
            _tcp_port(world.h2, 6000, server) as b, _bound(world.h1, 5000) as one, _bound(world.h2, 6000) as other:
        connecting = threading.Thread(target=one.connect, args=(b,))  # its first SYN is refused, and sent again
        connecting.start()
        other.connect(a)
        connecting.join()
        assert one.getpeername() == b and other.getpeername() == a
        for sender, receiver in ((one, other), (other, one)):
            data = os.urandom(1_000_000)
            sending = threading.Thread(target=sender.sendall, args=(data,))
            sending.start()
            got = b""
            while len(got) < len(data) and (more := receiver.recv(65536)):
                got += more
            sending.join()
            assert got == data
        one.shutdown(socket.SHUT_WR)
        assert other.recv(1) == b""
        other.sendall(b"half closed")
        assert one.recv(100) == b"half closed"


def test_a_server_that_anybody_may_reach(world: Routed, agent: Agent) -> None:
    """With endpoint-independent filtering a port that is in use serves the other instances, too."""
    agent.reload(_configuration(world, filtering="endpoint_independent"))
    content = services.random_file(3_000_000)
    with services.echo_server(world.web, WEB, 8) as server, _tcp_port(world.h2, 80, server) as (address, port):
        services.nginx(world.h2, H2, {"file": content})
        target = world.lab.path("hairpin")
        for client in (world.h1, world.h3, world.h2):
            client.run("curl", "-sS", "--max-time", 10, "-o", target, f"http://{address}:{port}/file")
            assert Path(target).read_bytes() == content
            assert client.run("curl", "-sS", "--max-time", 10,
                              f"http://{address}:{port}/who").stdout.startswith(f"{EIP1}:")
    agent.reload(_configuration(world))


def test_restart(world: Routed, agent: Agent, peers: list[Address]) -> None:
    with Party(world.h1, peers) as a, Party(world.h2, peers) as b:
        _open(a, b)
        _talk(a, b)
        agent.stop()
        _talk(a, b)
        agent.start()
        _talk(a, b)


def test_reload(world: Routed, agent: Agent, peers: list[Address]) -> None:
    """Without the Elastic IP there is neither of the two flows; with hairpin off neither is made."""
    with Party(world.h1, peers) as a, Party(world.h2, peers) as b:
        _open(a, b)
        _talk(a, b)
        other = _configuration(world)
        other["elastic_ips"] = [{"name": "eip-2", "address": EIP2}]
        other["nat_gateways"][0]["elastic_ips"] = ["eip-2"]
        agent.reload(other)
        a.socket.settimeout(0.5)
        for sender, receiver in ((a, b), (b, a)):
            sender.send(receiver, b"lost")
        with pytest.raises(TimeoutError):
            a.receive()
        assert agent.drops()["flow_cut"] >= 2
    agent.reload(_configuration(world, hairpin="off"))
    with Party(world.h1, peers) as a, Party(world.h2, peers) as b:
        before = agent.drops().get("elastic_ip_from_inside", 0)
        a.send(b, b"knock")
        b.send(a, b"knock")
        eventually(lambda: agent.drops().get("elastic_ip_from_inside", 0) == before + 2)
    agent.reload(_configuration(world, hairpin="same_tenant"))
    with Party(world.h1, peers) as a, Party(world.h2, peers) as b:
        _open(a, b)
        _talk(a, b)
    agent.reload(_configuration(world))


@pytest.fixture(scope="module")
def one_armed_agent(one_armed: OneArmed) -> Iterator[Agent]:
    with Agent(one_armed.gateway, _configuration(one_armed)) as running:
        yield running


@pytest.mark.row("1812-§5.2.7.2-a")
def test_one_arm(one_armed: OneArmed, one_armed_agent: Agent) -> None:
    with services.echo_server(one_armed.web, WEB, 7, socket.SOCK_DGRAM) as met, \
            Capture(one_armed.h1, "eth0", keep=lambda p: p.icmp_type == 5) as redirects, \
            Party(one_armed.h1, met) as a, Party(one_armed.h2, met) as b:
        _open(a, b)
        _talk(a, b, 100, 3000)
        redirects.settle()
        assert not redirects.packets
