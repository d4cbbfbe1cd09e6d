# SPDX-License-Identifier: Apache-2.0
"""What is let in: port forwards, Elastic IPs of instances, and the security groups that both are subject to."""

import copy
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Agent, Namespace, Routed, eventually, services
from lab.agent import as_yaml
from lab.services import Chatter, Conversation, refusal
from lab.world import EIP1, EIP2, EIP3, H1, H2, H3, WEB, WEBS

ANYBODY = "0.0.0.0/0"


def _configuration(world: Routed) -> dict[str, Any]:
    """h1 and h2 leave through a NAT gateway whose Elastic IP forwards ports; h3 has an Elastic IP of its own."""
    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2, "instance": "db"},
                     {"name": "eip-3", "address": EIP3}],
        internet_gateways=[{"name": "igw", "vpc": "main"}],
        subnets=[{"name": "app", "vpc": "main", "cidr": "10.0.1.0/24", "route_table": "private"},
                 {"name": "db", "vpc": "main", "cidr": "10.0.2.0/24", "route_table": "public"}],
        route_tables=[{"name": "private", "vpc": "main", "main": True,
                       "routes": [{"destination": ANYBODY, "nat_gateway": "egress"}]},
                      {"name": "public", "vpc": "main",
                       "routes": [{"destination": ANYBODY, "internet_gateway": "igw"}]}],
        instances=[{"name": "db", "subnet": "db", "address": H3, "security_groups": ["db"]}],
        security_groups=[{"name": "db", "vpc": "main", "ingress": [
            {"protocol": "tcp", "ports": "5432", "cidr": ANYBODY},
            {"protocol": "tcp", "ports": "6000-6001", "cidr": f"{WEBS[1]}/32"},
            {"protocol": "icmp", "cidr": ANYBODY}]}],
        port_forwards=[{"name": "web", "elastic_ip": "eip-1", "protocol": "tcp", "port": 8080, "to": f"{H1}:80"},
                       {"name": "voice", "elastic_ip": "eip-1", "protocol": "udp", "port": "5001-5010",
                        "to": f"{H2}:6001"}])


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world)) as running:
        yield running


@pytest.fixture(autouse=True)
def as_configured(world: Routed, agent: Agent) -> Iterator[None]:
    """Whatever a test changes is as before for the next one, and no packet is unaccounted for."""
    yield
    agent.reload(_configuration(world))
    agent.check_accounts()


def _dropped(agent: Agent, reason: str, before: dict[str, int]) -> int:
    return agent.drops().get(reason, 0) - before.get(reason, 0)


@pytest.mark.row("STAT-5")
def test_a_forwarded_port_leads_to_the_instance_and_shows_it_the_client(world: Routed, agent: Agent) -> None:
    content = services.random_file(200_000)
    server = services.nginx(world.h1, H1, {"file": content})
    fetched = world.web.run("curl", "-sS", "--max-time", "10", "--interface", WEBS[1], "-o", world.lab.path("got"),
                            "-w", "%{http_code}", f"http://{EIP1}:8080/file")
    assert fetched.stdout == "200"
    with open(world.lab.path("got"), "rb") as file:
        assert file.read() == content
    who = world.web.run("curl", "-sS", "--max-time", "10", "--interface", WEBS[2], f"http://{EIP1}:8080/who").stdout
    assert who.startswith(f"{WEBS[2]}:")
    flow = agent.flows("--inside", f"{H1}:80", "--remote", WEBS[2])[0]
    assert flow["external"] == f"{EIP1}:8080"
    server.stop()


def test_a_range_of_ports_is_forwarded_port_by_port(world: Routed, agent: Agent) -> None:
    for port, to in ((5001, 6001), (5006, 6006), (5010, 6010)):
        with services.echo_server(world.h2, H2, to, socket.SOCK_DGRAM) as peers:
            with world.web.socket(socket.SOCK_DGRAM, timeout=3) as client:
                client.sendto(b"hello", (EIP1, port))
                assert client.recvfrom(100) == (b"hello", (EIP1, port))
            assert peers[0][0] == WEB
    before = agent.drops()
    with world.web.socket(socket.SOCK_DGRAM, timeout=0.5) as client:
        for port in (5000, 5011):
            client.sendto(b"hello", (EIP1, port))
        with pytest.raises(TimeoutError):
            client.recvfrom(100)
    assert _dropped(agent, "unsolicited", before) == 2


@pytest.mark.row("STAT-7")
def test_a_forwarded_port_is_never_an_instance_s(world: Routed, agent: Agent) -> None:
    """RFC 4787 REQ-1 and design.md section 6: with three of four ports left, the fourth flow is refused."""
    configuration = _configuration(world)
    configuration["nat_gateways"][0]["port_range"] = "8079-8082"
    agent.reload(configuration)
    with services.echo_server(world.web, WEB, 77):
        talks = [Conversation(world.h2, WEB, 77) for _ in range(3)]
        for talk in talks:
            talk.say()
        ports = {flow["external"] for flow in agent.flows("--inside", H2, "--remote", f"{WEB}:77")}
        assert ports == {f"{EIP1}:{port}" for port in (8079, 8081, 8082)}
        before = agent.drops()
        assert refusal(world.h2, WEB, 77) in ("EHOSTUNREACH", "silence")
        assert _dropped(agent, "port_exhausted", before) >= 1
        for talk in talks:
            talk.socket.close()


def test_an_instance_reaches_another_through_its_forwarded_port(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.h1, H1, 80) as peers, Conversation(world.h2, EIP1, 8080) as talk:
        talk.say(5000)
        assert peers[0][0] == EIP1


@pytest.mark.row("STAT-9")
def test_hosts_inside_reach_forwards_and_elastic_ips_themselves_too(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.h1, H1, 80) as peers:
        for client in (world.h2, world.h1):
            with Conversation(client, EIP1, 8080) as talk:
                talk.say()
            assert peers[-1][0] == EIP1
        with Conversation(world.h3, EIP1, 8080) as talk:
            talk.say()
        assert peers[-1][0] == EIP2
    with services.echo_server(world.h3, H3, 5432) as peers:
        for client, source in ((world.h1, EIP1), (world.h3, EIP2)):
            with Conversation(client, EIP2, 5432) as talk:
                talk.say()
            assert peers[-1][0] == source


@pytest.mark.row("STAT-6")
def test_what_a_forwarded_endpoint_sends_leaves_by_its_forward(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEBS[2], 9000, socket.SOCK_DGRAM) as peers, \
            world.h2.socket(socket.SOCK_DGRAM, timeout=3) as client:
        client.bind((H2, 6004))
        client.sendto(b"hello", (WEBS[2], 9000))
        assert client.recvfrom(100)[0] == b"hello"
        assert peers[0] == (EIP1, 5004)
        with world.web.socket(socket.SOCK_DGRAM, timeout=3) as other:  # and anybody may answer there
            other.bind((WEBS[3], 9))
            other.sendto(b"hi", (EIP1, 5004))
            assert client.recvfrom(100) == (b"hi", (WEBS[3], 9))


@pytest.mark.row("STAT-7")
def test_a_new_forward_takes_no_flow_its_port(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    changed["nat_gateways"][0]["port_range"] = "7070-7071"
    agent.reload(changed)
    with services.echo_server(world.web, WEB, 77), services.echo_server(world.h1, H1, 81), \
            Chatter(world.h2, WEB, 77) as busy:
        busy.check()
        client = f"{H2}:{busy.conversation.socket.getsockname()[1]}"
        port = int(agent.flows("--inside", client)[0]["external"].split(":")[1])
        changed["port_forwards"].append({"name": "late", "elastic_ip": "eip-1", "protocol": "tcp", "port": port,
                                         "to": f"{H1}:81"})
        agent.reload(changed)
        busy.check()
        with Conversation(world.web, EIP1, port, source=WEBS[1]) as talk:
            talk.say()
        busy.check()


@pytest.mark.row("STAT-8")
def test_errors_about_forwarded_flows_pass_both_ways(world: Routed, agent: Agent) -> None:
    with world.web.socket(socket.SOCK_DGRAM, timeout=3) as client:  # nobody listens there
        client.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        client.connect((EIP1, 5005))
        client.send(b"anybody there?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
    with world.h2.socket(socket.SOCK_DGRAM, timeout=3) as server, \
            world.web.socket(socket.SOCK_DGRAM, timeout=3) as client:
        server.bind((H2, 6006))
        server.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        client.bind((WEB, 5))
        client.sendto(b"hello", (EIP1, 5006))
        _, peer = server.recvfrom(100)
        client.close()
        server.connect(peer)
        server.send(b"too late")
        with pytest.raises(ConnectionRefusedError):
            server.recv(100)


@pytest.mark.row("STAT-2")
def test_an_elastic_ip_of_its_own_comes_before_a_shared_one(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    changed["subnets"][1]["route_table"] = "private"  # whose default route is the NAT gateway's
    agent.reload(changed)
    with services.echo_server(world.web, WEB, 80) as peers, \
            services.echo_server(world.web, WEB, 53, socket.SOCK_DGRAM) as met:
        for host, source in ((world.h3, EIP2), (world.h1, EIP1)):
            with Conversation(host, WEB, 80) as talk:
                talk.say()
            assert peers[-1][0] == source
            with host.socket(socket.SOCK_DGRAM, timeout=3) as client:
                client.sendto(b"?", (WEB, 53))
                client.recv(10)
            assert met[-1][0] == source
        world.h3.run("ping", "-c", 1, "-W", 2, WEB)
    with services.echo_server(world.h3, H3, 5432), Conversation(world.web, EIP2, 5432) as talk:
        talk.say()


@pytest.mark.row("STAT-10")
def test_what_overlaps_is_refused_with_a_reason(world: Routed, agent: Agent) -> None:
    def refused(change: str, **parts: Any) -> str:
        wrong = {**copy.deepcopy(_configuration(world)), **parts}
        path = world.lab.write(f"{change}.yaml", as_yaml(wrong))
        return agent.run("check", path).stdout

    same = _configuration(world)["port_forwards"] + [
        {"name": "again", "elastic_ip": "eip-1", "protocol": "udp", "port": 5010, "to": f"{H1}:1"}]
    assert 'is forwarded by "voice" already' in refused("same-endpoint", port_forwards=same)
    own = [{"name": "own", "elastic_ip": "eip-2", "protocol": "tcp", "port": 1, "to": f"{H1}:1"}]
    assert 'Elastic IP "eip-2" belongs to no NAT gateway' in refused("forward-on-own", port_forwards=own)
    pool = [{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-2"]}]
    assert 'Elastic IP "eip-2" belongs to instance "db"' in refused("own-in-pool", nat_gateways=pool)


def test_removing_a_forward_cuts_its_flows_and_no_others(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    del changed["port_forwards"][0]
    with services.echo_server(world.h1, H1, 80), services.echo_server(world.web, WEB, 77), \
            services.echo_server(world.h2, H2, 6002, socket.SOCK_DGRAM), \
            Chatter(world.h1, WEB, 77) as out, Conversation(world.web, EIP1, 8080) as forwarded, \
            world.web.socket(socket.SOCK_DGRAM, timeout=3) as voice:
        forwarded.say()
        voice.connect((EIP1, 5002))
        voice.send(b"one")
        assert voice.recv(100) == b"one"
        agent.reload(_configuration(world))  # what is still allowed goes on
        forwarded.say()
        before = agent.drops()
        agent.reload(changed)
        with pytest.raises(TimeoutError):
            forwarded.say(timeout=1.0)
        assert _dropped(agent, "flow_cut", before) >= 1
        client = f"{WEB}:{forwarded.socket.getsockname()[1]}"
        assert agent.flow_count("--inside", f"{H1}:80", "--remote", client) == 0
        voice.send(b"two")
        assert voice.recv(100) == b"two"
        out.check()
        assert refusal(world.web, EIP1, 8080) == "silence"


def test_flows_through_a_forward_outlive_the_agent(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.h1, H1, 80), Chatter(world.web, EIP1, 8080) as forwarded:
        forwarded.check()
        agent.kill()
        forwarded.check()
        with Conversation(world.web, EIP1, 8080) as new:  # nor does a new one need it
            new.say()
        agent.start()
        forwarded.check()


def test_an_instance_with_an_elastic_ip_leaves_as_it_and_keeps_its_ports(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 78) as peers, world.h3.socket() as client:
        client.bind((H3, 4567))
        client.connect((WEB, 78))
        eventually(lambda: peers, what="the connection arrives")
        assert peers[0] == (EIP2, 4567)
    flow = agent.flows("--inside", f"{H3}:4567")[0]
    assert flow["external"] == f"{EIP2}:4567"
    world.h3.run("ping", "-c", 2, "-i", "0.2", "-W", 2, WEB)


@pytest.mark.row("STAT-3", "7857-§12-a")
def test_its_security_group_says_who_may_come_in(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.h3, H3, 5432) as peers, services.echo_server(world.h3, H3, 6001), \
            services.echo_server(world.h3, H3, 22):
        with Conversation(world.web, EIP2, 5432) as talk:
            talk.say(3000)
            assert peers[0][0] == WEB
        with Conversation(world.web, EIP2, 6001, source=WEBS[1]) as talk:
            talk.say()
        before = agent.drops()
        assert refusal(world.web, EIP2, 6001, source=WEBS[2]) == "silence"
        assert refusal(world.web, EIP2, 22) == "silence"
        assert _dropped(agent, "security_group", before) >= 2
    world.web.run("ping", "-c", 3, "-i", "0.2", "-W", 2, EIP2)
    # Another instance meets the same rules, as the Elastic IP that it comes by.
    with services.echo_server(world.h3, H3, 5432) as peers, Conversation(world.h1, EIP2, 5432) as talk:
        talk.say()
        assert peers[0][0] == EIP1
    assert refusal(world.h1, EIP2, 6001) == "silence"


def test_traceroute_and_errors_pass_an_elastic_ip_of_an_instance(world: Routed, agent: Agent) -> None:
    """An ICMP error about a flow is translated both ways; one about none is not let in."""
    with world.h3.socket(socket.SOCK_DGRAM, timeout=3) as client:
        client.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        client.connect((WEB, 9))
        client.send(b"anybody there?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def test_a_rule_that_goes_cuts_the_flows_it_allowed_and_no_others(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    del changed["security_groups"][0]["ingress"][1]
    with services.echo_server(world.h3, H3, 5432), services.echo_server(world.h3, H3, 6000), \
            services.echo_server(world.web, WEB, 79), Chatter(world.web, EIP2, 5432) as kept, \
            Chatter(world.h3, WEB, 79) as out, Conversation(world.web, EIP2, 6000, source=WEBS[1]) as cut:
        cut.say()
        agent.reload(changed)
        with pytest.raises(TimeoutError):
            cut.say(timeout=1.0)
        kept.check()
        out.check()


def test_egress_rules_hold_back_and_tell_the_instance(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    changed["security_groups"][0]["egress"] = [{"protocol": "tcp", "ports": "79", "cidr": f"{WEB}/32"}]
    agent.reload(changed)
    with services.echo_server(world.web, WEB, 79):
        with Conversation(world.h3, WEB, 79) as talk:
            talk.say()
        before = agent.drops()
        assert refusal(world.h3, WEB, 80) == "EHOSTUNREACH"  # ICMP 3/13
        assert refusal(world.h3, WEBS[1], 79) == "EHOSTUNREACH"
        assert _dropped(agent, "security_group", before) >= 2
    # Groups are stateful: what may come in is answered.
    with services.echo_server(world.h3, H3, 5432), Conversation(world.web, EIP2, 5432) as talk:
        talk.say()


def test_without_groups_a_forward_is_open_and_an_elastic_ip_is_not(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    del changed["instances"][0]["security_groups"]
    agent.reload(changed)
    with services.echo_server(world.h3, H3, 5432), services.echo_server(world.h1, H1, 80), \
            services.echo_server(world.web, WEB, 79):
        assert refusal(world.web, EIP2, 5432) == "silence"
        with Conversation(world.h3, WEB, 79) as talk:
            talk.say()
        with Conversation(world.web, EIP1, 8080) as talk:
            talk.say()
    changed["subnets"][0]["security_groups"] = ["db"]  # which lets nobody in to port 80
    agent.reload(changed)
    assert refusal(world.web, EIP1, 8080) == "silence"


@pytest.mark.row("STAT-4")
def test_an_elastic_ip_moves_and_its_flows_are_cut(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    changed["elastic_ips"][1].pop("instance")
    changed["elastic_ips"][2]["instance"] = "db"
    with services.echo_server(world.h3, H3, 5432), services.echo_server(world.web, WEB, 79), \
            Conversation(world.web, EIP2, 5432) as before, Conversation(world.h3, WEB, 79) as out:
        before.say()
        out.say()
        agent.reload(changed)
        with pytest.raises(TimeoutError):
            before.say(timeout=1.0)
        with pytest.raises(ConnectionResetError):  # the instance is told
            out.say(timeout=3.0)
        with Conversation(world.web, EIP3, 5432) as now:
            now.say()
    assert refusal(world.web, EIP2, 5432) == "silence"


def test_without_an_elastic_ip_nothing_leaves_by_an_internet_gateway(world: Routed, agent: Agent) -> None:
    changed = copy.deepcopy(_configuration(world))
    changed["elastic_ips"][1].pop("instance")
    agent.reload(changed)
    before = agent.drops()
    assert refusal(world.h3, WEB, 79) == "EHOSTUNREACH"
    assert _dropped(agent, "instance_without_elastic_ip", before) >= 1
