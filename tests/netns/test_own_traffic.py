# SPDX-License-Identifier: Apache-2.0
"""The gateway's own traffic is nobody's business: losing the operator's session is the worst bug there can be."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab import Agent, Capture, Routed, eventually, services
from lab.capture import Wire
from lab.frames import ethernet, ipv4
from lab.world import EIP1, EIP2, GATEWAY_OUTSIDE, WEB

SESSION = 22


@contextmanager
def _sessions(world: Routed) -> Iterator[list[services.Chatter]]:
    """Connections to the gateway from inside on both devices, from outside, and from it to the outside."""
    with ExitStack() as stack:
        for address in ("10.0.1.1", "10.0.2.1", GATEWAY_OUTSIDE):
            stack.enter_context(services.echo_server(world.gateway, address, SESSION))
        stack.enter_context(services.echo_server(world.web, WEB, SESSION))
        yield [stack.enter_context(services.Chatter(client, address, SESSION)) for client, address in (
            (world.h1, "10.0.1.1"), (world.h3, "10.0.2.1"), (world.isp, GATEWAY_OUTSIDE),
            (world.web, GATEWAY_OUTSIDE), (world.gateway, WEB), (world.h1, "10.0.2.1"))]


def _check(sessions: list[services.Chatter], step: str, allowance: int = 2) -> None:
    for number, session in enumerate(sessions):
        try:
            session.check(allowance)
        except AssertionError as error:
            pytest.fail(f"{step}: session {number}: {error}")


def test_sessions_live_through_everything(world: Routed) -> None:
    """Attach, reload, detach, attach again, kill -9, restart: at most a stray segment is sent again."""
    with _sessions(world) as sessions, Agent(world.gateway, world.configuration()) as agent:
        _check(sessions, "attach", 3)
        agent.reload(world.configuration(
            elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
            nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-2"]}]))
        _check(sessions, "reload", 3)
        agent.kill()
        time.sleep(0.5)
        _check(sessions, "kill -9", 3)
        agent.start()
        _check(sessions, "restart", 3)
        agent.check_accounts()
        agent.text("detach")
        _check(sessions, "detach", 5)
        agent.reload()
        _check(sessions, "attach again", 7)
        agent.stop()
        _check(sessions, "stop", 7)
        agent.start()
        agent.check_accounts()


def test_bulk_to_the_gateway_itself(world: Routed, fresh_agent: Agent) -> None:
    services.iperf3_server(world.gateway, "10.0.1.1")
    services.iperf3_server(world.gateway, GATEWAY_OUTSIDE)
    for client, address in ((world.h1, "10.0.1.1"), (world.web, GATEWAY_OUTSIDE)):
        for options in ((), ("-R",)):
            result = services.iperf3(client, address, 1, *options)
            assert result["end"]["sum_received"]["bytes"] > 5_000_000
    assert fresh_agent.flow_count() == 0
    fresh_agent.check_accounts()


@pytest.mark.row("1812-§4.3.3.6-a")
def test_pings_and_names_of_the_gateway(world: Routed, fresh_agent: Agent) -> None:
    services.dns_server(world.web, WEB, {"name.example": "192.0.2.1"})
    answer = world.gateway.run("dig", "+short", "+timeout=3", "+tries=1", f"@{WEB}", "name.example").stdout
    assert answer == "192.0.2.1\n"
    for host, address in ((world.gateway, WEB), (world.h1, "10.0.1.1"), (world.web, GATEWAY_OUTSIDE),
                          (world.gateway, "10.0.1.11")):
        assert "3 received" in host.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 2, "-s", 1000, address).stdout
    assert "reached" in world.web.run("tracepath", "-n", GATEWAY_OUTSIDE).stdout
    assert fresh_agent.flow_count() == 0
    fresh_agent.check_accounts()


def test_fragments_to_the_gateway_itself(world: Routed, fresh_agent: Agent) -> None:
    for host, address in ((world.h1, "10.0.1.1"), (world.web, GATEWAY_OUTSIDE), (world.gateway, WEB)):
        assert "3 received" in host.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 2, "-s", 5000, address).stdout
    fresh_agent.check_accounts()


@pytest.mark.parametrize("kind", [0x88CC, 0x86DD, 0x8809, 0x0800])
def test_what_is_not_for_forwarding_goes_up(world: Routed, fresh_agent: Agent, kind: int) -> None:
    """LLDP, IPv6, LACP and a multicast of a routing protocol reach the host's own programs."""
    payload = b"\0" * 60
    destination = "01:80:c2:00:00:0e"
    if kind == 0x0800:  # OSPF hello
        payload, destination = ipv4("198.51.100.254", "224.0.0.5", 89, b"\0" * 44, ttl=1), "01:00:5e:00:00:05"
    frame = ethernet(world.isp.mac("gw0"), destination, payload, kind)
    before = fresh_agent.devices()["wan0"]
    with Capture(world.gateway, "wan0", keep=lambda p: p.kind == kind) as capture, \
            Wire(world.isp, "gw0", world.wan_mac) as wire:
        wire.send(frame)
        capture.wait_for(lambda p: True)
    after = eventually(lambda: fresh_agent.devices()["wan0"])
    assert after["dropped"] == before["dropped"]
    fresh_agent.check_accounts()


def test_port_of_the_gateway_is_not_a_way_in(world: Routed, fresh_agent: Agent) -> None:
    """An instance that speaks from port 53 does not get what is meant for port 53 of the gateway itself."""
    with services.echo_server(world.gateway, GATEWAY_OUTSIDE, 53, socket.SOCK_DGRAM) as peers, \
            services.echo_server(world.web, WEB, 53, socket.SOCK_DGRAM), \
            world.h3.socket(socket.SOCK_DGRAM) as inside, world.web.socket(socket.SOCK_DGRAM) as outside:
        inside.bind(("10.0.2.11", 53))
        inside.sendto(b"out", (WEB, 53))
        assert inside.recv(10) == b"out"
        outside.sendto(b"for the gateway", (GATEWAY_OUTSIDE, 53))
        assert outside.recv(100) == b"for the gateway"
    assert len(peers) == 1
    fresh_agent.check_accounts()
