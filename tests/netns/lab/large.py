# SPDX-License-Identifier: Apache-2.0
"""The configuration of a large site, as text: `python3 -m lab.large > site.yaml` shows it.

It fits the world `Routed`. h1 and h3 are among its instances: h1 has as many security groups as an instance may
have, whose last rules let its packets out, and h3 has none, so that both ends of what a lookup costs are there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from .world import H1, H3

GROUPS_OF_AN_INSTANCE = 5
NAT_GATEWAYS = 8
ELASTIC_IPS_OF_A_NAT_GATEWAY = 64
HOSTS_OF_A_SUBNET = 200
FIRST_HOST = 20  # those before are the gateway's and h1's and h3's


@dataclass(frozen=True)
class Size:
    routes: int = 10_000
    elastic_ips: int = 1_000
    security_groups: int = 1_000
    rules: int = 60  # of each group
    instances: int = 10_000


SMALL = Size(routes=1, elastic_ips=1, security_groups=1, rules=1, instances=2)
LARGE = Size()


def configuration(size: Size = LARGE) -> str:
    return "\n".join(_lines(size)) + "\n"


def _lines(size: Size) -> Iterator[str]:
    subnets = -(-size.instances // HOSTS_OF_A_SUBNET)
    yield from """\
api_version: sallyport/v1
gateway:
  name: gw1
  devices:
    - { device: lan0, role: inside, vpc: main }
    - { device: lan1, role: inside, vpc: main }
    - { device: wan0, role: outside }
  xdp: auto
  flow_capacity: 65536
vpcs: [ { name: main, cidrs: [10.0.0.0/16] } ]
internet_gateways: [ { name: internet, vpc: main } ]""".splitlines()
    yield from _list("subnets", (f"{{ name: s{number}, vpc: main, cidr: 10.0.{number}.0/24, route_table: private }}"
                                 for number in range(1, max(subnets, 2) + 1)))
    yield from _elastic_ips(size)
    yield from _routes(size)
    yield from _instances(size)
    yield from _security_groups(size)


def _list(key: str, elements: Iterable[str]) -> Iterator[str]:
    yield f"{key}:"
    yield from (f"  - {element}" for element in elements)


def _shared_elastic_ips(size: Size) -> int:
    return max(1, min(size.elastic_ips // 2, NAT_GATEWAYS * ELASTIC_IPS_OF_A_NAT_GATEWAY))


def _nat_gateways(size: Size) -> int:
    return -(-_shared_elastic_ips(size) // ELASTIC_IPS_OF_A_NAT_GATEWAY)


def _elastic_ips(size: Size) -> Iterator[str]:
    """Half of them belong to NAT gateways, and the others to an instance each."""
    shared = _shared_elastic_ips(size)
    first = IPv4Address("198.51.100.10")  # on the link to the router
    beyond = IPv4Address("198.18.0.0")  # routed to the gateway
    yield from _list("elastic_ips", (
        f"{{ name: e{number}, address: {first if number == 0 else beyond + number}"
        + (f", instance: i{number}" if number >= shared else "") + " }" for number in range(size.elastic_ips)))
    gateways = _nat_gateways(size)
    yield from _list("nat_gateways", (
        f"{{ name: n{gateway}, vpc: main, elastic_ips: [" + ", ".join(
            f"e{number}" for number in range(gateway, shared, gateways)) + "] }" for gateway in range(gateways)))


def _routes(size: Size) -> Iterator[str]:
    """One table with all of them: the deepest trie. The default route is the first NAT gateway's."""
    yield "route_tables:"
    yield "  - name: private"
    yield "    vpc: main"
    yield "    main: true"
    yield "    routes:"
    yield "      - { destination: 0.0.0.0/0, nat_gateway: n0 }"
    targets = ["blackhole: true", "internet_gateway: internet"]
    targets += [f"nat_gateway: n{gateway}" for gateway in range(_nat_gateways(size))]
    for number in range(size.routes - 1):
        destination = f"{IPv4Address('172.16.0.0') + 256 * number}/24" if number % 2 else \
            f"{IPv4Address('100.64.0.0') + 64 * number}/27"
        yield f"      - {{ destination: {destination}, {targets[number % len(targets)]} }}"


def _instances(size: Size) -> Iterator[str]:
    yield "instances:"
    yield f"  - {{ name: h1, subnet: s1, address: {H1}, security_groups: [{_groups_of(0, size)}] }}"
    yield f"  - {{ name: h3, subnet: s2, address: {H3} }}"
    for number in range(size.instances - 2):
        subnet, host = divmod(number, HOSTS_OF_A_SUBNET)
        yield (f"  - {{ name: i{number}, subnet: s{subnet + 1}, address: 10.0.{subnet + 1}.{host + FIRST_HOST}, "
               f"security_groups: [{_groups_of(number, size)}] }}")


def _groups_of(number: int, size: Size) -> str:
    some = {(number * 7 + step) % size.security_groups for step in range(GROUPS_OF_AN_INSTANCE)}
    return ", ".join(f"g{group}" for group in sorted(some))


def _security_groups(size: Size) -> Iterator[str]:
    """All rules are for what comes in, but those of h1's groups, which are for what it sends."""
    yield "security_groups:"
    for group in range(size.security_groups):
        yield f"  - name: g{group}"
        yield "    vpc: main"
        if group >= GROUPS_OF_AN_INSTANCE:
            yield "    ingress:"
            yield from (f"      - {_rule(group, rule)}" for rule in range(size.rules))
            continue
        yield "    egress:"
        yield from (f"      - {_rule(group, rule)}" for rule in range(size.rules - 1))
        # Of the last group the last rule: nothing is looked at in vain in a small configuration.
        last = group == min(size.security_groups, GROUPS_OF_AN_INSTANCE) - 1
        yield "      - { cidr: 0.0.0.0/0 }" if last else f"      - {_rule(group, size.rules)}"


def _rule(group: int, rule: int) -> str:
    return (f"{{ protocol: {('tcp', 'udp')[rule % 2]}, ports: {1000 + rule * 100}-{1000 + rule * 100 + group % 90}, "
            f"cidr: 10.{rule}.{group % 256}.0/24 }}")


if __name__ == "__main__":
    print(configuration(), end="")
