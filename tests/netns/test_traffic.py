# SPDX-License-Identifier: Apache-2.0
"""Real programs through the gateway."""

import re
import socket

import pytest

from lab import Agent, Capture, Routed, services
from lab.capture import Wire
from lab.frames import ACK, RST, TCP, ipv4, tcp
from lab.services import digest, random_file
from lab.world import EIP1, H1, H2, H3, WEB

CONTENT = random_file(2_000_000)


@pytest.fixture(scope="module", autouse=True)
def servers(world: Routed, agent: Agent) -> None:
    services.nginx(world.web, WEB, {"file": CONTENT})
    services.iperf3_server(world.web, WEB)
    services.dns_server(world.web, WEB, {"name.example": "192.0.2.1"})


@pytest.fixture(autouse=True)
def accounts(agent: Agent):
    yield
    agent.check_accounts()


def test_attached_natively(agent: Agent) -> None:
    devices = agent.devices()
    assert set(devices) == {"lan0", "lan1", "wan0"}
    for device in devices.values():
        assert device["attached"] and device["mode"] == "native", device


@pytest.mark.parametrize("host", ["h1", "h2", "h3"])
def test_http(world: Routed, host: str) -> None:
    client = getattr(world, host)
    assert client.run("curl", "-sS", "--max-time", 10, f"http://{WEB}/who").stdout.startswith(f"{EIP1}:")
    target = world.lab.path("got")
    client.run("curl", "-sS", "--max-time", 20, "-o", target, f"http://{WEB}/file")
    with open(target, "rb") as file:
        assert digest(file.read()) == digest(CONTENT)


def test_many_requests_at_once(world: Routed) -> None:
    urls = "\n".join(f'url = "http://{WEB}/who"\noutput = "/dev/null"' for _ in range(300))
    done = world.h1.run("curl", "-sS", "--no-progress-meter", "--max-time", 30, "--parallel", "--parallel-max", 50,
                        "-H", "Connection: close", "--fail", "-K", "-", input=urls)
    assert done.stderr == ""


def test_iperf3_up_and_down(world: Routed) -> None:
    for options in ((), ("-R",), ("--bidir",)):
        result = services.iperf3(world.h1, WEB, 2, *options)
        assert result["end"]["sum_received"]["bytes"] > 10_000_000


def test_iperf3_udp_loses_nothing(world: Routed) -> None:
    for options in ((), ("-R",)):
        result = services.iperf3(world.h3, WEB, 2, "-u", "-b", "20M", "-l", 1200, *options)
        assert result["end"]["sum"]["lost_packets"] <= 2, result["end"]["sum"]
        assert result["end"]["sum"]["packets"] > 3000


def test_dns(world: Routed) -> None:
    for host in (world.h1, world.h2, world.h3):
        for options in ((), ("+tcp",)):
            answer = host.run("dig", "+short", "+timeout=3", "+tries=1", *options, f"@{WEB}", "name.example")
            assert answer.stdout == "192.0.2.1\n"


def test_netcat_udp(world: Routed) -> None:
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers:
        done = world.h1.run("nc", "-u", "-w", 1, WEB, 7, input="hello\n")
        assert done.stdout == "hello\n"
        assert peers[0][0] == EIP1 and peers[0][1] >= 1024


@pytest.mark.parametrize("size", [0, 56, 1472])
def test_ping(world: Routed, size: int) -> None:
    for host in (world.h1, world.h2, world.h3):
        done = host.run("ping", "-n", "-c", 5, "-i", 0.05, "-W", 2, "-s", size, WEB)
        assert "5 packets transmitted, 5 received" in done.stdout


def test_pings_of_two_hosts_with_one_identifier(world: Routed) -> None:
    """Two hosts that use the same ICMP identifier get different ones outside, and each its own replies."""
    with Capture(world.isp, "gw0", keep=lambda packet: packet.icmp_type == 8) as capture:
        runs = [host.start("ping", "-n", "-e", 7, "-c", 10, "-i", 0.05, "-W", 2, WEB)
                for host in (world.h1, world.h2, world.h3)]
        for run in runs:
            assert "10 packets transmitted, 10 received" in run.finish()
    assert len({packet.identifier for packet in capture.packets}) == 3


def test_what_leaves_is_translated_and_right(world: Routed) -> None:
    """On the outer wire there is no private address and no wrong checksum, and the TTL is one less."""
    with Capture(world.isp, "gw0", keep=lambda packet: packet.kind == 0x0800) as outside, \
            Capture(world.h3, "eth0", keep=lambda packet: packet.kind == 0x0800) as inside:
        world.h3.run("curl", "-sS", "--max-time", 10, f"http://{WEB}/who")
        world.h3.run("dig", "+short", "+timeout=3", f"@{WEB}", "name.example")
        world.h3.run("ping", "-c", 2, "-i", 0.05, WEB)
    assert {packet.protocol for packet in outside.packets} == {1, 6, 17}
    for packet in outside.packets:
        assert packet.source == EIP1 and packet.ttl == 63 and packet.checksums_right(), packet
    for packet in inside.packets:
        assert packet.destination == H3 and packet.source == WEB and packet.checksums_right(), packet
        assert packet.ttl == 62


def test_flow_is_shown_as_it_is(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7) as peers, services.Conversation(world.h2, WEB, 7) as conversation:
        for _ in range(5):
            conversation.say()
        (host, port) = peers[0]
        source = conversation.socket.getsockname()
        flows = agent.flows("--inside", f"{source[0]}:{source[1]}", "--protocol", "tcp")
        assert len(flows) == 1
        flow = flows[0]
        assert flow["inside"] == f"{H2}:{source[1]}"
        assert flow["external"] == f"{host}:{port}" and host == EIP1
        assert flow["remote"] == f"{WEB}:7"
        assert (flow["vpc"], flow["nat_gateway"], flow["elastic_ip"]) == ("main", "egress", "eip-1")
        assert flow["state"] == "established"
        assert flow["timeout_seconds"] in range(7440, 7443)
        assert flow["packets_out"] >= 7 and flow["packets_in"] >= 6


def test_closed_connection_leaves_the_established_timer(world: Routed, agent: Agent) -> None:
    with services.echo_server(world.web, WEB, 7), services.Conversation(world.h2, WEB, 7) as conversation:
        conversation.say()
        port = conversation.socket.getsockname()[1]
    flow, = agent.flows("--inside", f"{H2}:{port}", "--protocol", "tcp")
    assert flow["state"] == "closing"
    assert flow["timeout_seconds"] in range(240, 243)


def test_a_refused_connection_is_refused(world: Routed) -> None:
    """The reset of a closed port outside reaches the instance."""
    with world.h1.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect((WEB, 81))


def test_udp_port_unreachable_comes_back(world: Routed) -> None:
    with world.h1.socket(socket.SOCK_DGRAM) as client:
        client.connect((WEB, 9))
        client.send(b"anyone there?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def test_segment_without_flow_is_reset(world: Routed, agent: Agent) -> None:
    """An instance that goes on with a connection that the gateway does not know is told so at once."""
    before = agent.drops().get("tcp_without_flow", 0)
    with Capture(world.h3, "eth0", keep=lambda p: p.protocol == TCP) as inside, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == TCP) as outside, \
            Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
        wire.send_ip(ipv4(H3, WEB, TCP, tcp(H3, WEB, 4444, 80, ACK, sequence=1000, acknowledgement=2000)))
        reset = inside.wait_for(lambda p: bool(p.flags & RST), what="reset")[0]
        assert (reset.source, reset.source_port, reset.destination, reset.destination_port) == (WEB, 80, H3, 4444)
        assert reset.sequence == 2000 and reset.checksums_right()
    assert not outside.packets
    assert agent.drops()["tcp_without_flow"] == before + 1


def test_kernel_of_the_gateway_translates_nothing(world: Routed) -> None:
    """It is our programs that carry the traffic: the kernel tracks no connection here."""
    rules = world.gateway.run("nft", "list", "ruleset").stdout
    assert rules.strip() == ""
    tracked = world.gateway.run("sh", "-c", "cat /proc/sys/net/netfilter/nf_conntrack_count || echo 0",
                                check=False).stdout
    assert re.match(r"0\s*$", tracked), tracked


def test_hosts_see_no_wrong_checksum(world: Routed) -> None:
    """Counters of the receiving kernels, after all of the above."""
    for host in (world.h1, world.h2, world.h3, world.web):
        text = host.read("/proc/net/snmp") + host.read("/proc/net/netstat")
        assert _counter(text, "Tcp", "InCsumErrors") == 0
        assert _counter(text, "Udp", "InCsumErrors") == 0
        assert _counter(text, "Icmp", "InCsumErrors") == 0
        assert _counter(text, "Ip", "InHdrErrors") == 0


def _counter(text: str, group: str, name: str) -> int:
    lines = [line.split() for line in text.splitlines() if line.startswith(f"{group}:")]
    return int(lines[1][lines[0].index(name)])


def test_client_port_is_not_kept(world: Routed) -> None:
    """External ports are random (RFC 6056): hardly any equals the port of the instance, none runs in sequence."""
    with services.echo_server(world.web, WEB, 7, socket.SOCK_DGRAM) as peers:
        for port in range(30000, 30040):
            with world.h1.socket(socket.SOCK_DGRAM) as client:
                client.bind((H1, port))
                client.sendto(b"x", (WEB, 7))
                client.recv(10)
    seen = [peer[1] for peer in peers]
    assert len(set(seen)) == 40 and min(seen) >= 1024
    assert sum(a == b for a, b in zip(seen, range(30000, 30040), strict=True)) <= 2
    assert sum(b - a in (-1, 1) for a, b in zip(seen, seen[1:], strict=False)) <= 2
