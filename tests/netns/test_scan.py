# SPDX-License-Identifier: Apache-2.0
"""From outside nothing gets in and nothing answers, and each dropped packet is counted under its reason."""

from collections.abc import Iterator

import pytest

from lab import Agent, Routed, services
from lab.frames import ACK, FIN, RST, SYN, TCP, UDP, addresses, icmp, ipv4, tcp, udp
from lab.scan import Scan
from lab.world import EIP1, H1, H3, WEB

ALL_PORTS = range(65536)


@pytest.fixture(autouse=True)
def accounts(agent: Agent) -> Iterator[None]:
    yield
    agent.check_accounts()


@pytest.fixture(scope="module", autouse=True)
def instances_that_would_answer(world: Routed, agent: Agent) -> Iterator[None]:
    """Real servers inside, and a flow that is in use, so that there is something to be found."""
    services.nginx(world.h1, H1, {})
    services.nginx(world.h3, H3, {})
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        yield
        chatter.check()


def _check(world: Routed, agent: Agent, expected: dict[str, int], before: dict[str, int], scan: Scan) -> None:
    scan.settle()
    scan.check_silence()
    after = agent.drops()
    counted = {reason: count - before.get(reason, 0) for reason, count in after.items()
               if count != before.get(reason, 0)}
    assert counted == expected
    assert sum(expected.values()) == scan.sent


def test_elastic_ip_all_tcp_ports(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    with Scan(world) as scan:
        scan.tcp(EIP1, ALL_PORTS)
        _check(world, agent, {"unsolicited": 65536}, before, scan)


def test_elastic_ip_all_udp_ports(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    with Scan(world) as scan:
        scan.udp(EIP1, ALL_PORTS)
        _check(world, agent, {"unsolicited": 65536}, before, scan)


def test_elastic_ip_other_segments(world: Routed, agent: Agent) -> None:
    """Stealth scans: no answer to segments that no connection begins with either."""
    before = agent.drops()
    with Scan(world) as scan:
        for flags in (ACK, FIN, RST, SYN | ACK, FIN | ACK):
            for port in range(1, 400):
                scan.packet(ipv4(scan.source, EIP1, TCP, tcp(scan.source, EIP1, 40000, port, flags)))
        _check(world, agent, {"unsolicited": 5 * 399}, before, scan)


def test_elastic_ip_ping(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    with Scan(world) as scan:
        scan.ping([EIP1] * 100)
        _check(world, agent, {"unsolicited": 100}, before, scan)


def test_private_prefix_all_tcp_ports(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    with Scan(world) as scan:
        scan.tcp(H1, ALL_PORTS)
        _check(world, agent, {"private_destination": 65536}, before, scan)


def test_private_prefix_all_udp_ports(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    with Scan(world) as scan:
        scan.udp(H3, ALL_PORTS)
        _check(world, agent, {"private_destination": 65536}, before, scan)


def test_private_prefix_ping_sweep(world: Routed, agent: Agent) -> None:
    """All 65,536 addresses, except the two of the gateway itself, which are its host's own to answer for."""
    before = agent.drops()
    own = {"10.0.1.1", "10.0.2.1"}
    targets = [address for address in addresses("10.0.0.0/16") if address not in own]
    with Scan(world) as scan:
        scan.ping(targets)
        _check(world, agent, {"private_destination": len(targets)}, before, scan)


def test_other_protocols_and_icmp_types(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    quoted = ipv4(EIP1, Scan.source, UDP, udp(EIP1, Scan.source, 1234, 53))[:28]
    with Scan(world) as scan:
        cases = [
            (47, b"\0" * 20, "unsolicited"),
            (50, b"\0" * 20, "unsolicited"),
            (132, b"\0" * 20, "unsolicited"),
            (1, icmp(13, 0, 0, b"\0" * 12), "unsolicited"),           # timestamp
            (1, icmp(5, 1, 0x0A000101, quoted), "unsolicited"),       # redirect
            (1, icmp(0, 0, 0x00010001, b"x"), "unsolicited"),         # an echo reply that nobody asked for
            (1, icmp(3, 1, 0, quoted), "icmp_error_without_flow"),
            (1, icmp(11, 0, 0, quoted), "icmp_error_without_flow"),
            (1, icmp(3, 1, 0, quoted[:10]), "icmp_error_malformed"),
        ]
        expected: dict[str, int] = {}
        for protocol, payload, reason in cases:
            scan.packet(ipv4(scan.source, EIP1, protocol, payload))
            expected[reason] = expected.get(reason, 0) + 1
        _check(world, agent, expected, before, scan)


def test_martians_from_outside(world: Routed, agent: Agent) -> None:
    """Packets from outside that pretend to come from inside, or from nowhere."""
    before = agent.drops()
    with Scan(world) as scan:
        for source in ("127.0.0.1", "224.0.0.5", "255.255.255.255"):
            scan.packet(ipv4(source, EIP1, UDP, udp(source, EIP1, 5, 6)))
        scan.settle()
        scan.check_silence()
        after = agent.drops()
    assert sum(after.values()) - sum(before.values()) == 3


def test_malformed_packets(world: Routed, agent: Agent) -> None:
    before = agent.drops()
    good = ipv4(Scan.source, EIP1, TCP, tcp(Scan.source, EIP1, 40000, 80, SYN))
    with Scan(world) as scan:
        cases = {
            "malformed_ipv4": [good[:10], b"\x65" + good[1:], b"\x43" + good[1:], good[:2] + b"\xff\xff" + good[4:],
                               good[:10] + b"\0\0" + good[12:]],
            "malformed_transport": [ipv4(Scan.source, EIP1, TCP, good[20:30]), ipv4(Scan.source, EIP1, UDP, b"\0\1"),
                                    ipv4(Scan.source, EIP1, TCP, good[20:32] + b"\x10" + good[33:])],
        }
        for packets in cases.values():
            for packet in packets:
                scan.packet(packet)
        _check(world, agent, {reason: len(packets) for reason, packets in cases.items()}, before, scan)
