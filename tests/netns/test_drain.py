# SPDX-License-Identifier: Apache-2.0
"""An Elastic IP is drained: what it has goes on, nothing new begins on it, and at the deadline the rest ends."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Agent, Routed, services
from lab.services import Conversation, refusal
from lab.world import EIP1, EIP2, H1, H2, WEB, WEBS


def _configuration(world: Routed, elastic_ips: list[str]) -> dict[str, Any]:
    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": elastic_ips}],
        port_forwards=[{"name": "echo", "elastic_ip": "eip-1", "protocol": "tcp", "port": 7000, "to": f"{H2}:7"}])


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world, ["eip-1"])) as running:
        yield running
        running.check_accounts()


@pytest.fixture(autouse=True)
def peers(world: Routed) -> Iterator[list]:
    with services.echo_server(world.web, WEB, 7) as met, services.echo_server(world.h2, H2, 7):
        yield met


def _draining(agent: Agent) -> dict[str, Any]:
    return {one["name"]: one["drain"] for one in agent.status()["elastic_ips"] if one["drain"]}


def test_flows_go_on_new_ones_go_elsewhere_and_the_rest_ends_with_a_reset(world: Routed, agent: Agent,
                                                                         peers: list) -> None:
    with Conversation(world.h1, WEB, 7) as first, Conversation(world.h2, WEB, 7) as second, \
            Conversation(world.web, EIP1, 7000, source=WEBS[1]) as inward:
        for conversation in (first, second, inward):
            conversation.say()
        assert {peer[0] for peer in peers} == {EIP1}
        agent.reload(_configuration(world, ["eip-1", "eip-2"]))

        answer = agent.json("drain", "eip-1")
        assert (answer["state"], answer["deadline"], answer["remaining_flows"]) == ("draining", None, 3)
        assert answer["top"][0] == {"inside": H2, "vpc": "main", "flows": 2, "bytes": answer["top"][0]["bytes"]}
        assert list(_draining(agent)) == ["eip-1"]
        assert agent.scrape().value("sallyport_eip_draining", elastic_ip="eip-1") == 1
        assert agent.scrape().value("sallyport_eip_draining", elastic_ip="eip-2") == 0
        for conversation in (first, second, inward):
            conversation.say()
        for namespace in (world.h1, world.h2):
            with Conversation(namespace, WEB, 7) as later:
                later.say()
            assert peers[-1][0] == EIP2
        before = agent.drops().get("elastic_ip_draining", 0)
        assert refusal(world.web, EIP1, 7000, source=WEBS[1]) == "silence"
        assert agent.drops()["elastic_ip_draining"] > before
        explained = agent.json("explain", "tcp", f"{WEBS[1]}:50000", f"{EIP1}:7000")
        assert (explained["verdict"], explained["reason"]) == ("drop", "elastic_ip_draining")

        # It goes on without the agent, and after another has started.
        agent.stop()
        with Conversation(world.h1, WEB, 7) as later:
            later.say()
        assert peers[-1][0] == EIP2
        first.say()
        agent.start()
        assert list(_draining(agent)) == ["eip-1"]
        first.say()
        assert [one.retransmissions() for one in (first, second)] == [0, 0]

        agent.text("drain", "eip-1", "--timeout", "3s")
        assert agent.json("drain", "eip-1", "--status")["deadline"] is not None
        started = time.monotonic()
        assert agent.json("drain", "eip-1", "--timeout", "3s", "--wait")["state"] == "drained"
        assert time.monotonic() - started > 2.5
        for conversation in (first, second, inward):
            with pytest.raises(ConnectionResetError):
                conversation.say(timeout=2)
    assert agent.flows("--external", EIP1) == []
    assert "is drained" in agent.text("status")
    with Conversation(world.h1, WEB, 7) as later:
        later.say()
    assert peers[-1][0] == EIP2

    agent.text("drain", "eip-1", "--abort")
    assert _draining(agent) == {}
    with Conversation(world.web, EIP1, 7000, source=WEBS[1]) as inward:
        inward.say()


def test_the_only_elastic_ip_can_be_drained_and_the_drain_be_aborted(world: Routed, agent: Agent,
                                                                    peers: list) -> None:
    with Conversation(world.h1, WEB, 7) as open_before:
        open_before.say()
        agent.text("drain", "eip-1", "--timeout", "1h")
        before = agent.drops().get("nat_gateway_without_elastic_ip", 0)
        with world.h1.socket(timeout=0.7) as client, pytest.raises(OSError):
            client.connect((WEB, 7))
        assert agent.drops()["nat_gateway_without_elastic_ip"] > before
        open_before.say()
        agent.text("drain", "eip-1", "--abort")
        with Conversation(world.h1, WEB, 7) as later:
            later.say()
        open_before.say()
        assert open_before.retransmissions() == 0
    assert {peer[0] for peer in peers} == {EIP1}


def test_what_is_no_drain_is_told_so(agent: Agent) -> None:
    for arguments, code, words in ((("drain", "eip-9"), 1, "there is no"),
                                   (("drain", "eip-2", "--status"), 1, "is not being drained"),
                                   (("drain", "eip-2", "--timeout", "soon"), 2, "--timeout"),
                                   (("drain", "eip-2", "--abort", "--wait"), 2, "--abort"),
                                   (("drain",), 2, "EIP")):
        result = agent.run(*arguments)
        assert result.returncode == code, result
        assert words in result.stderr
    status, _, body = agent.request("POST", "/v1/elastic_ips/eip-2/drain", {"timeout": "-1s"})
    assert status == 400 and "timeout" in body["detail"]
    status, _, body = agent.request("POST", "/v1/elastic_ips/eip-2/drain", {"until": "1s"})
    assert status == 400 and "expected: timeout" in body["detail"]
    assert _draining(agent) == {}
    agent.text("drain", "eip-2", "--abort")  # as it is already
