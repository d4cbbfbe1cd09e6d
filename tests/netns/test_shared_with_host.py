# SPDX-License-Identifier: Apache-2.0
"""One public address for the gateway host and for its instances: a small machine has no other."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from lab import Agent, Routed, eventually, services
from lab.services import Chatter, Conversation, refusal
from lab.world import EIP1, GATEWAY_OUTSIDE, H1, WEB, WEBS

SESSION = 22
SERVED = 8000
PORTS = range(2020, 2030)


def _configuration(world: Routed, **changes: Any) -> dict[str, Any]:
    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1, "shared_with_host": True}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1"], **changes}],
        port_forwards=[{"name": "web", "elastic_ip": "eip-1", "protocol": "tcp", "port": 8080, "to": f"{H1}:80"}])


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    world.gateway.ip(f"addr add {EIP1}/32 dev wan0")
    # What is translated goes up the stack while its next hop is not known; its source is the host's address.
    world.gateway.sysctl("net.ipv4.conf.lan0.accept_local=1", "net.ipv4.conf.lan1.accept_local=1")
    with Agent(world.gateway, _configuration(world)) as running:
        yield running


@contextmanager
def _all_of_it(world: Routed) -> Iterator[list[Chatter]]:
    """The host's service outside and inside, what the host connects to, instances outwards, the forward both ways."""
    with ExitStack() as stack:
        for namespace, address, port in ((world.gateway, EIP1, SESSION), (world.web, WEB, 80), (world.h1, H1, 80)):
            stack.enter_context(services.echo_server(namespace, address, port))
        yield [stack.enter_context(Chatter(client, address, port)) for client, address, port in (
            (world.web, EIP1, SESSION), (world.h1, EIP1, SESSION), (world.h3, EIP1, SESSION),
            (world.gateway, WEB, 80), (world.h1, WEB, 80), (world.h3, WEB, 80),
            (world.web, EIP1, 8080), (world.h3, EIP1, 8080))]


def _check(chatters: list[Chatter], step: str, retransmissions: int = 3) -> None:
    for number, chatter in enumerate(chatters):
        try:
            chatter.check(retransmissions)
        except AssertionError as error:
            pytest.fail(f"{step}: connection {number}: {error}")


@pytest.mark.row("5382-§4.3-a")
def test_host_and_instances_work_at_the_same_time(world: Routed, agent: Agent) -> None:
    with _all_of_it(world) as chatters:
        _check(chatters, "with an agent")
        with services.echo_server(world.web, WEB, 81) as peers:
            for client, source in ((world.h1, None), (world.gateway, EIP1)):
                with Conversation(client, WEB, 81, source=source) as conversation:
                    conversation.say()
            assert {address for address, _ in peers} == {EIP1}
        for client, target, source in ((world.gateway, WEB, EIP1), (world.h1, WEB, H1), (world.web, EIP1, WEB),
                                       (world.h1, EIP1, H1)):
            client.run("ping", "-c", "2", "-i", "0.1", "-W", "2", "-I", source, target)
        with services.echo_server(world.gateway, EIP1, 5353, socket.SOCK_DGRAM):
            for client in (world.web, world.h1):
                with client.socket(socket.SOCK_DGRAM, timeout=3) as question:
                    question.sendto(b"x" * 4000, (EIP1, 5353))  # in fragments
                    assert question.recvfrom(5000) == (b"x" * 4000, (EIP1, 5353))
        # Where the host does not listen it says so, as any host does; where an instance is, its own word counts.
        for client in (world.web, world.h1):
            assert refusal(client, EIP1, 9) == "ECONNREFUSED"
        assert agent.drops().get("unsolicited", 0) == 0
        answer = agent.json("explain", "tcp", f"{WEB}:50000", f"{EIP1}:{SESSION}")
        assert answer["verdict"] == "pass"
        flows = agent.flows("--external", f"{EIP1}/32", "--protocol", "tcp")
        assert flows
        assert not {int(flow["external"].rpartition(":")[2]) for flow in flows} & {SESSION, *range(32768, 61000)}

        agent.stop()
        _check(chatters, "without an agent")
        for client in (world.web, world.h1):
            with Conversation(client, EIP1, SESSION) as session:
                session.say()
            with Conversation(world.h3, WEB, 80) as outwards, Conversation(world.web, EIP1, 8080) as inwards:
                outwards.say()
                inwards.say()
        agent.start()
        _check(chatters, "with an agent again", 5)
    agent.check_accounts()


def _given(world: Routed, agent: Agent, remote: str) -> set[int]:
    """Which ports instances are given towards a remote, to the last."""
    with ExitStack() as stack:
        for _ in PORTS:
            client = stack.enter_context(world.h1.socket(timeout=3))
            try:
                client.connect((remote, SERVED))
            except OSError:
                break
        flows = agent.flows("--remote", f"{remote}:{SERVED}")
        assert refusal(world.h1, remote, SERVED) == "EHOSTUNREACH", "there is none left"
    return {int(flow["external"].rpartition(":")[2]) for flow in flows}


@pytest.mark.row("5382-§4.3-a")
def test_no_instance_gets_a_port_of_the_host(world: Routed, agent: Agent) -> None:
    world.gateway.sysctl("net.ipv4.ip_local_reserved_ports=2028")
    with ExitStack() as stack:
        for address, port, kind in ((EIP1, 2021, socket.SOCK_STREAM), ("0.0.0.0", 2023, socket.SOCK_DGRAM),
                                    (GATEWAY_OUTSIDE, 2025, socket.SOCK_STREAM)):
            stack.enter_context(services.echo_server(world.gateway, address, port, kind))
        for remote in WEBS:
            stack.enter_context(services.echo_server(world.web, remote, SERVED))
        agent.reload(_configuration(world, port_range=f"{PORTS[0]}-{PORTS[-1]}"))
        expected = set(PORTS) - {2021, 2023, 2028}
        assert _given(world, agent, WEBS[0]) == expected
        scrape = agent.scrape()
        used, ratio = (scrape.value(f"sallyport_eip_{name}", elastic_ip="eip-1", protocol="tcp")
                       for name in ("ports_in_use", "port_utilization_ratio"))
        assert used / ratio == len(expected), "the host's ports are no capacity"
        # A service that starts later: what is known of it grows by a reload, and by itself within seconds.
        with services.echo_server(world.gateway, EIP1, 2026):
            agent.reload()
            assert _given(world, agent, WEBS[1]) == expected - {2026}
            writes = agent.scrape().value("sallyport_kernel_writes_total")
            with services.echo_server(world.gateway, EIP1, 2027):
                eventually(lambda: agent.scrape().value("sallyport_kernel_writes_total") > writes, timeout=9,
                           what="the agent sees what the host listens at")
                assert _given(world, agent, WEBS[2]) == expected - {2026, 2027}
        agent.reload()
        assert _given(world, agent, WEBS[2]) == expected, "it is given out again when the service has ended"
    agent.check_accounts()


def _is_left_to_the_host(agent: Agent) -> bool:
    return any("port forward web is not in force" in warning for warning in agent.status()["warnings"])


@pytest.mark.parametrize("port", [SESSION, 40022], ids=["low", "among those that the kernel gives out"])
def test_a_service_of_the_host_comes_before_a_forward(world: Routed, agent: Agent, port: int) -> None:
    """Whoever forwards the port of the session that he works in still has it."""
    agent.reload(_configuration(world))
    over = _configuration(world)
    over["port_forwards"][0]["port"] = port
    with services.echo_server(world.h1, H1, 80) as inside:
        with services.echo_server(world.gateway, EIP1, port), Conversation(world.web, EIP1, port) as session:
            session.say()
            agent.reload(over)
            assert _is_left_to_the_host(agent)
            session.say()
            with Conversation(world.web, EIP1, port) as another:
                another.say()
            assert not inside
        agent.reload()
        assert not _is_left_to_the_host(agent)
        with Conversation(world.web, EIP1, port) as forwarded:
            forwarded.say()
        assert len(inside) == 1
    agent.reload(_configuration(world))
