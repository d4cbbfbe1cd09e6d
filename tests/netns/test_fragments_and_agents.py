# SPDX-License-Identifier: Apache-2.0
"""Early fragments when agents come and go, and in generic mode."""

import os
import socket
import time

from lab import Agent, Routed
from lab.capture import Wire
from lab.core import eventually
from lab.fragments import ORDERS, flow, fragments, receive, send_in_all_orders
from lab.frames import UDP, udp
from lab.world import EIP1, H3, WEB


def test_generic_mode(world: Routed) -> None:
    configuration = world.configuration()
    configuration["gateway"]["xdp"] = "generic"
    with Agent(world.gateway, configuration) as agent:
        with flow(world.h3, H3, 5000, agent) as (inside, external), Wire(world.isp, "gw0", world.wan_mac) as wire:
            payloads = [os.urandom(4000) for _ in ORDERS]
            send_in_all_orders(wire, [fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, payload), 100 + number)
                                      for number, payload in enumerate(payloads)], 0)
            assert receive(inside, 6) == set(payloads)
        with world.web.socket(socket.SOCK_DGRAM) as outside, Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire:
            outside.bind((WEB, 9))
            send_in_all_orders(wire, [fragments(H3, WEB, UDP, udp(H3, WEB, 5001, 9, payload), 200 + number)
                                      for number, payload in enumerate(payloads)], 0)
            assert receive(outside, 6) == set(payloads)
        agent.check_accounts()
        assert all(device["held"] == 0 for device in agent.status()["devices"])
        assert agent.drops() == {}


def test_without_an_agent_they_are_dropped(world: Routed) -> None:
    """Soon after the agent has died; and the next one accounts for what it had held."""
    with Agent(world.gateway, world.configuration()) as agent:
        with flow(world.h3, H3, 5006, agent) as (_, external), Wire(world.isp, "gw0", world.wan_mac) as wire:
            def early(identification: int) -> None:
                wire.send_ip(fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, b"x" * 2000), identification)[1])
            early(1)
            eventually(lambda: agent.devices()["wan0"]["held"] == 1)
            agent.kill()
            early(2)  # waits in the ring buffer
            time.sleep(6)
            early(3)
        agent.start()
        eventually(lambda: agent.drops().get("fragment_without_first", 0) == 3)
        agent.check_accounts()
        assert agent.devices()["wan0"]["held"] == 0


def test_stopping_gives_up_what_is_held(world: Routed) -> None:
    with Agent(world.gateway, world.configuration()) as agent:
        with flow(world.h3, H3, 5007, agent) as (_, external), Wire(world.isp, "gw0", world.wan_mac) as wire:
            wire.send_ip(fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, b"x" * 2000), 1)[1])
            eventually(lambda: agent.devices()["wan0"]["held"] == 1)
            assert agent.stop() == 0
            wire.send_ip(fragments(WEB, EIP1, UDP, udp(WEB, EIP1, 7, external, b"x" * 2000), 2)[1])
        agent.start()
        assert agent.drops()["fragment_without_first"] == 2
        agent.check_accounts()
