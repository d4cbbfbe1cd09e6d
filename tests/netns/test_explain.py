# SPDX-License-Identifier: Apache-2.0
"""What `explain` says of a packet is what then happens to it, and asking changes nothing."""

import random
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab import Agent, Capture, Namespace, OneArmed, Routed, eventually
from lab.capture import Wire
from lab.frames import ACK, FIN, ICMP, RST, SYN, TCP, UDP, Packet, echo, ipv4, tcp, udp
from lab.world import BLACKHOLE, EIP1, EIP2, EIP3, GATEWAY_OUTSIDE, H1, H2, H3, ISP, WEBS, World

ANYBODY = "0.0.0.0/0"
OPEN, PERMITTING, TIGHT, KEEPING = (f"198.51.100.{number}" for number in (13, 14, 15, 16))
GUARDED, BARE, SEALED = "10.0.1.20", "10.0.2.60", "10.0.3.5"
STRANGER = "10.0.9.9"  # in a prefix of the VPC, and in no subnet
BEHIND = "172.16.0.9"  # behind a router inside
UNTRANSLATED = "192.0.2.5"
SUBNETS = {"app": ("10.0.1.0/24", "private"), "db": ("10.0.2.0/24", "public"), "sealed": ("10.0.3.0/24", "sealed"),
           "open": ("10.0.4.0/24", "open"), "permitting": ("10.0.5.0/24", "permitting"),
           "tight": ("10.0.6.0/24", "tight"), "keeping": ("10.0.7.0/24", "keeping")}
PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
FLAGS = {"syn": SYN, "syn-ack": SYN | ACK, "ack": ACK, "rst": RST, "fin": FIN | ACK}


def _configuration(world: World) -> dict[str, Any]:
    """A NAT gateway for each manner of translating, and all that leads inside."""
    def leaves_by(name: str, *more: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "vpc": "main", "routes": [{"destination": ANYBODY, "nat_gateway": name}, *more]}

    def gateway(name: str, elastic_ip: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "vpc": "main", "elastic_ips": [elastic_ip], **more}

    def blackhole() -> dict[str, Any]:
        return {"destination": BLACKHOLE, "blackhole": True}

    router = {"destination": "172.16.0.0/16", "via": H2}
    private = {**leaves_by("egress", blackhole(), router), "name": "private"}
    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2, "instance": "db"},
                     {"name": "eip-3", "address": EIP3}, {"name": "open", "address": OPEN},
                     {"name": "permitting", "address": PERMITTING}, {"name": "tight", "address": TIGHT},
                     {"name": "keeping", "address": KEEPING}],
        internet_gateways=[{"name": "igw", "vpc": "main"}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-3"],
                       "no_translation": ["192.0.2.0/24"]},
                      gateway("open", "open", filtering="endpoint_independent"),
                      gateway("permitting", "permitting", filtering="address_dependent"),
                      gateway("tight", "tight", port_range="2000-2001", hairpin="off",
                              icmp_on_exhaustion="administratively_prohibited"),
                      gateway("keeping", "keeping", preserve_port=True, port_range="1024-40001",
                              limits={"flows_per_host": 4})],
        subnets=[{"name": name, "vpc": "main", "cidr": cidr, "route_table": table}
                 for name, (cidr, table) in SUBNETS.items()],
        route_tables=[private, {"name": "public", "vpc": "main",
                                "routes": [{"destination": ANYBODY, "internet_gateway": "igw"}]},
                      {"name": "sealed", "vpc": "main", "routes": [blackhole()]},
                      leaves_by("open", blackhole()), leaves_by("permitting"), leaves_by("tight"),
                      leaves_by("keeping")],
        instances=[{"name": "db", "subnet": "db", "address": H3, "security_groups": ["db"]},
                   {"name": "guarded", "subnet": "app", "address": GUARDED, "security_groups": ["none", "guarded"]},
                   {"name": "bare", "subnet": "db", "address": BARE}],
        security_groups=[
            {"name": "db", "vpc": "main", "ingress": [
                {"protocol": "tcp", "ports": "5432", "cidr": ANYBODY},
                {"protocol": "udp", "ports": "53", "cidr": f"{WEBS[1]}/32"},
                {"protocol": "tcp", "ports": "443", "security_group": "guarded"},
                {"protocol": "icmp", "icmp_type": "echo_request", "cidr": ANYBODY}]},
            {"name": "none", "vpc": "main", "egress": []},
            {"name": "guarded", "vpc": "main",
             "ingress": [{"protocol": "tcp", "ports": "9000-9001", "cidr": f"{WEBS[0]}/31"}],
             "egress": [{"protocol": "tcp", "ports": "443", "cidr": "203.0.113.0/24"},
                        {"protocol": "udp", "ports": "53", "cidr": "172.16.0.0/12"},
                        {"protocol": "tcp", "security_group": "db"},
                        {"protocol": "icmp", "icmp_type": "echo_reply", "cidr": "10.0.0.0/8"},
                        {"protocol": "icmp", "cidr": f"{WEBS[0]}/32"}]}],
        port_forwards=[{"name": "web", "elastic_ip": "eip-1", "protocol": "tcp", "port": 8080, "to": f"{H1}:80"},
                       {"name": "voice", "elastic_ip": "eip-1", "protocol": "udp", "port": "5001-5010",
                        "to": f"{H2}:6001"},
                       {"name": "guarded", "elastic_ip": "eip-3", "protocol": "tcp", "port": "9000-9003",
                        "to": f"{GUARDED}:9000"}])


@dataclass(frozen=True)
class Case:
    protocol: str
    source: tuple[str, int]
    destination: tuple[str, int]
    flags: str = "syn"

    @property
    def vpc(self) -> str:
        """To be named where no subnet tells it."""
        return "main" if self.source[0] in (STRANGER, BEHIND) and self.destination[0] not in ELASTIC_IPS else ""

    @property
    def comes_from_inside(self) -> bool:
        address = self.source[0]
        return bool(self.vpc) or any(address.startswith(cidr.removesuffix("0/24")) for cidr, _ in SUBNETS.values())

    @property
    def stays_inside(self) -> bool:
        return self.comes_from_inside and self.destination[0].startswith(("10.0.", "172.16."))

    @property
    def path(self) -> str:
        question = {"protocol": self.protocol, "source": "{}:{}".format(*self.source),
                    "destination": "{}:{}".format(*self.destination)}
        if self.protocol == "tcp":
            question["flags"] = self.flags
        if self.vpc:
            question["vpc"] = self.vpc
        return "/v1/explain?" + urllib.parse.urlencode(question)

    @property
    def packet(self) -> bytes:
        (source, source_port), (destination, destination_port) = self.source, self.destination
        if self.protocol == "tcp":
            body = tcp(source, destination, source_port, destination_port, FLAGS[self.flags])
        elif self.protocol == "udp":
            body = udp(source, destination, source_port, destination_port, b"what becomes of me?")
        else:
            body = echo(source_port or destination_port, 1, reply=destination_port != 0)
        return ipv4(source, destination, PROTOCOLS[self.protocol], body)

    def __str__(self) -> str:
        return f"{self.protocol} {self.source} > {self.destination} {self.flags}"


ELASTIC_IPS = (EIP1, EIP2, EIP3, OPEN, PERMITTING, TIGHT, KEEPING)
INSIDE = ([H1, H2, GUARDED, H3] * 2 + [BARE, SEALED, STRANGER, STRANGER, "10.0.1.13", BEHIND, BEHIND]
          + ["10.0.4.11", "10.0.4.12", "10.0.5.11", "10.0.6.11", "10.0.6.12", "10.0.7.11"] * 2)
OUTSIDE = [*WEBS, *WEBS, "198.51.100.77", STRANGER, EIP1, "127.0.0.1", GATEWAY_OUTSIDE, "203.0.113.200", UNTRANSLATED]
TO_INSIDE = [*ELASTIC_IPS, EIP1, EIP1, EIP2, EIP2, EIP3, OPEN, PERMITTING, H1, GATEWAY_OUTSIDE, "192.0.2.77",
             "224.0.0.5"]
TO_OUTSIDE = [*WEBS, *WEBS, *WEBS, "203.0.113.200", UNTRANSLATED, *ELASTIC_IPS, H1, H3, H3, GUARDED, BEHIND,
              BEHIND, "10.0.1.1", "224.0.0.1",
              "127.0.0.1", "10.0.200.1", "198.51.100.77"]
CLIENT_PORTS = [80, 4000, 6001, 6003, 9000, 40000, 40001, 40002]
SERVICE_PORTS = [443, 443, 53, 80, 8080, 5001, 5003, 5432, 9000, 9001, 9002, 2000]


class Cases:
    """Makes cases up, many of which go on with what an earlier one has begun."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)
        self._met: list[Case] = []  # both directions of what was forwarded, as each side sees it

    def note(self, case: Case, left: Case) -> None:
        """`case` was forwarded, and `left` is what it became."""
        answer = Case(case.protocol, left.destination, left.source)
        self._met += [case, answer]
        if case.stays_inside:
            return
        if not case.comes_from_inside or self._random.random() < 0.5:  # by now others know the external endpoint
            return
        is_icmp = case.protocol == "icmp"
        for stranger in (self._random.choice(WEBS), "10.0.1.13"):
            self._met.append(Case(case.protocol, (stranger, 0 if is_icmp else 4000), left.source))

    def make(self) -> Case:
        choose = self._random.choice
        flags = choose(["syn"] * 5 + [flags for flags in FLAGS if flags != "syn"])
        if self._met and self._random.random() < 0.4:
            met = choose(self._met[-60:])
            return Case(met.protocol, met.source, met.destination, flags)
        protocol = choose(["tcp", "tcp", "udp", "udp", "icmp"])
        source, destination = ((choose(INSIDE), choose(TO_OUTSIDE)) if self._random.random() < 0.6
                               else (choose(OUTSIDE), choose(TO_INSIDE)))
        ports = (choose(CLIENT_PORTS), choose(SERVICE_PORTS))
        if protocol == "icmp":
            ports = (ports[0], 0) if self._random.random() < 0.8 else (0, ports[0])
        return Case(protocol, (source, ports[0]), (destination, ports[1]), flags)


Places = dict[str, tuple[Namespace, str]]  # the other end of each of the gateway's devices


class Wires:
    """All that goes in and comes out of the gateway, with nobody else on the wires."""

    def __init__(self, agent: Agent, places: Places):
        self.agent = agent
        self.wires = {device: Wire(*place, agent.namespace.mac(device)) for device, place in places.items()}
        self.captures = {device: Capture(*place, keep=lambda packet: packet.kind == 0x0800)
                         for device, place in places.items()}

    def close(self) -> None:
        for wire in self.wires.values():
            wire.__exit__()
        for capture in self.captures.values():
            capture.stop()

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Packets of all devices by what became of them, and drops by reason."""
        status = self.agent.request("GET", "/v1/status")[2]
        ways: Counter[str] = Counter()
        for device in status["devices"]:
            ways.update({way: device[way] for way in ("received_packets", "forwarded", "passed", "dropped", "answered",
                                                      "held")})
        return ways, Counter({drop["reason"]: drop["count"] for drop in status["drops"]})

    def entry(self, case: Case) -> str:
        if len(self.wires) == 1:
            return next(iter(self.wires))
        if not case.comes_from_inside:
            return "wan0"
        return "lan1" if case.source[0].startswith("10.0.2.") else "lan0"

    def send(self, case: Case) -> tuple[str, str | None]:
        """Sends the packet; gives how it ended, and the reason if it was dropped."""
        ways, drops = self.counts()
        for capture in self.captures.values():
            capture.packets.clear()
        self.wires[self.entry(case)].send_ip(case.packet)

        def ended() -> tuple[Counter[str], Counter[str]] | None:
            now = self.counts()
            return now if now[0]["received_packets"] > ways["received_packets"] else None

        ways_now, drops_now = eventually(ended, 5, 0.002, f"{case} arrives")
        (way,) = (ways_now - ways).keys() - {"received_packets"}
        reasons = list((drops_now - drops).elements())
        assert len(reasons) == (way == "dropped"), f"{case}: {way}, {reasons}"
        return {"forwarded": "forward", "passed": "pass", "dropped": "drop"}[way], reasons[0] if reasons else None

    def out(self, count: int = 1) -> list[Packet]:
        """What came out, once there are so many."""
        def all_of_them() -> list[Packet]:
            return [packet for capture in self.captures.values() for packet in list(capture.packets)]

        return eventually(lambda: (found := all_of_them()) and len(found) >= count and found, 5, 0.002,
                          f"{count} packets come out")

    def settle(self) -> None:
        for capture in self.captures.values():
            capture.settle()


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    """Nobody answers: not the hosts inside, and not the router or who is behind it."""
    world.switch.ip("link set uplink nomaster")
    world.h3.ip("addr flush dev eth0")
    world.isp.sysctl("net.ipv4.ip_forward=0")
    gateway = world.gateway
    hosts = {"lan0": world.switch.mac("uplink"), "lan1": world.h3.mac("eth0")}
    gateway.ip(*(f"addr add 10.0.{subnet}.1/24 dev lan0" for subnet in range(3, 8)),
               f"neigh replace {ISP} lladdr {world.isp.mac('gw0')} dev wan0 nud permanent",
               f"neigh replace 198.51.100.77 lladdr {world.isp.mac('gw0')} dev wan0 nud permanent",
               *(f"neigh replace {address} lladdr {hosts[device]} dev {device} nud permanent"
                 for address in {*INSIDE} - {STRANGER, BEHIND}
                 for device in ["lan1" if address.startswith("10.0.2.") else "lan0"]))
    with Agent(gateway, _configuration(world)) as running:
        yield running


def _places(world: Routed) -> Places:
    return {"lan0": (world.switch, "uplink"), "lan1": (world.h3, "eth0"), "wan0": (world.isp, "gw0")}


@pytest.fixture
def wires(world: Routed, agent: Agent) -> Iterator[Wires]:
    made = Wires(agent, _places(world))
    yield made
    made.close()


@pytest.fixture
def one_arm(one_armed: OneArmed) -> Iterator[Wires]:
    """The same gateway with a single device, on which all of them are neighbours."""
    one_armed.switch.ip("link set uplink nomaster")
    mac = one_armed.switch.mac("uplink")
    one_armed.gateway.ip(*(f"addr add 10.0.{subnet}.1/24 dev arm0" for subnet in range(2, 8)),
                         *(f"neigh replace {address} lladdr {mac} dev arm0 nud permanent"
                           for address in {*INSIDE, ISP, "198.51.100.77"} - {STRANGER, BEHIND}))
    with Agent(one_armed.gateway, _configuration(one_armed)) as agent:
        made = Wires(agent, {"arm0": (one_armed.switch, "uplink")})
        yield made
        made.close()


def _ask(agent: Agent, case: Case) -> dict[str, Any]:
    status, _, answer = agent.request("GET", case.path)
    assert status == 200, f"{case}: {answer}"
    return answer


def _as_case(case: Case, packet: Packet) -> Case:
    """A packet that came out, as a case."""
    ports = ((packet.source_port, packet.destination_port) if case.protocol != "icmp"
             else (packet.identifier, 0) if packet.icmp_type == 8 else (0, packet.identifier))
    return Case(case.protocol, (packet.source, ports[0]), (packet.destination, ports[1]), case.flags)


def _agrees(told: str, endpoint: tuple[str, int]) -> bool:
    """Whether an endpoint is the one that was told, whose port may not have been known."""
    address, _, port = told.partition(":")
    return address == endpoint[0] and (not port or int(port) == endpoint[1])


def _said(packet: Packet) -> str:
    if packet.protocol == ICMP:
        return f"icmp {packet.icmp_type}/{packet.icmp_code}"
    assert packet.flags & RST
    return "tcp reset"


def _compare(wires: Wires, cases: Cases, count: int) -> Counter[str]:
    """Asks about so many packets and sends each: gives how often each reason to drop one was met, and each verdict."""
    met: Counter[str] = Counter()
    wrong: list[str] = []
    for _ in range(count):
        case = cases.make()
        answer = _ask(wires.agent, case)
        verdict, reason = wires.send(case)
        met[reason or verdict] += 1
        if (answer["verdict"], answer["reason"]) != (verdict, reason):
            wrong.append(f"{case}: {verdict} {reason}, but {answer}")
        elif verdict == "pass" and case.stays_inside:
            wires.settle()  # what the host forwards is none of the next packet's
            cases.note(case, case)
        elif verdict == "forward":
            (packet,) = wires.out()
            left = _as_case(case, packet)
            translation = answer["translation"]
            if not (_agrees(translation["source"], left.source)
                    and _agrees(translation["destination"], left.destination)):
                wrong.append(f"{case}: left as {left}, but {answer}")
            cases.note(case, left)
        elif verdict == "drop" and answer["told"]:
            if (said := _said(wires.out()[0])) != answer["told"]:
                wrong.append(f"{case}: {said} was said, but {answer}")
        elif verdict == "drop" and met[reason or ""] <= 3:  # to wait for nothing takes time
            wires.settle()
            if said_all := [_said(packet) for capture in wires.captures.values() for packet in capture.packets]:
                wrong.append(f"{case}: {said_all} was said, but {answer}")
    assert not wrong, f"{len(wrong)} of {count} are wrong:\n" + "\n".join(wrong[:20])
    wires.agent.check_accounts()
    return met


def test_what_it_says_is_what_happens(wires: Wires) -> None:
    met = _compare(wires, Cases(seed=20260102), 500)
    assert met["forward"] > 100
    assert met.keys() >= {"pass", "blackhole_route", "elastic_ip_from_inside", "elastic_ip_from_outside", "filtered",
                          "flow_limit", "instance_without_elastic_ip", "invalid_address", "no_route", "port_exhausted",
                          "private_destination", "security_group", "source_not_in_subnet", "tcp_without_flow",
                          "unsolicited", "unsupported_icmp"}


def test_on_one_arm_too(one_arm: Wires) -> None:
    met = _compare(one_arm, Cases(seed=31), 250)
    assert met["forward"] > 50
    assert met.keys() >= {"pass", "security_group", "source_not_in_subnet", "tcp_without_flow", "unsolicited"}


def test_where_the_hosts_routes_lead(world: Routed, agent: Agent, wires: Wires) -> None:
    """They are asked as the programs ask them, in both directions."""
    gateway, router, prohibited = world.gateway, "198.51.100.77", Case("udp", (WEBS[3], 7), (EIP1, 5001))
    ways = {"unreachable {}": ("drop", "no_kernel_route", "icmp 3/1"),
            "prohibit {}": ("drop", "no_kernel_route", "icmp 3/13"),
            "blackhole {}": ("drop", "no_kernel_route", None),
            "throw {}": ("drop", "no_kernel_route", "icmp 3/0"),
            "{} dev lan1": ("drop", "wrong_egress_device", None),
            f"{{}} via {router}": ("forward", None, None)}
    routes = {way.format(f"203.0.113.{30 + number}"): (f"203.0.113.{30 + number}", expected)
              for number, (way, expected) in enumerate(ways.items())}

    def check(case: Case, expected: tuple[str, str | None, str | None]) -> dict[str, Any]:
        answer = _ask(agent, case)
        assert (answer["verdict"], answer["reason"], answer["told"]) == expected, (case, answer)
        assert wires.send(case) == expected[:2], case
        if expected[2]:
            assert _said(wires.out()[0]) == expected[2]
        return answer["steps"][-1]

    gateway.ip(*(f"route add {route}" for route in routes), f"route add prohibit {H2}/32")
    try:
        for destination, expected in routes.values():
            step = check(Case("udp", (H1, 7), (destination, 53)), expected)
            assert step["stage"] == "next_hop"
        assert (step["name"], step["text"]) == ("wan0", f"the router {router}, {world.isp.mac('gw0')}")
        check(prohibited, ("drop", "no_kernel_route", "icmp 3/13"))
        gateway.sysctl("net.ipv4.conf.lan0.forwarding=0")
        check(Case("udp", (H1, 9), (WEBS[0], 53)), ("drop", "forwarding_disabled", None))
    finally:
        gateway.sysctl("net.ipv4.conf.lan0.forwarding=1")
        gateway.ip(*(f"route del {route}" for route in routes), f"route del prohibit {H2}/32")
    check(prohibited, ("forward", None, None))


def test_a_flow_that_the_configuration_forbids_by_now(world: Routed, agent: Agent, wires: Wires) -> None:
    """It is cut with its next packet and not by the question."""
    outwards = Case("tcp", ("10.0.1.14", 1234), (WEBS[0], 443))
    forwarded = Case("tcp", (WEBS[3], 1234), (EIP1, 8080))
    for case in (outwards, forwarded):
        assert wires.send(case) == ("forward", None)
    changed = _configuration(world)
    changed["route_tables"][0]["routes"] = [{"destination": ANYBODY, "blackhole": True}]
    agent.reload(changed)
    for case, told in ((outwards, "tcp reset"), (forwarded, None)):
        for _ in range(2):
            answer = _ask(agent, case)
            assert (answer["verdict"], answer["reason"], answer["told"]) == ("drop", "flow_cut", told)
        assert wires.send(case) == ("drop", "flow_cut")
        after = _ask(agent, case)
        assert wires.send(case) == (after["verdict"], after["reason"])
    agent.reload(_configuration(world))


def _without_age(flow: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flow.items() if name != "idle_seconds"}


def _living(agent: Agent) -> list[dict[str, Any]]:
    return [_without_age(flow) for flow in agent.flows("--limit", 10000)]


def _ask_twice(agent: Agent, case: Case) -> list[Any]:
    """The steps of two answers, between which no flow has ended by itself and freed its port."""
    for _ in range(5):
        before = _living(agent)
        answers = [_ask(agent, case)["steps"] for _ in range(2)]
        if _living(agent) == before:
            return answers
    raise AssertionError("flows end faster than one can ask")


def test_asking_changes_nothing(agent: Agent, wires: Wires) -> None:
    cases = Cases(seed=7)
    for _ in range(20):
        wires.send(cases.make())
    before, ways, started = agent.flows("--limit", 10000), wires.counts(), time.monotonic()
    asked = [cases.make() for _ in range(200)]
    for case in asked:
        _ask(agent, case)
    after = _living(agent)
    passed = time.monotonic() - started + 2
    # Some may have timed out meanwhile, by themselves.
    for flow in before:
        assert _without_age(flow) in after or flow["idle_seconds"] + passed > flow["timeout_seconds"]
    known = [_without_age(flow) for flow in before]
    assert [flow for flow in after if flow not in known] == []
    assert wires.counts() == ways
    for case in asked[-50:]:
        first, again = _ask_twice(agent, case)
        assert again == first


def test_on_the_command_line(agent: Agent) -> None:
    three = agent.json("explain", "tcp", f"{H1}:40000", f"{WEBS[0]}:444")
    one = agent.json("explain", f"tcp:{H1}:40000-{WEBS[0]}:444")
    assert one == three
    assert three["steps"][0] == {"stage": "device", "name": "lan0", "text": "from inside, VPC main"}
    text = agent.text("explain", "icmp", f"{GUARDED}:7", WEBS[1])
    assert "drop: security_group" in text
    assert "the sender is told: icmp 3/13" in text
    assert "there is no VPC" in agent.run("explain", "udp", f"{H1}:1", f"{WEBS[0]}:1", "--vpc", "nowhere").stderr


def test_while_elastic_ips_are_drained(agent: Agent, wires: Wires) -> None:
    drained = ("eip-1", "eip-2", "open")
    for name in drained:
        agent.text("drain", name)
    met = _compare(wires, Cases(seed=5), 250)
    assert met["forward"] > 30
    assert met["elastic_ip_draining"] > 0
    for name in drained:
        agent.text("drain", name, "--abort")
