# SPDX-License-Identifier: Apache-2.0
"""Long absences of the agent, and many short ones at moments that nobody chose. Slow."""

import random
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Routed, services
from lab.world import EIP1, ISP, WEB


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration()) as running:
        yield running


def test_two_minutes_without_an_agent(world: Routed, agent: Agent) -> None:
    """Nobody keeps the next hops current any more: the kernel's own knowledge takes their place."""
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as one, \
            services.Chatter(world.h3, WEB, 7) as other:
        agent.kill()
        for step in range(12):
            time.sleep(10)
            if step == 6:  # the router outside is exchanged in the meantime
                world.isp.ip("link set gw0 address 02:5a:11:00:00:07")
                world.gateway.ip(f"neigh replace {ISP} lladdr 02:5a:11:00:00:07 dev wan0 nud reachable")
                world.isp.ip(f"neigh replace {EIP1} lladdr {world.wan_mac} dev gw0")
            for chatter in (one, other):
                chatter.check(retransmissions=3)
            assert world.h2.run("ping", "-n", "-c", 1, "-W", 2, WEB).returncode == 0
        agent.start()
        one.check(retransmissions=3)
    agent.check_accounts()


def test_killed_fifty_times(world: Routed, agent: Agent) -> None:
    """At random moments of start, reload and rest: no flow is lost and the last start is as good as the first."""
    luck = random.Random(20)
    other = world.configuration()
    other["route_tables"][0]["routes"].append({"destination": "192.0.2.0/24", "blackhole": True})
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        for number in range(50):
            agent.configure(other if number % 2 else world.configuration())
            agent.kill()
            agent.launch()
            time.sleep(luck.random() * 0.6)
            if luck.random() < 0.3:
                agent.hang_up()
                time.sleep(luck.random() * 0.05)
        agent.kill()
        agent.configure(world.configuration())
        agent.start()
        chatter.check(retransmissions=3)
    agent.check_accounts()
    assert world.h2.run("ping", "-n", "-c", 1, "-W", 2, WEB).returncode == 0
