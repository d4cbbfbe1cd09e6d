# SPDX-License-Identifier: Apache-2.0
"""The package on a booted Debian 12 that is the gateway of a small world: its life with systemd, under traffic.

The tests are the chapters of one story and run in this order.
"""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Lab, Routed, eventually
from lab.agent import as_yaml
from lab.services import Chatter, echo_server, nginx
from lab.world import EIP1, EIP2, WEB
from lib.container import Container
from lib.debian import root_with
from lib.tree import control_field, package_names, run

UNIT = "sallyport"
CONFIGURATION = "/etc/sallyport/sallyport.yaml"
CAPABILITIES = {"cap_net_admin": 12, "cap_net_raw": 13, "cap_perfmon": 38, "cap_bpf": 39}


@pytest.fixture(scope="module")
def world() -> Iterator[Routed]:
    with Lab() as lab:
        yield Routed(lab)


@pytest.fixture(scope="module")
def gateway(world: Routed, debian_package: Path) -> Iterator[Container]:
    depends = control_field(run("dpkg-deb", "--field", debian_package), "Depends")
    root = root_with([names[0] for names in package_names(depends)])
    container = Container(world.lab, world.gateway, root, {"/root/sallyport.deb": debian_package})
    yield container
    container.power_off()


@pytest.fixture(scope="module")
def server(world: Routed) -> Iterator[None]:
    """On the outside: nginx tells who asks, an echo server holds conversations."""
    process = nginx(world.web, WEB, {"hello": b"hello\n"})
    with echo_server(world.web, WEB, 7):
        yield
    process.stop()


@pytest.fixture(scope="module")
def chatter(world: Routed, server: None) -> Iterator[Chatter]:
    """A TCP connection through the gateway that is in use from the first start to the removal of the package."""
    with Chatter(world.h1, WEB, 7) as conversation:
        yield conversation


def seen_as(world: Routed) -> str:
    """The address that the server sees when h1 asks it."""
    return world.h1.run("curl", "-sS", "--max-time", 5, f"http://{WEB}/who").stdout.strip().rpartition(":")[0]


def sallyport(gateway: Container, *arguments: str) -> Any:
    return json.loads(gateway.run("sallyport", "-o", "json", *arguments))


def attached(world: Routed) -> list[str]:
    return [link["ifname"] for link in world.gateway.ip_json("link show") if link.get("xdp")]


def main_process(gateway: Container) -> int:
    return int(gateway.property(UNIT, "MainPID"))


def test_installing_changes_no_traffic(world: Routed, gateway: Container) -> None:
    gateway.run("dpkg", "--install", "/root/sallyport.deb")
    assert gateway.property(UNIT, "ActiveState") == "inactive"
    assert gateway.property(UNIT, "UnitFileState") == "disabled"
    assert attached(world) == []


def test_a_start_without_a_configuration_fails_and_says_so(gateway: Container) -> None:
    done = gateway.call("systemctl", "start", UNIT)
    assert done.returncode != 0
    assert "Assertion failed" in done.stderr
    assert gateway.property(UNIT, "ActiveState") == "inactive"


def test_a_start_with_a_wrong_configuration_fails(world: Routed, gateway: Container) -> None:
    gateway.write(CONFIGURATION, as_yaml(world.configuration(elastic_ip=[])))
    assert gateway.call("systemctl", "start", UNIT).returncode != 0
    gateway.run("systemctl", "stop", UNIT)
    assert "elastic_ip" in gateway.journal()
    assert attached(world) == []


def test_the_example_is_right(gateway: Container) -> None:
    gateway.run("sallyport", "check", "/usr/share/doc/sallyport/examples/sallyport.yaml")


def test_start(world: Routed, gateway: Container, server: None) -> None:
    gateway.write(CONFIGURATION, as_yaml(world.configuration()))
    gateway.run("systemctl", "start", UNIT)
    assert gateway.property(UNIT, "ActiveState") == "active"
    assert gateway.property(UNIT, "StatusText") != ""
    assert seen_as(world) == EIP1


def test_it_runs_as_a_user_of_its_own_with_few_capabilities(gateway: Container) -> None:
    status = gateway.run("cat", f"/proc/{main_process(gateway)}/status")
    user = gateway.run("id", "-u", "sallyport").strip()
    assert re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)[1] == user  # type: ignore[index]
    effective = int(re.search(r"^CapEff:\s+(\w+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]
    assert effective == sum(1 << number for number in CAPABILITIES.values())


def test_it_keeps_the_watchdog_quiet(gateway: Container) -> None:
    process = main_process(gateway)
    assert gateway.property(UNIT, "WatchdogUSec") == "30s"
    last = gateway.property(UNIT, "WatchdogTimestampMonotonic")
    eventually(lambda: gateway.property(UNIT, "WatchdogTimestampMonotonic") != last, 20,
               what="the agent feeds the watchdog")
    assert main_process(gateway) == process


def test_only_root_and_the_group_may_command_it(gateway: Container) -> None:
    gateway.run("useradd", "--groups", "sallyport", "friend")
    gateway.run("useradd", "stranger")
    assert gateway.call("setpriv", "--reuid=friend", "--regid=friend", "--init-groups",
                        "sallyport", "status").returncode == 0
    assert gateway.call("setpriv", "--reuid=stranger", "--regid=stranger", "--init-groups",
                        "sallyport", "status").returncode == 4


def test_reload_is_done_when_it_returns(world: Routed, gateway: Container, chatter: Chatter) -> None:
    before = sallyport(gateway, "status")["applied_revision"]
    gateway.write(CONFIGURATION, as_yaml(world.configuration(
        elastic_ips=[{"name": "eip-1", "address": EIP1}, {"name": "eip-2", "address": EIP2}],
        nat_gateways=[{"name": "egress", "vpc": "main", "elastic_ips": ["eip-1", "eip-2"]}])))
    gateway.run("systemctl", "reload", UNIT)
    status = sallyport(gateway, "status")
    assert status["applied_revision"] > before
    assert {elastic_ip["name"] for elastic_ip in status["elastic_ips"]} == {"eip-1", "eip-2"}
    chatter.check()


def test_a_reload_of_a_wrong_configuration_fails_and_changes_nothing(world: Routed, gateway: Container,
                                                                     chatter: Chatter) -> None:
    right = gateway.run("cat", CONFIGURATION)
    before = sallyport(gateway, "status")["applied_revision"]
    gateway.write(CONFIGURATION, as_yaml(world.configuration(elastic_ip=[])))
    assert gateway.call("systemctl", "reload", UNIT).returncode != 0
    assert gateway.property(UNIT, "ActiveState") == "active"
    assert sallyport(gateway, "status")["applied_revision"] == before
    gateway.write(CONFIGURATION, right)
    chatter.check()


def test_restart_keeps_traffic_flowing(world: Routed, gateway: Container, chatter: Chatter) -> None:
    process = main_process(gateway)
    gateway.run("systemctl", "restart", UNIT)
    assert main_process(gateway) != process
    assert seen_as(world) in (EIP1, EIP2)
    chatter.check()


def test_a_killed_agent_comes_back(world: Routed, gateway: Container, chatter: Chatter) -> None:
    process = main_process(gateway)
    gateway.run("systemctl", "kill", f"--signal={signal.SIGKILL.name}", UNIT)
    chatter.check()
    eventually(lambda: main_process(gateway) not in (0, process)
               and gateway.property(UNIT, "ActiveState") == "active", 20, what="the agent is restarted")
    chatter.check()


def test_stop_leaves_forwarding_in_place(world: Routed, gateway: Container, chatter: Chatter) -> None:
    gateway.run("systemctl", "stop", UNIT)
    assert gateway.property(UNIT, "ActiveState") == "inactive"
    assert attached(world) == ["lan0", "lan1", "wan0"]
    chatter.check()
    assert seen_as(world) in (EIP1, EIP2)


def test_an_upgrade_leaves_a_stopped_agent_stopped(gateway: Container, chatter: Chatter) -> None:
    gateway.run("dpkg", "--install", "/root/sallyport.deb")
    assert gateway.property(UNIT, "ActiveState") == "inactive"
    chatter.check()


def test_enabling_works_by_either_name(gateway: Container) -> None:
    gateway.run("systemctl", "enable", "sallyportd")
    assert gateway.property("sallyportd", "UnitFileState") == "enabled"
    gateway.run("systemctl", "start", "sallyportd")
    assert gateway.property("sallyport", "ActiveState") == "active"


def test_an_upgrade_restarts_a_running_agent_under_traffic(gateway: Container, chatter: Chatter) -> None:
    process = main_process(gateway)
    gateway.run("dpkg", "--install", "/root/sallyport.deb")
    assert gateway.property(UNIT, "ActiveState") == "active"
    assert main_process(gateway) != process
    assert gateway.property("sallyportd", "UnitFileState") == "enabled"
    chatter.check()


def test_doctor_runs(gateway: Container) -> None:
    assert gateway.call("sallyport", "doctor").returncode in (0, 1)


def test_removing_the_package_ends_forwarding(world: Routed, gateway: Container) -> None:
    gateway.run("dpkg", "--remove", "sallyport")
    assert attached(world) == []
    assert "sallyport" not in gateway.run("ls", "/sys/fs/bpf")
    assert gateway.call("test", "-e", CONFIGURATION).returncode == 0


def test_purging_it_takes_its_state_away(gateway: Container) -> None:
    gateway.run("dpkg", "--purge", "sallyport")
    assert gateway.call("test", "-e", "/var/lib/sallyport").returncode != 0
    # What the operator wrote is the operator's.
    assert gateway.call("test", "-e", CONFIGURATION).returncode == 0
