# SPDX-License-Identifier: Apache-2.0
"""A change of configuration cuts the flows that it no longer allows, on their next packet, and no other."""

import copy
import socket
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, LabError, Routed, eventually, services
from lab.agent import as_yaml
from lab.capture import Wire
from lab.frames import RST, SYN, TCP, ipv4, tcp
from lab.services import Conversation
from lab.world import EIP1, EIP2, H1, H2, WEB, WEBS


def _configuration(world: Routed, in_use: list[str]) -> dict:
    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": in_use}])


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world, ["eip-1", "eip-2"])) as running:
        yield running
        running.check_accounts()


@pytest.fixture(autouse=True)
def servers(world: Routed) -> Iterator[dict[str, list]]:
    with services.echo_server(world.web, WEB, 7) as one, services.echo_server(world.web, WEBS[1], 7) as other:
        yield {WEB: one, WEBS[1]: other}


def _addresses_of(world: Routed, servers: dict[str, list]) -> dict[str, str]:
    """A source address of h1 for each Elastic IP: which host has which is decided by a hash."""
    found: dict[str, str] = {}
    for number in range(11, 60):
        source = f"10.0.1.{number}"
        if source not in (H1, H2):
            world.h1.ip(f"addr replace {source}/32 dev eth0")
        elif source == H2:
            continue
        with Conversation(world.h1, WEB, 7, source) as talk:
            talk.say()
        found.setdefault(servers[WEB][-1][0], source)
        if len(found) == 2:
            return found
    raise LabError(f"48 hosts all have the same Elastic IP: {found}")


def test_removed_elastic_ip(world: Routed, agent: Agent, servers: dict[str, list]) -> None:
    source = _addresses_of(world, servers)
    with Conversation(world.h1, WEB, 7, source[EIP1]) as stays, Conversation(world.h1, WEB, 7, source[EIP2]) as goes:
        stays.say()
        goes.say()
        agent.reload(_configuration(world, ["eip-1"]))
        stays.say()
        with pytest.raises(ConnectionResetError):
            goes.say(timeout=2)
        stays.say()
        assert stays.retransmissions() <= 2
        assert agent.drops()["flow_cut"] >= 1
    # The host has its new address at once.
    with Conversation(world.h1, WEB, 7, source[EIP2]) as again:
        again.say()
    assert servers[WEB][-1][0] == EIP1


def test_removed_elastic_ip_takes_nothing_more_from_outside(world: Routed, agent: Agent,
                                                            servers: dict[str, list]) -> None:
    source = _addresses_of(world, servers)
    with Conversation(world.h1, WEB, 7, source[EIP2]) as goes:
        goes.say()
        external = next(peer for peer in reversed(servers[WEB]) if peer[0] == EIP2)
        agent.reload(_configuration(world, ["eip-1"]))
        with Capture(world.switch, "uplink", keep=lambda p: p.source == WEB) as inside, \
                Wire(world.isp, "gw0", world.wan_mac) as wire:
            before = sum(agent.drops().values())
            wire.send_ip(ipv4(WEB, EIP2, TCP, tcp(WEB, EIP2, 7, external[1], 0x18, payload=b"late")))
            eventually(lambda: sum(agent.drops().values()) > before)
        assert not inside.packets


def test_route_that_becomes_a_blackhole(world: Routed, agent: Agent) -> None:
    configuration = copy.deepcopy(_configuration(world, ["eip-1", "eip-2"]))
    with Conversation(world.h1, WEB, 7) as stays, Conversation(world.h1, WEBS[1], 7) as goes:
        stays.say()
        goes.say()
        configuration["route_tables"][0]["routes"].append({"destination": f"{WEBS[1]}/32", "blackhole": True})
        agent.reload(configuration)
        stays.say()
        with pytest.raises(ConnectionResetError):
            goes.say(timeout=2)
        with pytest.raises(TimeoutError):
            world.h1.call(lambda: socket.create_connection((WEBS[1], 7), timeout=0.5))
        stays.say()
        assert stays.retransmissions() <= 2

        configuration["route_tables"][0]["routes"].pop()
        agent.reload(configuration)
        with Conversation(world.h1, WEBS[1], 7) as back:
            back.say()
        stays.say()


def test_udp_and_icmp_flows_are_cut_too(world: Routed, agent: Agent) -> None:
    configuration = copy.deepcopy(_configuration(world, ["eip-1", "eip-2"]))
    with services.echo_server(world.web, WEBS[1], 9, socket.SOCK_DGRAM), \
            world.h3.socket(socket.SOCK_DGRAM, timeout=0.5) as client:
        client.sendto(b"x", (WEBS[1], 9))
        client.recv(10)
        ping = world.h1.start("ping", "-n", "-i", 0.1, "-c", 30, WEBS[1])
        eventually(lambda: "icmp_seq=5" in ping.output)
        configuration["route_tables"][0]["routes"].append({"destination": f"{WEBS[1]}/32", "blackhole": True})
        agent.reload(configuration)
        client.sendto(b"x", (WEBS[1], 9))
        with pytest.raises(TimeoutError):
            client.recv(10)
        ping.wait(10)
        assert " 30 received" not in ping.output
        drops = agent.drops()
        assert drops.get("flow_cut", 0) + drops.get("blackhole_route", 0) >= 20


def test_subnet_that_moves_to_another_nat_gateway(world: Routed, agent: Agent, servers: dict[str, list]) -> None:
    configuration = world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1"]},
                      {"name": "second", "vpc": "main", "elastic_ips": ["eip-2"]}])
    agent.reload(configuration)
    with Conversation(world.h1, WEB, 7) as stays, Conversation(world.h3, WEB, 7) as goes:
        stays.say()
        goes.say()
        changed = copy.deepcopy(configuration)
        changed["route_tables"].append({"name": "other", "vpc": "main", "routes": [
            {"destination": "0.0.0.0/0", "nat_gateway": "second"}]})
        changed["subnets"][1]["route_table"] = "other"
        agent.reload(changed)
        stays.say()
        with pytest.raises(ConnectionResetError):
            goes.say(timeout=2)
        assert stays.retransmissions() <= 2
    with Conversation(world.h3, WEB, 7) as again:
        again.say()
    assert servers[WEB][-1][0] == EIP2


def test_harmless_changes_touch_no_flow(world: Routed, agent: Agent) -> None:
    """A new Elastic IP, another timer, one more subnet and route: nothing that runs is cut."""
    configuration = copy.deepcopy(_configuration(world, ["eip-1", "eip-2"]))
    with services.Chatter(world.h1, WEB, 7) as one, services.Chatter(world.h3, WEBS[1], 7) as other:
        flows = agent.flow_count()
        configuration["elastic_ips"].append({"name": "eip-3", "address": "198.51.100.12"})
        agent.reload(configuration)
        configuration["nat_gateways"][0]["elastic_ips"].append("eip-3")
        agent.reload(configuration)
        configuration["nat_gateways"][0]["timeouts"] = {"udp": "120s", "tcp_established": "7500s"}
        agent.reload(configuration)
        configuration["subnets"].append({"name": "more", "vpc": "main", "cidr": "10.0.7.0/24", "route_table": "private"})
        agent.reload(configuration)
        configuration["route_tables"][0]["routes"].append({"destination": "192.0.2.0/24", "blackhole": True})
        agent.reload(configuration)
        for chatter in (one, other):
            chatter.check()
        assert agent.flow_count() == flows
        assert "flow_cut" not in agent.drops()


def test_reload_without_a_change(world: Routed, agent: Agent) -> None:
    revision = agent.status()["applied_revision"]
    answer = agent.reload()
    assert answer["revision"] == revision and answer["changes"] == []


def test_hang_up_reloads(world: Routed, agent: Agent) -> None:
    revision = agent.status()["applied_revision"]
    agent.configure(_configuration(world, ["eip-2"]))
    agent.hang_up()
    eventually(lambda: agent.status()["applied_revision"] == revision + 1)
    with world.h1.socket() as client:
        client.connect((WEB, 7))
    assert agent.status()["nat_gateways"][0]["elastic_ips"] == ["eip-2"]


def test_many_reloads_under_traffic(world: Routed, agent: Agent) -> None:
    """Back and forth, as fast as they are answered: revisions add up and nothing is lost."""
    started = agent.status()["applied_revision"]
    with services.Chatter(world.h1, WEB, 7) as chatter:
        for number in range(40):
            configuration = _configuration(world, ["eip-1", "eip-2"])
            if number % 2 == 0:
                configuration["route_tables"][0]["routes"].append({"destination": "192.0.2.0/24", "blackhole": True})
            agent.reload(configuration)
        chatter.check()
    status = agent.status()
    assert status["applied_revision"] == status["desired_revision"] == started + 40


def test_reset_of_a_cut_flow_fits_the_connection(world: Routed, agent: Agent) -> None:
    """The reset carries the sequence number that the instance expects, and goes to it alone."""
    remote = "203.0.113.60"  # nobody, so that no kernel answers
    world.isp.ip(f"route replace blackhole {remote}/32")
    configuration = copy.deepcopy(_configuration(world, ["eip-1", "eip-2"]))
    with Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire, \
            Capture(world.h3, "eth0", keep=lambda p: p.protocol == TCP) as inside:
        wire.send_ip(ipv4("10.0.2.50", remote, TCP, tcp("10.0.2.50", remote, 5000, 80, SYN, sequence=100)))
        eventually(lambda: agent.flow_count("--inside", "10.0.2.50") == 1)
        configuration["route_tables"][0]["routes"].append({"destination": f"{remote}/32", "blackhole": True})
        world.gateway.ip(f"neigh replace 10.0.2.50 lladdr {world.h3.mac('eth0')} dev lan1 nud permanent")
        agent.reload(configuration)
        with Capture(world.isp, "gw0", keep=lambda p: p.destination == remote) as outside:
            wire.send_ip(ipv4("10.0.2.50", remote, TCP,
                              tcp("10.0.2.50", remote, 5000, 80, 0x10, sequence=101, acknowledgement=900)))
            reset = inside.wait_for(lambda p: bool(p.flags & RST))[0]
        assert (reset.source, reset.source_port, reset.destination_port) == (remote, 80, 5000)
        assert reset.sequence == 900 and reset.checksums_right()
        assert not outside.packets


def _reachable(world: Routed) -> bool:
    try:
        world.h1.call(lambda: socket.create_connection((WEBS[1], 7), timeout=0.5)).close()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("killed", [False, True])
def test_unconfirmed_change_comes_back(world: Routed, agent: Agent, servers: dict[str, list], killed: bool) -> None:
    """For changes that may cut off whoever makes them; an agent that is killed meanwhile remembers."""
    configuration = _configuration(world, ["eip-1", "eip-2"])
    agent.reload(configuration)
    changed = copy.deepcopy(configuration)
    changed["route_tables"][0]["routes"].append({"destination": f"{WEBS[1]}/32", "blackhole": True})
    with Conversation(world.h1, WEB, 7) as stays:
        stays.say()
        applied = agent.run("apply", "-", "--confirm", "4s", "-o", "json", input=as_yaml(changed))
        assert applied.returncode == 0, applied.stderr
        assert not _reachable(world)
        other = agent.run("apply", "-", input=as_yaml(configuration))
        assert other.returncode == 5 and "awaits confirmation" in other.stderr
        if killed:
            agent.kill()
            stays.say()
            agent.start()
        eventually(lambda: _reachable(world), timeout=15)
        assert agent.status()["confirmation"] is None
        assert "back to revision" in agent.text("history")
        stays.say()


def test_confirmed_change_stays(world: Routed, agent: Agent, servers: dict[str, list]) -> None:
    configuration = _configuration(world, ["eip-1", "eip-2"])
    agent.reload(configuration)
    changed = copy.deepcopy(configuration)
    changed["route_tables"][0]["routes"].append({"destination": f"{WEBS[1]}/32", "blackhole": True})
    agent.run("apply", "-", "--confirm", "2s", input=as_yaml(changed))
    assert "confirmed" in agent.text("confirm")
    time.sleep(4)
    assert not _reachable(world)
    agent.text("rollback")
    assert _reachable(world)
