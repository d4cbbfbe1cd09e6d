# SPDX-License-Identifier: Apache-2.0
"""Two VPCs with the same addresses behind one gateway: neither ever gets what is the other's."""

import socket
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, Lab, Namespace, Tenants, eventually, services
from lab.services import Conversation
from lab.world import EIP1, EIP2, EIP3, H1, H3, WEB, WEBS


@pytest.fixture(scope="module")
def tenants(lab: Lab) -> Tenants:
    return Tenants(lab)


@pytest.fixture
def agent(tenants: Tenants) -> Iterator[Agent]:
    with Agent(tenants.gateway, tenants.configuration()) as running:
        yield running
        running.check_accounts()


@pytest.fixture(autouse=True)
def peers(tenants: Tenants) -> Iterator[list]:
    with services.echo_server(tenants.web, WEB, 7) as met, services.echo_server(tenants.blue, H1, 7), \
            services.echo_server(tenants.red, H1, 7):
        yield met


def _bound(host: Namespace, port: int) -> socket.socket:
    made = host.socket(timeout=5)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((H1, port))
    made.connect((WEB, 7))
    return made


def test_the_same_endpoint_of_both_at_once(tenants: Tenants, agent: Agent, peers: list) -> None:
    """Address, port, remote and protocol are all the same."""
    with _bound(tenants.blue, 40000) as blue, _bound(tenants.red, 40000) as red:
        for number in range(20):
            for connection, word in ((blue, b"blue"), (red, b"red!")):
                connection.sendall(word + bytes([number]))
            for connection, word in ((blue, b"blue"), (red, b"red!")):
                assert connection.recv(100) == word + bytes([number])
        assert sorted(peer[0] for peer in peers) == [EIP1, EIP2]
        assert {(flow["vpc"], flow["elastic_ip"]) for flow in agent.flows("--inside", f"{H1}:40000")} == {
            ("blue", "eip-1"), ("red", "eip-2")}


def test_what_is_led_inside_reaches_its_own(tenants: Tenants, agent: Agent) -> None:
    for elastic_ip, its, other in ((EIP1, tenants.blue, tenants.red), (EIP2, tenants.red, tenants.blue)):
        with Capture(its, "eth0") as wanted, Capture(other, "eth0") as unwanted:
            with Conversation(tenants.web, elastic_ip, 8080, source=WEBS[1]) as conversation:
                conversation.say()
            eventually(lambda wanted=wanted: [one for one in wanted.packets if one.destination == H1])
            assert [one for one in unwanted.packets if one.source == WEBS[1]] == []
    # One reaches the other as anybody would.
    with Conversation(tenants.blue, EIP2, 8080) as hairpin:
        hairpin.say()
    changed = tenants.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2},
                     {"name": "eip-3", "address": EIP3, "instance": "red-db"}],
        internet_gateways=[{"name": "igw", "vpc": "red"}],
        instances=[{"name": "red-db", "subnet": "red-db", "address": H3, "security_groups": ["open"]}],
        security_groups=[{"name": "open", "vpc": "red", "ingress": [{"protocol": "tcp", "cidr": "0.0.0.0/0"}]}])
    agent.reload(changed)
    with services.echo_server(tenants.red_db, H3, 7), \
            Conversation(tenants.web, EIP3, 7, source=WEBS[1]) as conversation:
        conversation.say()


def test_neighbours_that_are_forgotten(tenants: Tenants, agent: Agent) -> None:
    """The host's stack, which would take the one for the other, never gets what is for an instance."""
    for round_trip in range(3):
        tenants.forget_neighbours()
        with Capture(tenants.blue, "eth0") as blue, Capture(tenants.red, "eth0") as red:
            for elastic_ip in (EIP1, EIP2):
                def converse(elastic_ip: str = elastic_ip) -> bool:
                    with Conversation(tenants.web, elastic_ip, 8080, source=WEBS[1 + round_trip]) as conversation:
                        conversation.say()
                    return True
                assert converse()
            time.sleep(0.2)
            got = {name: {one.source_port for one in capture.packets if one.source == WEBS[1 + round_trip]}
                   for name, capture in (("blue", blue), ("red", red))}
        assert got["blue"] and got["red"] and not got["blue"] & got["red"]


def test_within_a_vpc_nothing_gets_into_the_other(tenants: Tenants, agent: Agent) -> None:
    with services.echo_server(tenants.red_db, H3, 7):
        with Conversation(tenants.red, H3, 7) as conversation:
            conversation.say()
        before = agent.drops().get("wrong_egress_device", 0)
        with tenants.blue.socket(timeout=0.7) as client, pytest.raises(OSError):
            client.connect((H3, 7))
        assert agent.drops()["wrong_egress_device"] > before


def test_explain_wants_to_know_which(agent: Agent) -> None:
    assert "name the one that is meant: blue, red" in agent.run("explain", "tcp", f"{H1}:40000", f"{WEB}:7").stderr
    for vpc, elastic_ip in (("blue", EIP1), ("red", EIP2)):
        answer = agent.json("explain", "tcp", f"{H1}:40000", f"{WEB}:7", "--vpc", vpc)
        assert answer["translation"]["source"].startswith(elastic_ip)


def test_an_agent_that_is_gone_keeps_them_apart(tenants: Tenants, agent: Agent, peers: list) -> None:
    with _bound(tenants.blue, 40001) as blue, _bound(tenants.red, 40001) as red:
        agent.stop()
        time.sleep(31)  # after so long the programs ask the kernel for each packet
        for connection, word in ((blue, b"blue"), (red, b"red!")):
            connection.sendall(word)
            assert connection.recv(100) == word
        agent.start()
