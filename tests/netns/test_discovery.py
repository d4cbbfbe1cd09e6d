# SPDX-License-Identifier: Apache-2.0
"""What a client of RFC 5780 finds out about the gateway: coturn's, against coturn's server on two public addresses."""

import socket
import struct
from collections.abc import Iterator

import pytest

from lab import Agent, LabError, Routed, eventually
from lab.core import Process
from lab.world import EIP1, WEBS

SERVER, ALTERNATE = WEBS[0], WEBS[1]
PORT, OTHER_PORT = 3478, 3479

MAPPINGS = {"endpoint_independent": "NAT with Endpoint Independent Mapping!",
            "address_and_port_dependent": "NAT with Address and Port Dependent Mapping!"}
FILTERINGS = {"endpoint_independent": "NAT with Endpoint Independent Filtering!",
              "address_dependent": "NAT with Address Dependent Filtering!",
              "address_and_port_dependent": "NAT with Address and Port Dependent Filtering!"}


COOKIE = 0x2112A442
REQUEST = struct.pack("!HHI", 1, 0, COOKIE) + bytes(range(12))  # a binding request (RFC 5389 section 6)


def _attribute(answer: bytes, wanted: int) -> bytes:
    at = 20
    while at < len(answer):
        kind, length = struct.unpack_from("!HH", answer, at)
        if kind == wanted:
            return answer[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    raise LabError(f"no attribute {wanted:#x} in {answer.hex()}")


def _answers(world: Routed) -> bool:
    with world.web.socket(socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.sendto(REQUEST, (SERVER, PORT))
        return client.recv(1000)[:2] == b"\x01\x01"


@pytest.fixture(scope="module")
def server(world: Routed) -> Iterator[Process]:
    running = world.web.start("turnserver", "-n", "-L", SERVER, "-L", ALTERNATE, "-p", PORT,
                              "--alt-listening-port", OTHER_PORT, "--stun-only", "--no-auth", "--no-cli", "--no-tls",
                              "--no-dtls", "--log-file", "stdout", "--pidfile", world.lab.path("turnserver.pid"))
    try:
        eventually(lambda: _answers(world), timeout=15, what="an answer of the STUN server")
        yield running
    finally:
        running.stop()


def _configuration(world: Routed, mapping: str, filtering: str, **settings: object) -> dict:
    return world.configuration(nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1"],
                                              "mapping": mapping, "filtering": filtering, **settings}])


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world, "endpoint_independent", "endpoint_independent")) as running:
        yield running
        running.check_accounts()


def _discover(world: Routed, *options: object) -> str:
    return world.h1.run("turnutils_natdiscovery", *options, SERVER, timeout=60).stdout


@pytest.mark.usefixtures("server")
@pytest.mark.row("5780-§4.2", "5780-§4.3", "5780-§4.4")
@pytest.mark.parametrize("filtering", FILTERINGS)
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_the_class_found_is_the_one_configured(world: Routed, agent: Agent, mapping: str, filtering: str) -> None:
    agent.reload(_configuration(world, mapping, filtering))
    found = _discover(world, "-m", "-f")
    assert MAPPINGS[mapping] in found, found
    assert FILTERINGS[filtering] in found, found
    others = (set(MAPPINGS.values()) | set(FILTERINGS.values())) - {MAPPINGS[mapping], FILTERINGS[filtering]}
    assert not any(other in found for other in others), found


@pytest.mark.usefixtures("server")
@pytest.mark.row("5780-§3.6")
def test_no_address_in_a_payload_is_rewritten(world: Routed, agent: Agent) -> None:
    """MAPPED-ADDRESS, which a meddling NAT would rewrite, says the same as XOR-MAPPED-ADDRESS, which it cannot know."""
    agent.reload(_configuration(world, "endpoint_independent", "address_and_port_dependent"))
    with world.h1.socket(socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(REQUEST, (SERVER, PORT))
        answer = client.recv(1000)
    mapped, hidden = _attribute(answer, 0x0001), _attribute(answer, 0x0020)
    port, address = struct.unpack("!xxH4s", mapped)
    assert struct.unpack("!xxH4s", hidden) == (port ^ (COOKIE >> 16),
                                               bytes(a ^ b for a, b in zip(address, COOKIE.to_bytes(4, "big"))))
    assert socket.inet_ntoa(address) == EIP1
