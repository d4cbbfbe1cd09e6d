# SPDX-License-Identifier: Apache-2.0
"""What `plan` says that a change would cut is what is cut once it is applied and each flow sends again."""

import copy
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import Agent, Routed, eventually
from lab.agent import as_yaml
from lab.capture import Wire
from lab.frames import ACK, ICMP, SYN, TCP, UDP, echo, ipv4, tcp, udp
from lab.world import EIP1, EIP2, EIP3, H1, H2, H3, ISP, WEBS

ANYBODY = "0.0.0.0/0"
OPEN, PERMITTING = "198.51.100.13", "198.51.100.14"
UNTRANSLATED = "192.0.2.5"
FORWARDED, OTHER_DB = "10.0.1.20", "10.0.2.60"
INSIDE = [H1, H2, H3, FORWARDED, OTHER_DB, "10.0.3.11", "10.0.3.12", "10.0.4.11", "10.0.4.12"]
ELASTIC_IPS = [EIP1, EIP2, EIP3, OPEN, PERMITTING]
PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP}

Configuration = dict[str, Any]


def _base(world: Routed) -> Configuration:
    """Every way in which a flow may come about."""
    def subnet(name: str, cidr: str) -> dict[str, Any]:
        return {"name": name, "vpc": "main", "cidr": cidr, "route_table": name}

    def table(name: str, *routes: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "vpc": "main", "routes": list(routes)}

    return world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2, "instance": "db"},
                     {"name": "eip-3", "address": EIP3}, {"name": "open", "address": OPEN},
                     {"name": "permitting", "address": PERMITTING}],
        internet_gateways=[{"name": "igw", "vpc": "main"}],
        nat_gateways=[{"name": "app", "vpc": "main", "elastic_ips": ["eip-1", "eip-3"],
                       "no_translation": ["192.0.2.0/24"]},
                      {"name": "open", "vpc": "main", "elastic_ips": ["open"], "filtering": "endpoint_independent"},
                      {"name": "permitting", "vpc": "main", "elastic_ips": ["permitting"],
                       "filtering": "address_dependent"}],
        subnets=[subnet("app", "10.0.1.0/24"), subnet("db", "10.0.2.0/24"), subnet("open", "10.0.3.0/24"),
                 subnet("permitting", "10.0.4.0/24")],
        route_tables=[table("app", {"destination": ANYBODY, "nat_gateway": "app"}),
                      table("db", {"destination": ANYBODY, "internet_gateway": "igw"}),
                      table("open", {"destination": ANYBODY, "nat_gateway": "open"}),
                      table("permitting", {"destination": ANYBODY, "nat_gateway": "permitting"})],
        instances=[{"name": "db", "subnet": "db", "address": H3, "security_groups": ["db"]},
                   {"name": "other-db", "subnet": "db", "address": OTHER_DB, "security_groups": ["db"]},
                   {"name": "forwarded", "subnet": "app", "address": FORWARDED, "security_groups": ["inner", "db"]}],
        security_groups=[
            {"name": "db", "vpc": "main",
             "ingress": [{"protocol": "tcp", "ports": "5432", "cidr": ANYBODY},
                         {"protocol": "udp", "ports": "53", "cidr": f"{WEBS[1]}/32"},
                         {"protocol": "icmp", "cidr": ANYBODY}],
             "egress": [{"protocol": "tcp", "ports": "443", "cidr": ANYBODY},
                        {"protocol": "udp", "cidr": "203.0.113.0/24"}]},
            {"name": "inner", "vpc": "main",
             "ingress": [{"protocol": "tcp", "ports": "9000-9001", "cidr": ANYBODY}], "egress": []}],
        port_forwards=[{"name": "web", "elastic_ip": "eip-1", "protocol": "tcp", "port": 8080, "to": f"{H1}:80"},
                       {"name": "voice", "elastic_ip": "eip-1", "protocol": "udp", "port": "5001-5010",
                        "to": f"{H2}:6001"},
                       {"name": "inner", "elastic_ip": "eip-3", "protocol": "tcp", "port": "9000-9003",
                        "to": f"{FORWARDED}:9000"}])


def _named(configuration: Configuration, kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in configuration[kind] if one["name"] == name)
    return found


def _remove_rule(new: Configuration, choose: random.Random) -> None:
    group = choose.choice(new["security_groups"])
    rules = choose.choice([rules for rules in (group["ingress"], group["egress"]) if rules])
    rules.remove(choose.choice(rules))


def _narrow_rule(new: Configuration, choose: random.Random) -> None:
    group = _named(new, "security_groups", "db")
    rule = choose.choice(group["ingress"] + group["egress"])
    rule["cidr"] = choose.choice([f"{web}/32" for web in WEBS if f"{web}/32" != rule["cidr"]])


def _replace_route(new: Configuration, choose: random.Random) -> None:
    name = choose.choice(["app", "open", "permitting"])
    others: list[dict[str, Any]] = [{"blackhole": True}, {"internet_gateway": "igw"},
                                    *({"nat_gateway": one["name"]} for one in new["nat_gateways"] if one["name"] != name)]
    _named(new, "route_tables", name)["routes"][0] = {"destination": ANYBODY, **choose.choice(others)}


def _add_blackhole(new: Configuration, choose: random.Random) -> None:
    table = choose.choice(new["route_tables"])
    half_of_webs = choose.choice(["203.0.113.8/30", "203.0.113.12/30"])
    table["routes"].append({"destination": half_of_webs, "blackhole": True})


def _move_elastic_ip(new: Configuration, choose: random.Random) -> None:
    """From one NAT gateway to the other, but for what port forwards are on; or from one instance to the other."""
    if choose.random() < 0.5:
        _named(new, "elastic_ips", "eip-2")["instance"] = "other-db"
        return
    first, second = _named(new, "nat_gateways", "open"), _named(new, "nat_gateways", "permitting")
    first["elastic_ips"], second["elastic_ips"] = second["elastic_ips"], first["elastic_ips"]


def _delete_nat_gateway(new: Configuration, choose: random.Random) -> None:
    name = choose.choice(["open", "permitting"])
    new["nat_gateways"].remove(_named(new, "nat_gateways", name))
    _named(new, "route_tables", name)["routes"] = [{"destination": ANYBODY, "nat_gateway": "app"}]


def _remove_forward(new: Configuration, choose: random.Random) -> None:
    new["port_forwards"].remove(choose.choice(new["port_forwards"]))


def _forward_elsewhere(new: Configuration, choose: random.Random) -> None:
    forward = choose.choice(new["port_forwards"])
    address, _, port = forward["to"].partition(":")
    forward["to"] = choose.choice([f"{address}:{int(port) + 1}", f"10.0.1.13:{port}"])


def _tighten(new: Configuration, choose: random.Random) -> None:
    gateway = choose.choice(new["nat_gateways"])
    gateway["filtering"] = choose.choice(["address_and_port_dependent", "address_dependent"])
    gateway["hairpin"] = "off"


def _translate_all(new: Configuration, choose: random.Random) -> None:
    del choose
    _named(new, "nat_gateways", "app")["no_translation"] = []


def _ask_for_a_group(new: Configuration, choose: random.Random) -> None:
    """No remote outside has a security group."""
    group = _named(new, "security_groups", "db")
    rule = choose.choice(group["ingress"] + group["egress"])
    del rule["cidr"]
    rule["security_group"] = "inner"


def _ask_for_another_message(new: Configuration, choose: random.Random) -> None:
    (rule,) = (rule for rule in _named(new, "security_groups", "db")["ingress"] if rule["protocol"] == "icmp")
    rule["icmp_type"] = choose.choice([0, 13])


def _route_inside(new: Configuration, choose: random.Random) -> None:
    table = choose.choice(new["route_tables"])
    table["routes"].append({"destination": f"{choose.choice(WEBS)}/32", "via": "10.0.1.13"})


def _name_a_vpc_only(new: Configuration, choose: random.Random) -> None:
    """Nothing that a flow depends on."""
    del choose
    new["vpcs"].append({"name": "spare", "cidrs": ["10.9.0.0/16"]})


Change = Callable[[Configuration, random.Random], None]
CHANGES: list[Change] = [_remove_rule, _narrow_rule, _replace_route, _add_blackhole, _move_elastic_ip, _delete_nat_gateway,
                         _remove_forward, _forward_elsewhere, _tighten, _translate_all, _ask_for_a_group, _ask_for_another_message,
                         _route_inside, _name_a_vpc_only]


class Flows:
    """Makes flows, and has each of them send again."""

    def __init__(self, world: Routed, agent: Agent):
        self.agent = agent
        self.in_force = _base(world)
        self.wires = {device: Wire(*place, agent.namespace.mac(device))
                      for device, place in {"lan0": (world.switch, "uplink"), "lan1": (world.h3, "eth0"),
                                            "wan0": (world.isp, "gw0")}.items()}

    def close(self) -> None:
        for wire in self.wires.values():
            wire.__exit__()

    def _handled(self) -> int:
        """Packets that somebody has done something about: what else is on the wires is passed."""
        return sum(device["forwarded"] + device["dropped"] + device["answered"]
                   for device in self.agent.status()["devices"])

    def send(self, packets: list[tuple[str, bytes]]) -> int:
        """Sends packets, each by a device; gives how many flows were cut by it."""
        handled, cut = self._handled(), self.agent.drops().get("flow_cut", 0)
        for count, (device, packet) in enumerate(packets, 1):
            self.wires[device].send_ip(packet)
            if count % 32 == 0:  # the other end of a veth takes so many at a time
                time.sleep(0.002)
        eventually(lambda: self._handled() >= handled + len(packets), 10, 0.01, f"{len(packets)} packets are handled")
        assert self._handled() == handled + len(packets), f"not ours: {self.agent.status()['devices']}"
        return self.agent.drops().get("flow_cut", 0) - cut

    def open(self, choose: random.Random, count: int) -> None:
        """Packets that open flows, if the configuration lets them."""
        packets = []
        external = [flow["external"] for flow in self.all()] or [f"{EIP1}:8080"]
        for _ in range(count):
            protocol = choose.choice(["tcp", "tcp", "udp", "udp", "icmp"])
            outwards = choose.random() < 0.55
            if outwards:
                ends = (choose.choice(INSIDE), choose.choice([*WEBS, *WEBS, UNTRANSLATED, *ELASTIC_IPS]))
                ports = (choose.choice([80, 4000, 6001, 9000, 40000]), choose.choice([443, 53, 80, 8080, 5432]))
            else:
                # Which ports there are differs from run to run, but not how much chance is used up.
                address, _, port = external[int(choose.random() * len(external))].partition(":")
                well_known = choose.choice([8080, 5001, 5003, 9000, 9001, 9002, 5432, 53])
                ends = (choose.choice(WEBS), choose.choice([address, *ELASTIC_IPS]))
                ports = (choose.choice([443, 4000, 5000]), int(port) if ends[1] == address else well_known)
            packets.append((self._entry(ends[0]), _packet(protocol, (ends[0], ports[0]), (ends[1], ports[1]), SYN)))
        self.send(packets)

    def all(self) -> list[dict[str, Any]]:
        return self.agent.flows("--limit", 100000)

    def again(self) -> int:
        """The next packet of each flow, from inside; gives how many were cut.

        Those that only the filtering has let in come first: where it has become address_dependent, the next packet
        of another flow of the mapping to the same address would let them stay, and plan cannot know who comes first.
        """
        packets = []
        for flow in sorted(self.all(), key=lambda flow: flow["state"] != "opening_from_outside"):
            source, destination = (_endpoint(flow[end]) for end in ("inside", "remote"))
            packets.append((self._entry(source[0]), _packet(flow["protocol"], source, destination, ACK)))
        return self.send(packets)

    @staticmethod
    def _entry(source: str) -> str:
        return "lan1" if source.startswith("10.0.2.") else "lan0" if source.startswith("10.") else "wan0"


def _endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    return address, int(port)


def _packet(protocol: str, source: tuple[str, int], destination: tuple[str, int], flags: int) -> bytes:
    if protocol == "tcp":
        body = tcp(source[0], destination[0], source[1], destination[1], flags)
    elif protocol == "udp":
        body = udp(source[0], destination[0], source[1], destination[1], b"still there?")
    else:  # of a request the identifier stands with the source
        is_reply = source[1] == 0
        body = echo(destination[1] if is_reply else source[1], 1, reply=is_reply)
    return ipv4(source[0], destination[0], PROTOCOLS[protocol], body)


@pytest.fixture(scope="module")
def flows(world: Routed) -> Iterator[Flows]:
    """Nobody answers: not the hosts inside, and not the router or who is behind it."""
    world.switch.ip("link set uplink nomaster")
    world.h3.ip("addr flush dev eth0")
    world.isp.sysctl("net.ipv4.ip_forward=0")
    hosts = {"lan0": world.switch.mac("uplink"), "lan1": world.h3.mac("eth0")}
    world.gateway.ip("addr add 10.0.3.1/24 dev lan0", "addr add 10.0.4.1/24 dev lan0",
                     f"neigh replace {ISP} lladdr {world.isp.mac('gw0')} dev wan0 nud permanent",
                     *(f"neigh replace {address} lladdr {hosts[device]} dev {device} nud permanent"
                       for address in [*INSIDE, "10.0.1.13"]
                       for device in ["lan1" if address.startswith("10.0.2.") else "lan0"]))
    with Agent(world.gateway, _base(world)) as agent:
        made = Flows(world, agent)
        yield made
        made.close()


def _by_way_of(configuration: Configuration) -> set[str]:
    """Where routes by way of an instance lead to."""
    return {route["destination"].removesuffix("/32") for table in configuration["route_tables"]
            for route in table["routes"] if "via" in route}


def _plan_and_see(flows: Flows, world: Routed, configuration: Configuration, what: str) -> tuple[int, int]:
    """Plans a change and makes it; gives how many flows the plan said it would cut and how many were cut.

    Those that stayed inside and whose route leads out now go another way with their next packet: they count as well.
    """
    agent = flows.agent
    leaving = _by_way_of(flows.in_force) - _by_way_of(configuration)
    led_out = sum(flow["answerer"].partition(":")[0] in leaving for flow in agent.json("flows", "--inner")["inner_flows"])
    path = world.lab.write("planned.yaml", as_yaml(configuration))
    plan = agent.json("plan", path, code=2)
    assert plan["changes"], what
    agent.json("apply", path)
    flows.in_force = configuration
    return plan["flows_cut"] - led_out, flows.again()


def test_what_plan_says_is_what_is_cut(world: Routed, flows: Flows) -> None:
    choose = random.Random(20261127)
    base, cut_by, wrong = _base(world), Counter[str](), []
    for turn in range(2 * len(CHANGES)):
        change = CHANGES[turn % len(CHANGES)]
        what = f"{turn}: {change.__name__}"
        changed = copy.deepcopy(base)
        change(changed, random.Random(8 + turn))  # of its own: what flows choose from differs from run to run
        for configuration, name in ((changed, change.__name__), (base, "back")):
            flows.open(choose, 60)
            flows.again()
            assert flows.again() == 0, f"{what}: nothing has changed"
            planned, cut = _plan_and_see(flows, world, configuration, what)
            cut_by[name] += cut
            if planned != cut:
                wrong.append(f"{what}, {name}: {planned} planned, {cut} cut")
            assert flows.again() == 0, f"{what}, {name}: all were asked"
    assert not wrong, "\n".join(wrong)
    assert cut_by.pop("_name_a_vpc_only") == 0
    assert all(cut > 0 for cut in cut_by.values()), cut_by
    assert len(cut_by) == len(CHANGES)  # and back
    flows.agent.check_accounts()


def test_planning_cuts_nothing(world: Routed, flows: Flows) -> None:
    flows.open(random.Random(7), 60)
    flows.again()
    everything = _base(world)
    for table in everything["route_tables"]:
        table["routes"] = [{"destination": ANYBODY, "blackhole": True}]
    path = world.lab.write("closed.yaml", as_yaml(everything))
    standing = flows.agent.flow_count()
    assert flows.agent.json("plan", path, code=2)["flows_cut"] == standing > 20
    assert f"would cut {standing} flows" in flows.agent.text("plan", path, code=2)
    assert flows.again() == 0
    assert flows.agent.flow_count() == standing
    same = world.lab.write("same.yaml", as_yaml(_base(world)))
    assert flows.agent.json("plan", same)["flows_cut"] == 0


def test_draining_cuts_nothing_and_the_rest_is_as_planned(world: Routed, flows: Flows) -> None:
    choose = random.Random(11)
    flows.open(choose, 60)
    flows.again()
    standing = flows.agent.flow_count("--external", EIP1)
    assert standing > 0
    flows.agent.json("drain", "eip-1")
    try:
        assert flows.again() == 0
        spare = _base(world)
        _name_a_vpc_only(spare, choose)
        assert _plan_and_see(flows, world, spare, "draining") == (0, 0)
        closed = _base(world)
        _named(closed, "route_tables", "app")["routes"] = [{"destination": ANYBODY, "blackhole": True}]
        planned, cut = _plan_and_see(flows, world, closed, "closed")
        assert planned == cut >= standing
    finally:
        flows.agent.text("drain", "eip-1", "--abort")
        flows.agent.json("apply", world.lab.write("base.yaml", as_yaml(_base(world))))
