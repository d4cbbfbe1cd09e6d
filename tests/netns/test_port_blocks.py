# SPDX-License-Identifier: Apache-2.0
"""Inside hosts with ports in blocks of their own: real sockets, and an agent that is killed, reloads and is gone."""

import copy
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lab import Agent, Namespace, Routed, eventually
from lab.world import H1, H2, H3, WEB

SIZE = 64
BLOCKS = {"size": SIZE, "blocks_per_host": 2, "hold": "2s"}
Address = tuple[str, int]


def _configuration(world: Routed, **blocks: Any) -> dict[str, Any]:
    configuration = copy.deepcopy(world.configuration())
    configuration["nat_gateways"][0]["port_blocks"] = BLOCKS | blocks
    return configuration


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world)) as running:
        yield running


@pytest.fixture(autouse=True)
def accounts(agent: Agent) -> Iterator[None]:
    yield
    agent.check_accounts()


class Host:
    """A host's UDP sockets, each with the external endpoint that the server has seen it by."""

    def __init__(self, namespace: Namespace, peers: list[Address], sockets: ExitStack):
        self.namespace, self.peers, self.sockets = namespace, peers, sockets
        self.seen: dict[socket.socket, Address] = {}

    def open(self) -> Address:
        opened = self.sockets.enter_context(self.namespace.socket(socket.SOCK_DGRAM, timeout=3.0))
        opened.connect((WEB, 7))
        self.seen[opened] = self.ask(opened)
        return self.seen[opened]

    def ask(self, opened: socket.socket) -> Address:
        opened.send(b"who am I?")
        assert opened.recv(100) == b"who am I?"
        return self.peers[-1]

    def check(self) -> None:
        for opened, external in self.seen.items():
            assert self.ask(opened) == external

    def blocks(self) -> set[tuple[str, int]]:
        return {(address, port // SIZE) for address, port in self.seen.values()}


def test_hosts_have_blocks_of_their_own(world: Routed, agent: Agent, peers: list[Address]) -> None:
    with ExitStack() as sockets:
        one, other = Host(world.h1, peers, sockets), Host(world.h2, peers, sockets)
        for _ in range(2 * SIZE):
            one.open()
            other.open()
        for host in (one, other):
            assert len(set(host.seen.values())) == 2 * SIZE
            assert len(host.blocks()) == 2, "no port of any other block, and each port of these"
        assert not one.blocks() & other.blocks()
        before = agent.drops().get("port_exhausted", 0)
        # One record tells of all ports of a block, in each protocol.
        for host, address in ((one, H1), (other, H2)):
            for external, port in set(host.seen.values()):
                answer = agent.json("who", f"{external}:{port}")
                assert [block["instance"] for block in answer["port_blocks"]] == [address]
                assert [flow["inside"].split(":")[0] for flow in answer["flows"]] == [address]
        assert agent.scrape().value("sallyport_port_blocks") == 4
        with pytest.raises(OSError):  # told by ICMP, or never answered
            one.open()
        assert agent.drops()["port_exhausted"] > before

        # Whatever becomes of the agent, and of the size: what stands stays.
        agent.kill()
        one.check()
        agent.start()
        agent.reload(_configuration(world, size=4 * SIZE))
        one.check()
        other.check()
        agent.reload(_configuration(world))
        one.check()
        other.check()


def test_wrong_settings_change_nothing(world: Routed, agent: Agent, peers: list[Address]) -> None:
    with ExitStack() as sockets:
        host = Host(world.h3, peers, sockets)
        host.open()
        agent.configure(_configuration(world, size=100))
        done = agent.run("reload")
        assert done.returncode == 1
        assert "a block cannot have 100 ports; expected a power of two from 64 to 4096" in done.stdout + done.stderr
        host.check()
        agent.reload(_configuration(world))


def test_blocks_are_given_back(world: Routed, agent: Agent, peers: list[Address]) -> None:
    """With the last flow a block begins to rest, and after that it is nobody's."""
    configuration = _configuration(world)
    configuration["nat_gateways"][0]["timeouts"] = {"udp": "1s"}
    configuration["nat_gateways"][0]["allow_nonconformant_timeouts"] = True
    agent.reload(configuration)
    with ExitStack() as sockets:
        address, port = Host(world.h3, peers, sockets).open()
        began = time.time()
        eventually(lambda: agent.flow_count("--inside", H3, "--external", f"{address}:{port}") == 0, timeout=20)
    # The block of test_wrong_settings has another flow: h3 has its ports as long as that lives.
    assert agent.json("who", f"{address}:{port}")["port_blocks"][0]["until"] is None
    for flow in agent.flows("--inside", H3):
        with ExitStack() as sockets:
            again = sockets.enter_context(world.h3.socket(socket.SOCK_DGRAM, timeout=3.0))
            again.bind((H3, int(flow["inside"].split(":")[1])))
            again.sendto(b"once more, with a timeout of a second", (WEB, 7))
    eventually(lambda: agent.flow_count("--inside", H3) == 0, timeout=20)
    eventually(lambda: agent.run("who", f"{address}:{port}").returncode == 1, timeout=20)
    then = agent.json("who", f"{address}:{port}", "--at", int(began) + 1)
    assert [block["instance"] for block in then["port_blocks"]] == [H3]
    assert then["port_blocks"][0]["until"] is not None
    agent.reload(_configuration(world))
