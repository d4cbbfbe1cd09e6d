# SPDX-License-Identifier: Apache-2.0
"""An Elastic IP gives out its ports to the last one, and says so when there is none left."""

from collections.abc import Iterator

import pytest

from lab import Agent, Routed, eventually
from lab.filler import Filler
from lab.frames import TCP, UDP, parse
from lab.world import EIP1, EIP2

PORTS = 65536 - 1024
INSTANCES = [f"10.0.2.{number}" for number in range(100, 116)]
REMOTES = [f"203.0.113.{number}" for number in (60, 61, 62, 63)]


def _configuration(world: Routed, elastic_ips: dict[str, str]) -> dict:
    configuration = world.configuration(
        elastic_ips=[{"name": name, "address": address} for name, address in elastic_ips.items()],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": list(elastic_ips)}])
    configuration["gateway"]["flow_capacity"] = 1048576  # the default; half of it may wait for an answer
    return configuration


@pytest.fixture
def one_address(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world, {"eip-1": EIP1})) as running:
        yield running


@pytest.fixture
def two_addresses(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world, {"eip-1": EIP1, "eip-2": EIP2})) as running:
        yield running


def _endpoints(count: int) -> list[tuple[str, int]]:
    """Of all instances in turn."""
    return [(INSTANCES[number % len(INSTANCES)], 2000 + number // len(INSTANCES)) for number in range(count)]


def _exhausted(agent: Agent) -> int:
    return agent.drops().get("port_exhausted", 0)


def _check_refusal(agent: Agent, filler: Filler, before: int) -> None:
    """The refused packet is counted, is not seen outside, and its sender is told (host unreachable, 3/1)."""
    eventually(lambda: _exhausted(agent) == before + 1, what="one more drop for port_exhausted")
    assert filler.quiet_outside()
    told = [packet for packet in map(parse, filler.inside_frames()) if packet.icmp_type == 3]
    assert len(told) == 1 and told[0].icmp_code == 1, told
    assert told[0].checksums_right()


def test_tcp_to_one_remote(world: Routed, one_address: Agent) -> None:
    remote = (REMOTES[0], 443)
    flows = [(endpoint, remote) for endpoint in _endpoints(PORTS)]
    with Filler(world, INSTANCES, REMOTES) as filler:
        filler.open_tcp(flows)
        external = {flow.external for flow in filler.outside.values()}
        assert external == {(EIP1, port) for port in range(1024, 65536)}
        assert one_address.flow_count("--protocol", "tcp") == PORTS
        assert _exhausted(one_address) == 0

        filler.try_tcp(("10.0.2.100", 1999), remote)
        _check_refusal(one_address, filler, 0)
        metrics = one_address.scrape()
        assert metrics.value("sallyport_nat_port_allocation_errors_total", nat_gateway="egress") == 1
        assert metrics.value("sallyport_drops_total", reason="port_exhausted") == 1
        assert metrics.value("sallyport_nat_active_flows", nat_gateway="egress", protocol="tcp") == PORTS
        assert metrics.value("sallyport_eip_ports_in_use", elastic_ip="eip-1", protocol="tcp") == PORTS
        assert one_address.flow_count("--protocol", "tcp") == PORTS

        # All of them are alive, and another remote is as free as ever.
        filler.open_tcp([(("10.0.2.100", 1999), (REMOTES[1], 443)), (("10.0.2.100", 1999), (REMOTES[0], 80))])
        listed = one_address.flows("--remote", f"{remote[0]}:{remote[1]}", "--limit", 5)
        assert {flow["state"] for flow in listed} == {"established"}
    one_address.check_accounts()


def test_tcp_to_one_remote_with_two_addresses(world: Routed, two_addresses: Agent) -> None:
    remote = (REMOTES[0], 443)
    with Filler(world, INSTANCES, REMOTES) as filler:
        filler.open_tcp([(endpoint, remote) for endpoint in _endpoints(2 * PORTS)], handshake=False)
        external = {flow.external for flow in filler.outside.values()}
        assert external == {(address, port) for address in (EIP1, EIP2) for port in range(1024, 65536)}
        assert two_addresses.flow_count("--protocol", "tcp") == 2 * PORTS
        filler.try_tcp(("10.0.2.100", 1999), remote)
        _check_refusal(two_addresses, filler, 0)
    two_addresses.check_accounts()


def test_tcp_to_four_remotes_through_one_address(world: Routed, one_address: Agent) -> None:
    count = 60_000
    with Filler(world, INSTANCES, REMOTES) as filler:
        for remote in REMOTES:
            filler.open_tcp([(endpoint, (remote, 443)) for endpoint in _endpoints(count)], handshake=False)
        for remote in REMOTES:
            external = {flow.external for flow in filler.outside.values() if flow.remote == (remote, 443)}
            assert len(external) == count
            assert one_address.flow_count("--remote", remote) == count
        assert one_address.flow_count() == 4 * count
        assert _exhausted(one_address) == 0
    one_address.check_accounts()


def test_udp_mappings(world: Routed, one_address: Agent) -> None:
    """A UDP mapping owns its port whatever the remote (RFC 4787 REQ-1), so there are as many as ports."""
    with Filler(world, INSTANCES, REMOTES) as filler:
        endpoints = _endpoints(PORTS)
        filler.open_udp((endpoint, (REMOTES[number % 4], 53)) for number, endpoint in enumerate(endpoints))
        external = {flow.external for flow in filler.outside.values()}
        assert external == {(EIP1, port) for port in range(1024, 65536)}
        assert one_address.status()["flows"]["mappings"] == PORTS

        filler.try_udp(("10.0.2.100", 1999), (REMOTES[0], 53))
        _check_refusal(one_address, filler, 0)
        filler.try_udp(("10.0.2.100", 1999), (REMOTES[1], 5353))
        _check_refusal(one_address, filler, 1)

        # Another remote of a mapping that exists needs no port of its own, and sees the same one.
        some = endpoints[::4099]
        filler.open_udp((endpoint, (REMOTES[3], 5353)) for endpoint in some)
        for number, endpoint in list(enumerate(endpoints))[::4099]:
            first = filler.outside[UDP, endpoint, (REMOTES[number % 4], 53)]
            assert filler.outside[UDP, endpoint, (REMOTES[3], 5353)].external == first.external

        # TCP has ports of its own.
        filler.open_tcp([(("10.0.2.100", 1999), (REMOTES[0], 443))])
        assert (TCP, ("10.0.2.100", 1999), (REMOTES[0], 443)) in filler.outside
    one_address.check_accounts()


def test_full_table_refuses_and_keeps_what_lives(world: Routed) -> None:
    """Nothing alive is evicted: when the table is full new flows are refused, the old ones go on."""
    configuration = _configuration(world, {"eip-1": EIP1, "eip-2": EIP2})
    # As many flows without an answer as the table has room for: it is the table that shall be full.
    configuration["gateway"] |= {"flow_capacity": 1024, "unanswered_flow_capacity": 1024}
    with Agent(world.gateway, configuration) as agent, Filler(world, INSTANCES, REMOTES) as filler:
        capacity = agent.status()["flows"]["capacity"]
        kept = [(endpoint, (REMOTES[0], 443)) for endpoint in _endpoints(capacity)]
        for first in range(0, capacity, 256):
            filler.open_tcp(kept[first:first + 256])
        sent = 8 * capacity
        for instance, remote in [(endpoint, (REMOTES[1], 443)) for endpoint in _endpoints(sent)]:
            filler.try_tcp(instance, remote)
        eventually(lambda: agent.drops().get("flow_table_full", 0), what="drops for flow_table_full")
        agent.check_accounts()
        drops = agent.drops()
        refused = sum(drops.get(reason, 0) for reason in ("flow_table_full", "unanswered_limit", "port_exhausted"))
        assert agent.flow_count("--remote", REMOTES[0]) == len(kept)
        assert agent.flow_count("--remote", REMOTES[1]) == sent - refused
