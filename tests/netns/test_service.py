# SPDX-License-Identifier: Apache-2.0
"""The agent as a service: what it tells its manager, how it starts and how it ends."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Routed, eventually, isolation
from lab.world import EIP1, WEB


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration()) as running:
        yield running


def _xdp_devices(world: Routed) -> set[str]:
    return {link["ifname"] for link in world.gateway.ip_json("-d link show") if link.get("xdp", {}).get("prog")}


def test_says_when_it_is_ready(world: Routed, agent: Agent) -> None:
    """READY=1 comes when traffic flows, not earlier."""
    assert "READY=1" in agent.receive_notifications()
    assert _xdp_devices(world) == {"lan0", "lan1", "wan0"}
    assert any(line.startswith("STATUS=") and len(line) > 10 for line in agent.notified), agent.notified
    assert "ready" in agent.log.lower()


def test_tells_at_start_what_the_host_lacks(world: Routed) -> None:
    """Nobody asks the doctor before traffic is lost, so the log says it, with the command that mends it."""
    world.gateway.sysctl("net.ipv4.ip_forward=0")
    try:
        with Agent(world.gateway, world.configuration()) as started:
            assert "mend: sysctl -w net.ipv4.ip_forward=1" in started.log
    finally:
        world.gateway.sysctl("net.ipv4.ip_forward=1")


def test_tells_of_a_reload(agent: Agent) -> None:
    agent.receive_notifications()
    agent.notified.clear()
    agent.hang_up()
    agent.await_notification("RELOADING=1")
    agent.await_notification("READY=1")
    stamp, = (line for line in agent.notified if line.startswith("MONOTONIC_USEC="))
    assert abs(int(stamp.split("=")[1]) / 1e6 - time.monotonic()) < 30


def test_feeds_the_watchdog(world: Routed) -> None:
    with Agent(world.gateway, world.configuration()) as agent:
        agent.kill()
        agent.start(environment={"WATCHDOG_USEC": "400000"})
        agent.notified.clear()
        time.sleep(1.2)
        assert agent.receive_notifications().count("WATCHDOG=1") in range(3, 20)
        agent.notified.clear()
        agent.process.send_signal(signal.SIGSTOP)  # what hangs is not fed
        time.sleep(0.1)
        agent.receive_notifications()
        agent.notified.clear()
        time.sleep(1)
        assert not agent.receive_notifications()
        agent.process.send_signal(signal.SIGCONT)


def test_ends_in_good_order(world: Routed, agent: Agent) -> None:
    assert agent.stop() == 0
    assert "STOPPING=1" in agent.receive_notifications()
    assert _xdp_devices(world) == {"lan0", "lan1", "wan0"}, "forwarding goes on"
    assert agent.run("status").returncode == 3
    # The interrupt of a terminal is as good as a SIGTERM.
    agent.start()
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(10) == 0


def test_mounts_bpffs_where_it_is_missing(world: Routed) -> None:
    agent = Agent(world.gateway, world.configuration(), name="bare")
    agent.pin_dir = world.lab.path("bare/pins")
    # Within the mounts of this run, where the next start finds it again.
    process = world.lab.start(["nsenter", f"--net={isolation.NAMES}/{world.gateway.name}", *agent.arguments()], "bare")
    try:
        eventually(lambda: agent.run("status").returncode == 0, 20, what=process.output)
        mounted = {line.split()[1]: line.split()[2] for line in open("/proc/self/mounts", encoding="utf-8")}
        holder = max((place for place in mounted if agent.pin_dir.startswith(place)), key=len)
        assert mounted[holder] == "bpf", holder
        agent.text("detach")
        assert not [name for _, _, names in os.walk(agent.pin_dir) for name in names if not name.endswith(".debug")]
    finally:
        process.stop()
        if os.path.ismount(agent.pin_dir):
            isolation.unmount(agent.pin_dir)


def test_detach_takes_everything_away(world: Routed, agent: Agent) -> None:
    assert agent.json("detach")["detached"]
    assert _xdp_devices(world) == set()
    assert not [name for _, _, names in os.walk(agent.pin_dir) for name in names]
    assert world.gateway.ip_json("route show proto 157") == []
    status = agent.status()
    assert not status["ready"] and not any(device["attached"] for device in status["devices"])
    assert agent.request("GET", "/healthz")[0] == 200
    assert agent.request("GET", "/readyz")[0] == 503
    # Detaching twice is no fault.
    assert agent.json("detach")["detached"] == []
    agent.reload()
    assert _xdp_devices(world) == {"lan0", "lan1", "wan0"}
    assert agent.request("GET", "/readyz")[0] == 200
    assert world.h1.run("ping", "-n", "-c", 1, "-W", 2, WEB).returncode == 0


def test_device_that_comes_later(world: Routed) -> None:
    """A device of the configuration that is not there yet is attached when it comes."""
    configuration = world.configuration()
    configuration["gateway"]["devices"].append({"device": "lan7", "role": "inside", "vpc": "main"})
    with Agent(world.gateway, configuration) as agent:
        late = agent.devices().get("lan7")
        assert late is None or not late["attached"]
        assert world.h1.run("ping", "-n", "-c", 1, "-W", 2, WEB).returncode == 0
        world.lab.link(world.gateway, "lan7", world.h3, "late0", receives_redirects=["late0"])
        eventually(lambda: agent.devices()["lan7"]["attached"], 15)
        world.gateway.ip("link del lan7")
        eventually(lambda: not agent.devices().get("lan7", {}).get("attached"), 15)
        assert world.h1.run("ping", "-n", "-c", 1, "-W", 2, WEB).returncode == 0


def test_generic_mode(world: Routed) -> None:
    configuration = world.configuration()
    configuration["gateway"]["xdp"] = "generic"
    with Agent(world.gateway, configuration) as agent:
        assert {device["mode"] for device in agent.devices().values()} == {"generic"}
        assert agent.scrape().value("sallyport_datapath_attached", device="wan0", mode="generic") == 1
        for host in (world.h1, world.h3):
            assert "3 received" in host.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 2, WEB).stdout
        agent.check_accounts()


def test_change_of_mode(world: Routed, agent: Agent) -> None:
    """Only a clear wish changes the mode: `auto` leaves what works."""
    configuration = world.configuration()
    for wish, mode in (("generic", "generic"), ("auto", "generic"), ("native", "native"), ("auto", "native")):
        configuration["gateway"]["xdp"] = wish
        agent.reload(configuration)
        assert {device["mode"] for device in agent.devices().values()} == {mode}, wish
        assert "3 received" in world.h1.run("ping", "-n", "-c", 3, "-i", 0.05, "-W", 2, WEB).stdout


def test_access_to_the_socket(agent: Agent) -> None:
    assert os.stat(agent.api_socket).st_mode & 0o777 == 0o660
    done = agent.namespace.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", agent.client,
                               "--socket", agent.api_socket, "status", check=False)
    assert done.returncode in (3, 4), done


def test_usage_errors(world: Routed) -> None:
    agent = Agent(world.gateway, world.configuration(), name="usage")
    for arguments in (["--nonsense"], ["--metrics-listen", "nowhere"], ["extra"]):
        process = agent.launch(*arguments)
        assert process.wait(10) in (1, 2), arguments
        assert process.output.strip()
    assert world.gateway.run(agent.program, "--help").stdout.count("--config") >= 1
    assert world.gateway.run(agent.program, "--version").stdout.strip()


def test_file_that_is_not_there(world: Routed) -> None:
    agent = Agent(world.gateway, world.configuration(), name="nofile")
    agent.config_path += ".gone"
    process = agent.launch()
    assert process.wait(10) == 6  # "not configured", so that systemd does not try again
    assert agent.config_path in process.output


def test_metrics_elsewhere(world: Routed) -> None:
    with Agent(world.gateway, world.configuration()) as agent:
        agent.stop()
        agent.start("--metrics-listen", "10.0.1.1:9999")
        text = world.h1.run("curl", "-sS", "--max-time", 5, "http://10.0.1.1:9999/metrics").stdout
        assert "sallyport_build_info" in text and EIP1 not in text


def test_state_survives_a_new_run_directory(world: Routed, agent: Agent) -> None:
    """/run is empty after a boot: the state directory alone is enough."""
    revision = agent.status()["applied_revision"]
    agent.stop()
    for name in os.listdir(agent.run_dir):
        os.unlink(f"{agent.run_dir}/{name}")
    agent.start()
    assert agent.status()["applied_revision"] == revision


def test_damaged_store_is_not_hidden(world: Routed, agent: Agent) -> None:
    agent.stop()
    for name in os.listdir(agent.state_dir):
        path = f"{agent.state_dir}/{name}"
        if os.path.isfile(path):
            with open(path, "r+b") as file:
                file.write(b"this is no database" * 100)
    process = agent.launch()
    assert process.wait(15) == 1
    assert agent.state_dir in process.output
    assert _xdp_devices(world) == {"lan0", "lan1", "wan0"}, "forwarding goes on all the same"
