# SPDX-License-Identifier: Apache-2.0
"""What the two ends of a TCP connection learn when the gateway forgets it."""

import socket
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, Routed
from lab.core import eventually
from lab.frames import RST, TCP
from lab.world import EIP1, H3, WEB

PORT = 7007


def _agent(world: Routed, **settings: object) -> Agent:
    configuration = world.configuration()
    configuration["nat_gateways"][0] |= {"timeouts": {"tcp_established": "3s"}, "allow_nonconformant_timeouts": True,
                                         **settings}
    return Agent(world.gateway, configuration)


@pytest.fixture
def ends(world: Routed) -> Iterator[tuple[socket.socket, socket.socket]]:
    """An instance's socket and a server's."""
    with world.web.socket() as listener, world.h3.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((WEB, PORT))
        listener.listen()
        yield client, listener


def _converse(ends: tuple[socket.socket, socket.socket]) -> tuple[socket.socket, socket.socket]:
    client, listener = ends
    client.connect((WEB, PORT))
    server, _ = listener.accept()
    server.settimeout(10)
    client.sendall(b"question")
    assert server.recv(100) == b"question"
    server.sendall(b"answer")
    assert client.recv(100) == b"answer"
    return client, server


@pytest.mark.row("5382-§5-d")
@pytest.mark.parametrize("mapping", ["address_and_port_dependent", "endpoint_independent"])
def test_both_ends_are_told_of_an_idle_timeout(world: Routed, ends: tuple[socket.socket, socket.socket],
                                               mapping: str) -> None:
    """RFC 5382 section 5: the kernels at both ends take the resets for right, so their numbers are exact."""
    with _agent(world, tcp_reset_on_idle_timeout=True, mapping={"tcp": mapping}) as agent, \
            Capture(world.h3, "eth0", keep=lambda p: p.protocol == TCP and bool(p.flags & RST)) as inside, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == TCP and bool(p.flags & RST)) as outside:
        client, server = _converse(ends)
        inside_port, outside_port = client.getsockname()[1], server.getpeername()[1]
        with server:
            with pytest.raises(ConnectionResetError):
                client.recv(100)
            assert agent.flow_count() == 0
            if mapping == "endpoint_independent":  # what the server expects is not kept
                server.settimeout(1)
                with pytest.raises(TimeoutError):
                    server.recv(100)
            else:
                with pytest.raises(ConnectionResetError):
                    server.recv(100)
        told, = inside.packets
        assert (told.source, told.source_port, told.destination, told.destination_port) == (WEB, PORT, H3, inside_port)
        assert told.checksums_right()
        assert [(p.source, p.source_port, p.destination, p.destination_port) for p in outside.packets] == (
            [(EIP1, outside_port, WEB, PORT)] if mapping != "endpoint_independent" else [])
        assert all(packet.checksums_right() for packet in outside.packets)


@pytest.mark.row("5382-§5-d")
def test_by_default_an_idle_timeout_is_silent(world: Routed, ends: tuple[socket.socket, socket.socket]) -> None:
    with _agent(world) as agent, \
            Capture(world.h3, "eth0", keep=lambda p: p.protocol == TCP and bool(p.flags & RST)) as inside, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == TCP and bool(p.flags & RST)) as outside:
        client, server = _converse(ends)
        with server:
            eventually(lambda: agent.scrape().value("sallyport_flow_table_entries") == 0, timeout=15)
            for end in (client, server):
                end.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    end.recv(100)
            assert not inside.packets and not outside.packets
            # The instance learns of it when it goes on.
            client.settimeout(10)
            client.sendall(b"still there?")
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        assert not outside.packets


def test_a_connection_in_use_is_not_reset(world: Routed, ends: tuple[socket.socket, socket.socket]) -> None:
    with _agent(world, tcp_reset_on_idle_timeout=True), \
            Capture(world.h3, "eth0", keep=lambda p: p.protocol == TCP and bool(p.flags & RST)) as inside:
        client, server = _converse(ends)
        with server:
            client.settimeout(0.3)
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    client.recv(100)
                client.sendall(b"x")
            received = b""
            while len(received) < 20:
                received += server.recv(100)
            # Before the server closes, which resets a connection of which anything is unread.
            assert not inside.packets
