# SPDX-License-Identifier: Apache-2.0
"""What stays inside: security groups between subnets of a VPC, and routes by way of a router or an instance inside."""

import copy
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Agent, Capture, Namespace, Routed, eventually, services
from lab.agent import as_yaml
from lab.frames import ICMP, UDP
from lab.services import Chatter, Conversation, refusal
from lab.world import H1, H2, H3, WEB

ANYBODY = "0.0.0.0/0"
BEHIND, BEHIND_PREFIX = "192.168.9.1", "192.168.0.0/16"
NOBODY = "10.0.1.77"


def _configuration(world: Routed) -> dict[str, Any]:
    """h1 has the group app, h3's says who may come in; h2 is a router to BEHIND, and nobody the one to another prefix."""
    return world.configuration(
        route_tables=[{"name": "private", "vpc": "main", "main": True,
                       "routes": [{"destination": ANYBODY, "nat_gateway": "egress"},
                                  {"destination": BEHIND_PREFIX, "via": H2},
                                  {"destination": "172.16.0.0/12", "via": NOBODY}]}],
        instances=[{"name": "client", "subnet": "app", "address": H1, "security_groups": ["app"]},
                   {"name": "db", "subnet": "db", "address": H3, "security_groups": ["db"]}],
        security_groups=[
            {"name": "app", "vpc": "main"},
            {"name": "db", "vpc": "main", "ingress": [
                {"protocol": "tcp", "ports": "5432", "security_group": "app"},
                {"protocol": "udp", "ports": "53", "security_group": "app"},
                {"protocol": "icmp", "icmp_type": "echo_request", "cidr": f"{H2}/32"}]}])


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    world.h2.sysctl("net.ipv4.ip_forward=1")
    world.h2.ip("link set lo up", f"addr add {BEHIND}/32 dev lo")
    with Agent(world.gateway, _configuration(world)) as running:
        yield running


@pytest.fixture(autouse=True)
def as_configured(world: Routed, agent: Agent) -> Iterator[None]:
    """Whatever a test changes is as before for the next one, and no packet is unaccounted for."""
    yield
    agent.reload(_configuration(world))
    agent.check_accounts()


def test_a_rule_for_a_group_admits_those_that_have_it(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.h3, H3, 5432) as peers, services.echo_server(world.h3, H3, 5433):
        with Conversation(world.h1, H3, 5432) as talk:
            talk.say(100_000)
        assert peers[0][0] == H1
        before = agent.drops().get("security_group", 0)
        assert refusal(world.h2, H3, 5432) == "EHOSTUNREACH"  # ICMP 3/13
        assert refusal(world.h1, H3, 5433) == "EHOSTUNREACH"
        assert agent.drops()["security_group"] >= before + 2

        changed = copy.deepcopy(_configuration(world))
        changed["instances"].append({"name": "late", "subnet": "app", "address": H2, "security_groups": ["app"]})
        agent.reload(changed)
        with Conversation(world.h2, H3, 5432) as talk:
            talk.say()
        del changed["instances"][-1]
        changed["subnets"][0]["security_groups"] = ["app"]  # of all that have none of their own
        agent.reload(changed)
        with Conversation(world.h2, H3, 5432) as talk:
            talk.say()


def test_answers_come_back_and_nothing_else_does(world: Routed, agent: Agent) -> None:
    """The group app lets nobody in, but what h1 has asked for."""
    with services.echo_server(world.h1, H1, 80), services.echo_server(world.h3, H3, 5432):
        assert refusal(world.h3, H1, 80) == "EHOSTUNREACH"
        with Conversation(world.h1, H3, 5432) as talk:
            talk.say()
            assert refusal(world.h3, H1, 80) == "EHOSTUNREACH"
            talk.say()
    with services.echo_server(world.h3, H3, 53, socket.SOCK_DGRAM), \
            world.h1.socket(socket.SOCK_DGRAM, timeout=2) as client:
        client.connect((H3, 53))
        client.send(b"x" * 4000)  # in fragments
        assert client.recv(5000) == b"x" * 4000
    with world.h1.socket(socket.SOCK_DGRAM, timeout=2) as client:
        client.connect((H3, 53))
        client.send(b"nobody there now")
        with pytest.raises(ConnectionRefusedError):  # the error belongs to what was let through
            client.recv(100)


def test_icmp_is_taken_by_its_type(world: Routed, agent: Agent) -> None:
    world.h2.run("ping", "-c", 2, "-i", "0.2", "-W", 2, H3)
    before = agent.drops().get("security_group", 0)
    assert world.h1.run("ping", "-c", 1, "-W", 1, H3, check=False).returncode != 0
    assert agent.drops()["security_group"] > before
    changed = copy.deepcopy(_configuration(world))
    changed["security_groups"][1]["ingress"][2]["icmp_type"] = 13
    agent.reload(changed)
    assert world.h2.run("ping", "-c", 1, "-W", 1, H3, check=False).returncode != 0


def test_a_rule_that_goes_cuts_what_it_allowed_and_nothing_else(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    changed["security_groups"][1]["ingress"][1:1] = [{"protocol": "tcp", "ports": "6000", "cidr": f"{H1}/32"}]
    agent.reload(changed)
    with services.echo_server(world.h3, H3, 5432), services.echo_server(world.h3, H3, 6000), \
            Chatter(world.h1, H3, 5432) as kept, Conversation(world.h1, H3, 6000) as cut:
        cut.say()
        standing = agent.json("flows", "--inner", "--inside", f"{H3}:6000")["inner_flows"]
        assert [(flow["vpc"], flow["opener"].split(":")[0], flow["answerer"], flow["state"]) for flow in standing] == [
            ("main", H1, f"{H3}:6000", "answered")]
        assert agent.json("flows", "--inner", "--protocol", "tcp", "--count")["count"] >= 2
        path = world.lab.write("without.yaml", as_yaml(_configuration(world)))
        assert agent.json("plan", path, code=2)["flows_cut"] == 1
        cut.say()
        agent.reload(_configuration(world))
        with pytest.raises(TimeoutError):
            cut.say(timeout=1.0)
        assert agent.json("flows", "--inner", "--inside", f"{H3}:6000") == {"inner_flows": [], "total": 0}
        kept.check()
        assert agent.drops().get("flow_cut", 0) >= 1


def test_a_flow_outlives_the_agent(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.h3, H3, 5432), Conversation(world.h1, H3, 5432) as talk:
        talk.say()
        agent.stop()
        talk.say()
        agent.start()
        talk.say()


def test_a_router_inside_leads_on(world: Routed, agent: Agent) -> None:
    """There by way of h2, and back to another subnet: neither way is translated."""
    with services.echo_server(world.h2, BEHIND, 7000) as peers, Conversation(world.h3, BEHIND, 7000) as talk, \
            Capture(world.h3, "eth0", keep=lambda packet: packet.source == BEHIND) as capture:
        talk.say(100_000)
        assert peers[0][0] == H3
        # The router's TTL is 64, and the gateway took one off.
        assert {packet.ttl for packet in capture.wait_for(lambda packet: True)} == {63}
    assert "1 received" in world.h3.run("ping", "-c", 1, "-W", 2, "-s", 4000, BEHIND).stdout  # in fragments
    trace = world.h3.run("traceroute", "-n", "-q", 1, "-w", 1, "-I", BEHIND).stdout
    assert trace.splitlines()[1].split()[1] == "10.0.2.1", trace
    assert trace.splitlines()[2].split()[1] == BEHIND, trace
    assert agent.flow_count() == 0
    # Groups hold here, too: db lets nobody in.
    with services.echo_server(world.h3, H3, 7001), world.h2.socket(timeout=1) as client:
        client.bind((BEHIND, 0))
        with pytest.raises(OSError):
            client.connect((H3, 7001))


def test_any_protocol_goes_to_a_router(world: Routed, agent: Agent) -> None:
    gre = 47
    with world.h2.socket(socket.SOCK_RAW, protocol=gre, timeout=3) as receiver, \
            world.h3.socket(socket.SOCK_RAW, protocol=gre) as sender:
        sender.sendto(b"\0\0\x08\0tunnelled", (BEHIND, 0))
        packet, peer = receiver.recvfrom(200)
        assert peer[0] == H3
        assert packet.endswith(b"tunnelled")


def test_what_is_for_a_router_never_leaves_by_other_routes(world: Routed, agent: Agent) -> None:
    """Not while it is asked for, nor when it does not answer."""
    with Capture(world.isp, "gw0", keep=lambda packet: packet.protocol in (UDP, ICMP)) as outside, \
            world.h3.socket(socket.SOCK_DGRAM, timeout=3) as client:
        before = agent.drops().get("neighbour_unreachable", 0)
        client.connect(("172.16.5.5", 99))
        for _ in range(5):
            client.send(b"where to?")
        eventually(lambda: agent.drops().get("neighbour_unreachable", 0) >= before + 5, what="they are dropped")

        # In the end the kernel knows that nobody answers, and the sender is told.
        client.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: or the kernel does not tell it of a lost host
        def told() -> bool:
            try:
                client.send(b"and now?")
                client.recv(10)
            except OSError as error:
                return error.errno == errno.EHOSTUNREACH
            return False

        eventually(told, 20, 0.5, "the sender is told")
        outside.settle()
        assert not outside.packets


def test_a_router_is_resolved_without_any_traffic(world: Routed, agent: Agent) -> None:
    world.forget_neighbours()
    eventually(lambda: [n for n in world.gateway.ip_json(f"neigh show {H2}") if "lladdr" in n], 10,
               what="the router is resolved")
    assert "1 received" in world.h3.run("ping", "-c", 1, "-W", 2, BEHIND).stdout


def test_the_gateway_translates_as_before(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 79), Conversation(world.h3, WEB, 79) as talk:
        talk.say()
