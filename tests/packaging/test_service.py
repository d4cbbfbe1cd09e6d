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

from lab import Lab, Namespace, Routed, eventually
from lab.agent import as_yaml
from lab.services import Chatter, echo_server, nginx
from lab.world import EIP1, EIP2, GATEWAY_OUTSIDE, H1, H3, WEB
from lib.container import Container
from lib.debian import root_with
from lib.tree import control_field, package_names, run

UNIT = "sallyport"
CONFIGURATION = "/etc/sallyport/sallyport.yaml"
PACKAGE, NEWER_PACKAGE = "/root/sallyport.deb", "/root/sallyport-newer.deb"
CAPABILITIES = {"cap_net_admin": 12, "cap_net_raw": 13, "cap_perfmon": 38, "cap_bpf": 39}


@pytest.fixture(scope="module")
def world() -> Iterator[Routed]:
    with Lab() as lab:
        yield Routed(lab)


@pytest.fixture(scope="module")
def gateway(world: Routed, debian_package: Path) -> Iterator[Container]:
    depends = control_field(run("dpkg-deb", "--field", debian_package), "Depends")
    root = root_with([names[0] for names in package_names(depends)])
    newer = Path(world.lab.path("newer.deb"))
    as_newer_version(debian_package, newer)
    container = Container(world.lab, world.gateway, root, {PACKAGE: debian_package, NEWER_PACKAGE: newer})
    yield container
    container.power_off()


def as_newer_version(package: Path, newer: Path) -> None:
    """The same package under a higher version, which makes its installation an upgrade."""
    tree = newer.with_suffix(".tree")
    run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+newer", control.read_text(encoding="utf-8"), flags=re.MULTILINE),
                       encoding="utf-8")
    run("dpkg-deb", "--build", tree, newer)


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


@pytest.fixture(scope="module")
def bystanders(world: Routed) -> Iterator["Bystanders"]:
    """Traffic that is none of Sallyport's, from before the first installation to after the last removal."""
    with echo_server(world.gateway, GATEWAY_OUTSIDE, 7), echo_server(world.h3, H3, 7), \
            Chatter(world.web, GATEWAY_OUTSIDE, 7) as to_the_host, Chatter(world.h1, H3, 7) as through_the_host:
        yield Bystanders(to_the_host, through_the_host)


class Bystanders:
    """Conversations with the host itself, and between two private networks that the host routes."""

    def __init__(self, *conversations: Chatter):
        self._conversations = conversations

    def check(self) -> None:
        for conversation in self._conversations:
            conversation.check()


def network_of(host: Namespace) -> dict[str, str]:
    """What the host's network is set to, without what changes by itself."""
    shown = {what: host.run("ip", *what.split()).stdout
             for what in ("-brief link show", "-brief address show", "route show table all", "rule show")}
    shown["programs"] = str([link["ifname"] for link in host.ip_json("link show") if link.get("xdp")])
    shown["firewall"] = host.run("nft", "list", "ruleset").stdout
    shown["settings"] = host.run("sysctl", "-a", "-r", r"^net\.ipv4\.(ip_forward|conf\..*)").stdout
    return shown


def seen_as(world: Routed) -> str:
    """The address that the server sees when h1 asks it."""
    return world.h1.run("curl", "-sS", "--max-time", 5, f"http://{WEB}/who").stdout.strip().rpartition(":")[0]


def sallyport(gateway: Container, *arguments: str) -> Any:
    return json.loads(gateway.run("sallyport", "-o", "json", *arguments))


# What is said of wrong_configuration().
WRONG = 'elastic_ip: unknown key "elastic_ip"; did you mean "elastic_ips"?'


def wrong_configuration(world: Routed) -> dict[str, Any]:
    return world.configuration(elastic_ip=[])


def attached(world: Routed) -> list[str]:
    return [link["ifname"] for link in world.gateway.ip_json("link show") if link.get("xdp")]


def state_of(gateway: Container) -> dict[str, Any]:
    """What the agent says of itself, without what counts."""
    status = sallyport(gateway, "status")
    kept = {name: status[name] for name in ("ready", "desired_revision", "applied_revision")}
    return kept | {kind: sallyport(gateway, "get", kind) for kind in ("nat_gateways", "elastic_ips", "route_tables")}


def flows_of(gateway: Container) -> set[tuple[str, str, str]]:
    """Connections that are open: instance, how it looks outside, remote."""
    return {(flow["inside"], flow["external"], flow["remote"])
            for flow in sallyport(gateway, "flows", "--protocol", "tcp", "--remote", f"{WEB}:7")["flows"]}


def main_process(gateway: Container) -> int:
    return int(gateway.property(UNIT, "MainPID"))


def test_installing_and_removing_changes_no_traffic(world: Routed, gateway: Container, bystanders: Bystanders) -> None:
    before = network_of(world.gateway)
    for command in (["--install", PACKAGE], ["--purge", "sallyport"], ["--install", PACKAGE]):
        gateway.run("dpkg", *command)
        assert network_of(world.gateway) == before, command
        bystanders.check()
    assert gateway.property(UNIT, "ActiveState") == "inactive"
    assert gateway.property(UNIT, "UnitFileState") == "disabled"


def test_a_start_without_a_configuration_fails_once_and_says_so(gateway: Container) -> None:
    assert gateway.call("systemctl", "start", UNIT).returncode != 0
    assert f"there is no configuration {CONFIGURATION}" in gateway.call("systemctl", "status", UNIT).stdout
    assert gateway.property(UNIT, "ActiveState") == "failed"
    assert gateway.property(UNIT, "NRestarts") == "0"
    done = gateway.call("sallyport", "doctor")
    assert done.returncode == 3
    assert "cannot reach the agent" in done.stderr and f"{CONFIGURATION}: No such file" in done.stderr


def test_a_start_with_a_wrong_configuration_fails_and_says_why(world: Routed, gateway: Container) -> None:
    before = network_of(world.gateway)
    gateway.write(CONFIGURATION, as_yaml(wrong_configuration(world)))
    assert gateway.call("systemctl", "start", UNIT).returncode != 0
    gateway.run("systemctl", "stop", UNIT)
    assert WRONG in gateway.journal()
    assert network_of(world.gateway) == before


@pytest.mark.parametrize("name", ["sallyport.yaml", "minimal.yaml"])
def test_the_examples_are_right(gateway: Container, name: str) -> None:
    path = f"/usr/share/doc/sallyport/examples/{name}"
    assert gateway.run("sallyport", "check", path) == f"{path}: ok\n"


def test_start(world: Routed, gateway: Container, server: None, bystanders: Bystanders) -> None:
    gateway.write(CONFIGURATION, as_yaml(world.configuration()))
    gateway.run("systemctl", "start", UNIT)
    bystanders.check()
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
    eventually(lambda: gateway.property(UNIT, "WatchdogTimestampMonotonic") != last, 30,
               what="the agent feeds the watchdog")
    assert main_process(gateway) == process


def test_options_stand_in_a_file_of_their_own(world: Routed, gateway: Container) -> None:
    gateway.write("/etc/default/sallyport", 'SALLYPORTD_OPTIONS="--metrics-listen 10.0.1.1:9711"\n')
    gateway.run("systemctl", "restart", UNIT)
    scrape = world.h1.run("curl", "-sS", "--max-time", 5, "http://10.0.1.1:9711/metrics").stdout
    assert "\nsallyport_build_info{" in scrape
    gateway.run("rm", "/etc/default/sallyport")
    gateway.run("systemctl", "restart", UNIT)


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
    before = (state_of(gateway), network_of(world.gateway))
    wrong = as_yaml(wrong_configuration(world))
    gateway.write(CONFIGURATION, wrong)
    process = main_process(gateway)
    assert gateway.call("systemctl", "reload", UNIT).returncode != 0
    line = wrong.splitlines().index("elastic_ip: []") + 1
    assert f"{CONFIGURATION}:{line}:1: {WRONG}" in gateway.journal()
    assert gateway.property(UNIT, "ActiveState") == "active"
    assert main_process(gateway) == process
    assert (state_of(gateway), network_of(world.gateway)) == before
    gateway.write(CONFIGURATION, right)
    chatter.check()


def test_restart_loses_no_flow(world: Routed, gateway: Container, chatter: Chatter, bystanders: Bystanders) -> None:
    process, flows = main_process(gateway), flows_of(gateway)
    assert flows
    gateway.run("systemctl", "restart", UNIT)
    assert main_process(gateway) != process
    assert flows_of(gateway) >= flows
    assert seen_as(world) in (EIP1, EIP2)
    chatter.check()
    bystanders.check()


def test_a_killed_agent_comes_back(world: Routed, gateway: Container, chatter: Chatter) -> None:
    process = main_process(gateway)
    gateway.run("systemctl", "kill", f"--signal={signal.SIGKILL.name}", UNIT)
    chatter.check()
    eventually(lambda: main_process(gateway) not in (0, process)
               and gateway.property(UNIT, "ActiveState") == "active", 20, what="the agent is restarted")
    chatter.check()


def test_an_agent_that_hangs_is_replaced(gateway: Container, chatter: Chatter) -> None:
    # An agent takes the interval when it starts; a short one spares the test a minute.
    drop_ins = "/run/systemd/system/sallyportd.service.d"
    gateway.run("mkdir", "-p", drop_ins)
    gateway.write(f"{drop_ins}/watchdog.conf", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    gateway.run("systemctl", "daemon-reload")
    gateway.run("systemctl", "restart", UNIT)
    process = main_process(gateway)
    gateway.run("systemctl", "kill", f"--signal={signal.SIGSTOP.name}", UNIT)
    eventually(lambda: main_process(gateway) not in (0, process)
               and gateway.property(UNIT, "ActiveState") == "active", 20, what="the agent is replaced")
    gateway.run("rm", "-r", drop_ins)
    gateway.run("systemctl", "daemon-reload")
    gateway.run("systemctl", "restart", UNIT)
    chatter.check()


def test_stop_leaves_forwarding_in_place(world: Routed, gateway: Container, chatter: Chatter,
                                         bystanders: Bystanders) -> None:
    gateway.run("systemctl", "stop", UNIT)
    bystanders.check()
    assert gateway.property(UNIT, "ActiveState") == "inactive"
    assert attached(world) == ["lan0", "lan1", "wan0"]
    chatter.check()
    assert seen_as(world) in (EIP1, EIP2)


def test_the_doctor_knows_what_a_stopped_agent_has_left(gateway: Container) -> None:
    checks = sallyport(gateway, "doctor")["checks"]
    modes = {check["subject"]: check["severity"] for check in checks if check["check"] == "xdp_mode"}
    assert modes == {"lan0": "ok", "lan1": "ok", "wan0": "ok"}


def test_an_upgrade_leaves_a_stopped_agent_stopped(gateway: Container, chatter: Chatter) -> None:
    gateway.run("dpkg", "--install", PACKAGE)
    assert gateway.property(UNIT, "ActiveState") == "inactive"
    chatter.check()


def test_enabling_works_by_either_name(gateway: Container) -> None:
    gateway.run("systemctl", "enable", "sallyportd")
    assert gateway.property("sallyportd", "UnitFileState") == "enabled"
    gateway.run("systemctl", "start", "sallyportd")
    assert gateway.property("sallyport", "ActiveState") == "active"


def test_an_upgrade_restarts_a_running_agent_under_traffic(gateway: Container, chatter: Chatter,
                                                           bystanders: Bystanders) -> None:
    process, flows = main_process(gateway), flows_of(gateway)
    gateway.run("dpkg", "--install", NEWER_PACKAGE)
    assert gateway.property(UNIT, "ActiveState") == "active"
    assert main_process(gateway) != process
    assert gateway.property("sallyportd", "UnitFileState") == "enabled"
    assert flows_of(gateway) >= flows
    chatter.check()
    bystanders.check()


def test_doctor_runs(gateway: Container) -> None:
    assert gateway.call("sallyport", "doctor").returncode in (0, 1)


def test_removing_the_package_ends_forwarding_and_the_agent(world: Routed, gateway: Container,
                                                            bystanders: Bystanders) -> None:
    assert own_routes(world) != ""
    process = main_process(gateway)
    gateway.run("dpkg", "--remove", "sallyport")
    assert gateway.call("test", "-e", f"/proc/{process}").returncode != 0
    assert_nothing_works_for_sallyport(world, gateway)
    assert gateway.call("test", "-e", CONFIGURATION).returncode == 0
    bystanders.check()


def test_installed_again_it_goes_on_from_what_it_had(world: Routed, gateway: Container) -> None:
    gateway.run("dpkg", "--install", NEWER_PACKAGE)
    assert gateway.property("sallyportd", "UnitFileState") == "enabled"
    gateway.run("systemctl", "start", UNIT)
    assert seen_as(world) in (EIP1, EIP2)


def test_purging_takes_away_what_a_stopped_agent_has_left(world: Routed, gateway: Container,
                                                          bystanders: Bystanders) -> None:
    gateway.run("systemctl", "stop", UNIT)
    assert attached(world) != [] and own_routes(world) != ""
    gateway.run("dpkg", "--purge", "sallyport")
    assert_nothing_works_for_sallyport(world, gateway)
    left = gateway.run("find", "/etc", "/usr", "/var", "/run", "-path", "*sallyport*",
                       "-not", "-path", "/var/log/*", "-not", "-path", "/run/systemd/*")
    # What the operator wrote is the operator's.
    assert set(left.split()) == {"/etc/sallyport", CONFIGURATION}
    bystanders.check()


def own_routes(world: Routed) -> str:
    return world.gateway.run("ip", "route", "show", "proto", "157").stdout


def assert_nothing_works_for_sallyport(world: Routed, gateway: Container) -> None:
    assert attached(world) == []
    assert own_routes(world) == ""
    assert "sallyport" not in gateway.run("ls", "/sys/fs/bpf")
    assert gateway.call("sh", "-c", "cat /proc/[0-9]*/comm | grep -x sallyportd").returncode != 0
