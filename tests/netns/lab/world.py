# SPDX-License-Identifier: Apache-2.0
"""The little worlds that tests run in. ../README.md draws them."""

import os
from typing import Any

from .core import Lab, Namespace

GATEWAY_INSIDE = {"lan0": "10.0.1.1", "lan1": "10.0.2.1"}
GATEWAY_OUTSIDE = "198.51.100.1"
ISP = "198.51.100.254"
EIP1, EIP2, EIP3 = "198.51.100.10", "198.51.100.11", "198.51.100.12"
H1, H2, H3 = "10.0.1.11", "10.0.1.12", "10.0.2.11"
WEB = "203.0.113.10"
WEBS = [f"203.0.113.{number}" for number in (10, 11, 12, 13)]  # all of them the host web
BLACKHOLE = "203.0.113.128/25"


def _quiet(*namespaces: Namespace) -> None:
    """Without IPv6 nothing is heard on the wires that the tests did not send; no kernel saves on ICMP errors."""
    for namespace in namespaces:
        settings = ["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0", "net.ipv4.icmp_ratelimit=0"]
        if os.path.exists("/proc/sys/net/ipv6"):
            settings += ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"]
        namespace.sysctl(*settings)


class World:
    """Namespaces that both worlds have: private hosts, a gateway, a router and a server outside."""

    gateway: Namespace
    h1: Namespace
    isp: Namespace
    web: Namespace

    def configuration(self, **changes: Any) -> dict[str, Any]:
        raise NotImplementedError

    def forget_neighbours(self) -> None:
        """The gateway's kernel knows no neighbour any more."""
        self.gateway.ip("neigh flush all")


class Routed(World):
    """Two inside devices, one outside device, a router and a server on the outside.

    h1 and h2 share a wire behind lan0, h3 is alone behind lan1: what must not meet a bridge comes from h3.
    """

    inside_devices = ("lan0", "lan1")
    outside_device = "wan0"

    def __init__(self, lab: Lab, *, wan_mtu: int = 1500, web_mtu: int = 1500):
        self.lab = lab
        self.h1, self.h2, self.h3 = (lab.namespace(name) for name in ("h1", "h2", "h3"))
        self.switch = lab.namespace("switch")
        self.gateway = lab.namespace("gateway")
        self.isp, self.web = lab.namespace("isp"), lab.namespace("web")
        _quiet(self.h1, self.h2, self.h3, self.switch, self.gateway, self.isp, self.web)
        if os.path.exists("/proc/sys/net/bridge"):
            self.switch.sysctl("net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-arptables=0")
        self.gateway.sysctl("net.ipv4.ip_forward=1")
        self.isp.sysctl("net.ipv4.ip_forward=1")

        lab.link(self.gateway, "lan0", self.switch, "uplink", receives_redirects=["uplink"])
        lab.link(self.h1, "eth0", self.switch, "port1")
        lab.link(self.h2, "eth0", self.switch, "port2")
        lab.link(self.gateway, "lan1", self.h3, "eth0", receives_redirects=["eth0"])
        lab.link(self.gateway, "wan0", self.isp, "gw0", mtu=wan_mtu, receives_redirects=["gw0"])
        lab.link(self.isp, "web0", self.web, "eth0", mtu=web_mtu)

        self.switch.ip("link add bridge type bridge forward_delay 0", "link set bridge up",
                       *(f"link set {port} master bridge" for port in ("uplink", "port1", "port2")))
        self.h1.ip(f"addr add {H1}/24 dev eth0", "route add default via 10.0.1.1")
        self.h2.ip(f"addr add {H2}/24 dev eth0", "route add default via 10.0.1.1")
        self.h3.ip(f"addr add {H3}/24 dev eth0", "route add default via 10.0.2.1")
        self.gateway.ip("addr add 10.0.1.1/24 dev lan0", "addr add 10.0.2.1/24 dev lan1",
                        f"addr add {GATEWAY_OUTSIDE}/24 dev wan0", f"route add default via {ISP}")
        self.isp.ip(f"addr add {ISP}/24 dev gw0", "addr add 203.0.113.1/24 dev web0")
        self.web.ip(*(f"addr add {address}/24 dev eth0" for address in WEBS), "route add default via 203.0.113.1")

    @property
    def lan_mac(self) -> str:
        return self.gateway.mac("lan0")

    @property
    def wan_mac(self) -> str:
        return self.gateway.mac("wan0")

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """Both subnets leave through one NAT gateway with one Elastic IP, unless `changes` says otherwise."""
        return {
            "api_version": "sallyport/v1",
            "gateway": {"name": "gw1",
                        "devices": [{"device": "lan0", "role": "inside", "vpc": "main"},
                                    {"device": "lan1", "role": "inside", "vpc": "main"},
                                    {"device": "wan0", "role": "outside"}],
                        "xdp": "auto", "flow_capacity": 65536},
            "vpcs": [{"name": "main", "cidrs": ["10.0.0.0/16"]}],
            "subnets": [{"name": "app", "vpc": "main", "cidr": "10.0.1.0/24", "route_table": "private"},
                        {"name": "db", "vpc": "main", "cidr": "10.0.2.0/24", "route_table": "private"}],
            "elastic_ips": [{"name": "eip-1", "address": EIP1}],
            "nat_gateways": [{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1"]}],
            "route_tables": [{"name": "private", "vpc": "main", "main": True,
                              "routes": [{"destination": "0.0.0.0/0", "nat_gateway": "egress"}]}],
            **changes,
        }


class OneArmed(World):
    """The gateway has a single device, which is inside and outside at once."""

    device = "arm0"

    def __init__(self, lab: Lab):
        self.lab = lab
        self.h1, self.h2 = lab.namespace("h1"), lab.namespace("h2")
        self.switch, self.gateway = lab.namespace("switch"), lab.namespace("gateway")
        self.isp, self.web = lab.namespace("isp"), lab.namespace("web")
        _quiet(self.h1, self.h2, self.switch, self.gateway, self.isp, self.web)
        if os.path.exists("/proc/sys/net/bridge"):
            self.switch.sysctl("net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-arptables=0")
        self.gateway.sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
                            "net.ipv4.conf.default.send_redirects=0")
        self.isp.sysctl("net.ipv4.ip_forward=1")

        lab.link(self.gateway, "arm0", self.switch, "uplink", receives_redirects=["uplink"])
        for host, port in ((self.h1, "port1"), (self.h2, "port2"), (self.isp, "port3")):
            lab.link(host, "gw0" if host is self.isp else "eth0", self.switch, port)
        lab.link(self.isp, "web0", self.web, "eth0")
        self.switch.ip("link add bridge type bridge forward_delay 0", "link set bridge up",
                       *(f"link set {port} master bridge" for port in ("uplink", "port1", "port2", "port3")))
        self.h1.ip(f"addr add {H1}/24 dev eth0", "route add default via 10.0.1.1")
        self.h2.ip(f"addr add {H2}/24 dev eth0", "route add default via 10.0.1.1")
        self.gateway.ip("addr add 10.0.1.1/24 dev arm0", f"addr add {GATEWAY_OUTSIDE}/24 dev arm0",
                        f"route add default via {ISP}")
        self.isp.ip(f"addr add {ISP}/24 dev gw0", "addr add 203.0.113.1/24 dev web0")
        self.web.ip(*(f"addr add {address}/24 dev eth0" for address in WEBS), "route add default via 203.0.113.1")

    def configuration(self, **changes: Any) -> dict[str, Any]:
        return {
            "api_version": "sallyport/v1",
            "gateway": {"name": "gw1", "devices": [{"device": "arm0", "role": "both", "vpc": "main"}],
                        "xdp": "auto", "flow_capacity": 65536},
            "vpcs": [{"name": "main", "cidrs": ["10.0.0.0/16"]}],
            "subnets": [{"name": "app", "vpc": "main", "cidr": "10.0.1.0/24", "route_table": "private"}],
            "elastic_ips": [{"name": "eip-1", "address": EIP1}],
            "nat_gateways": [{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1"]}],
            "route_tables": [{"name": "private", "vpc": "main", "main": True,
                              "routes": [{"destination": "0.0.0.0/0", "nat_gateway": "egress"}]}],
            **changes,
        }


class Tenants(World):
    """Two VPCs with the same addresses, blue behind lan0 and red behind lan1, each with a host that has the same one.

    Red has a second subnet, whose prefix blue's VPC has as well, though not in a subnet.
    """

    def __init__(self, lab: Lab):
        self.lab = lab
        self.blue, self.red, self.red_db = (lab.namespace(name) for name in ("blue", "red", "red-db"))
        self.gateway = lab.namespace("gateway")
        self.isp, self.web = lab.namespace("isp"), lab.namespace("web")
        _quiet(self.blue, self.red, self.red_db, self.gateway, self.isp, self.web)
        self.gateway.sysctl("net.ipv4.ip_forward=1")
        self.isp.sysctl("net.ipv4.ip_forward=1")
        for device, host in (("lan0", self.blue), ("lan1", self.red), ("lan2", self.red_db)):
            lab.link(self.gateway, device, host, "eth0", receives_redirects=["eth0"])
        lab.link(self.gateway, "wan0", self.isp, "gw0", receives_redirects=["gw0"])
        lab.link(self.isp, "web0", self.web, "eth0")
        for host in (self.blue, self.red):
            host.ip(f"addr add {H1}/24 dev eth0", "route add default via 10.0.1.1")
        self.red_db.ip(f"addr add {H3}/24 dev eth0", "route add default via 10.0.2.1")
        self.gateway.ip("addr add 10.0.1.1/24 dev lan0", "addr add 10.0.1.1/24 dev lan1",
                        "addr add 10.0.2.1/24 dev lan2", f"addr add {GATEWAY_OUTSIDE}/24 dev wan0",
                        f"route add default via {ISP}")
        self.isp.ip(f"addr add {ISP}/24 dev gw0", "addr add 203.0.113.1/24 dev web0")
        self.web.ip(*(f"addr add {address}/24 dev eth0" for address in WEBS), "route add default via 203.0.113.1")

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """Each VPC leaves by an Elastic IP of its own, and port 8080 of that leads to its host."""
        def each(make: Any) -> list[dict[str, Any]]:
            return [make(vpc, elastic_ip) for vpc, elastic_ip in (("blue", "eip-1"), ("red", "eip-2"))]

        return {
            "api_version": "sallyport/v1",
            "gateway": {"name": "gw1",
                        "devices": [{"device": "lan0", "role": "inside", "vpc": "blue"},
                                    {"device": "lan1", "role": "inside", "vpc": "red"},
                                    {"device": "lan2", "role": "inside", "vpc": "red"},
                                    {"device": "wan0", "role": "outside"}],
                        "xdp": "auto", "flow_capacity": 65536},
            "vpcs": [{"name": "blue", "cidrs": ["10.0.0.0/16"]}, {"name": "red", "cidrs": ["10.0.0.0/16"]}],
            "subnets": [{"name": "blue-app", "vpc": "blue", "cidr": "10.0.1.0/24"},
                        {"name": "red-app", "vpc": "red", "cidr": "10.0.1.0/24"},
                        {"name": "red-db", "vpc": "red", "cidr": "10.0.2.0/24"}],
            "elastic_ips": [{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
            "nat_gateways": each(lambda vpc, elastic_ip: {"name": vpc, "vpc": vpc, "elastic_ips": [elastic_ip]}),
            "route_tables": each(lambda vpc, _: {
                "name": vpc, "vpc": vpc, "main": True, "routes": [{"destination": "0.0.0.0/0", "nat_gateway": vpc}]}),
            "port_forwards": each(lambda vpc, elastic_ip: {
                "name": vpc, "elastic_ip": elastic_ip, "protocol": "tcp", "port": 8080, "to": f"{H1}:7"}),
            **changes,
        }


class Masquerade:
    """A gateway made of the kernel's own NAT, to see that the laboratory itself works."""

    def __init__(self, world: World, device: str, addresses: str = EIP1):
        self.world, self.device, self.address = world, device, addresses

    def __enter__(self) -> "Masquerade":
        self.world.gateway.ip(f"addr add {self.address}/32 dev {self.device}")
        self.world.gateway.run("nft", "-f", "-", input=f"""
            add table ip lab
            add chain ip lab post {{ type nat hook postrouting priority srcnat; }}
            add rule ip lab post ip saddr 10.0.0.0/16 ip daddr != 10.0.0.0/16 snat to {self.address}
            """)
        return self

    def __exit__(self, *_: object) -> None:
        self.world.gateway.run("nft", "delete", "table", "ip", "lab")
        self.world.gateway.ip(f"addr del {self.address}/32 dev {self.device}")
