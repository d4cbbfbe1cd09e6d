# SPDX-License-Identifier: Apache-2.0
"""Metrics say what happened on the wire, and Prometheus can read them."""

import http.client
import json
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from lab import Agent, Capture, Routed, eventually, services
from lab.agent import Metrics
from lab.capture import Wire
from lab.frames import UDP, echo, ipv4, udp
from lab.world import EIP1, H3, WEB

NAMES = {
    "sallyport_build_info", "sallyport_nat_active_flows", "sallyport_nat_flow_attempts_total",
    "sallyport_nat_flows_established_total", "sallyport_nat_port_allocation_errors_total",
    "sallyport_nat_idle_timeouts_total", "sallyport_nat_packets_total", "sallyport_nat_bytes_total",
    "sallyport_drops_total", "sallyport_packets_total", "sallyport_eip_ports_in_use",
    "sallyport_eip_port_utilization_ratio", "sallyport_flow_table_entries", "sallyport_flow_table_capacity",
    "sallyport_desired_revision", "sallyport_applied_revision", "sallyport_datapath_attached"}
LEGS = ("in_from_source", "out_to_destination", "in_from_destination", "out_to_source")


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration()) as running:
        services.nginx(world.web, WEB, {"file": services.random_file(500_000)})
        yield running


def _legs(metrics: Metrics, what: str) -> dict[str, int]:
    return {leg: int(metrics.value(f"sallyport_nat_{what}_total", nat_gateway="egress", leg=leg)) for leg in LEGS}


def test_all_names_are_there_from_the_start(agent: Agent) -> None:
    assert agent.scrape().names() >= NAMES


def test_promtool_finds_nothing(agent: Agent) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=agent.scrape_text(), capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""


def test_legs_equal_what_was_sent(world: Routed, agent: Agent) -> None:
    before = agent.scrape()
    out_size, in_size = 100, 300
    instance, remote = "10.0.2.50", "203.0.113.77"  # nobody's, so that no kernel answers
    world.gateway.ip(f"neigh replace {instance} lladdr {world.h3.mac('eth0')} dev lan1 nud permanent")
    with Wire(world.h3, "eth0", world.gateway.mac("lan1")) as inside, Wire(world.isp, "gw0", world.wan_mac) as outside, \
            Capture(world.isp, "gw0", keep=lambda p: p.protocol == UDP) as seen, \
            Capture(world.h3, "eth0", keep=lambda p: p.protocol == UDP) as back:
        world.isp.ip("route replace blackhole 203.0.113.77/32")
        packet = ipv4(instance, remote, UDP, udp(instance, remote, 6000, 7000, b"o" * out_size))
        for _ in range(40):
            inside.send_ip(packet)
        port = seen.wait_for(lambda p: True, 40)[0].source_port
        answer = ipv4(remote, EIP1, UDP, udp(remote, EIP1, 7000, port, b"i" * in_size))
        for _ in range(25):
            outside.send_ip(answer)
        back.wait_for(lambda p: True, 25)
        # Dropped at the gateway: came in, did not go out.
        for _ in range(5):
            inside.send_ip(ipv4(instance, remote, UDP, udp(instance, remote, 6000, 7000, b"o" * out_size), ttl=1))
        eventually(lambda: agent.drops().get("ttl_exceeded", 0) >= 5)
    after = agent.scrape()
    change = {leg: _legs(after, "packets")[leg] - _legs(before, "packets")[leg] for leg in LEGS}
    assert change == {"in_from_source": 45, "out_to_destination": 40, "in_from_destination": 25, "out_to_source": 25}
    volume = {leg: _legs(after, "bytes")[leg] - _legs(before, "bytes")[leg] for leg in LEGS}
    out_bytes, in_bytes = 28 + out_size, 28 + in_size
    link = 14 if volume["out_to_destination"] == 40 * (out_bytes + 14) else 0  # whether Ethernet headers count
    assert volume == {"in_from_source": 45 * (out_bytes + link), "out_to_destination": 40 * (out_bytes + link),
                      "in_from_destination": 25 * (in_bytes + link), "out_to_source": 25 * (in_bytes + link)}


def test_flows_are_counted(world: Routed, agent: Agent) -> None:
    before = agent.scrape()
    names = ("sallyport_nat_flow_attempts_total", "sallyport_nat_flows_established_total")
    for _ in range(10):
        world.h1.run("curl", "-sS", "--max-time", 5, f"http://{WEB}/who")
    world.h3.run("ping", "-n", "-c", 1, WEB)
    after = agent.scrape()
    for name in names:
        assert after.value(name, nat_gateway="egress") - before.value(name, nat_gateway="egress") == 11, name
    assert after.value("sallyport_nat_active_flows", nat_gateway="egress", protocol="icmp") >= 1
    assert after.value("sallyport_nat_active_flows", nat_gateway="egress", protocol="tcp") >= 10
    in_use = after.value("sallyport_eip_ports_in_use", elastic_ip="eip-1", protocol="tcp")
    assert in_use >= 10
    assert after.value("sallyport_flow_table_entries") >= 11
    assert after.value("sallyport_flow_table_capacity") == agent.status()["flows"]["capacity"]
    ratios = after.by("sallyport_eip_port_utilization_ratio", "elastic_ip")
    assert 0 < ratios["eip-1"] < 0.05


def test_drops_and_verdicts_agree_with_status(world: Routed, agent: Agent) -> None:
    with Wire(world.isp, "gw0", world.wan_mac) as wire:
        for port in range(2000, 2050):
            wire.send_ip(ipv4("192.0.2.1", EIP1, UDP, udp("192.0.2.1", EIP1, 1, port)))
        wire.send_ip(ipv4("192.0.2.1", "10.0.1.77", 1, echo(1, 1)))
    status = agent.check_accounts()
    metrics = agent.scrape()
    for drop in status["drops"]:
        assert metrics.value("sallyport_drops_total", reason=drop["reason"]) == drop["count"]
    by_reason = metrics.by("sallyport_drops_total", "reason")
    assert by_reason["unsolicited"] == 50 and by_reason["private_destination"] == 1
    for device in status["devices"]:
        for verdict in ("forwarded", "dropped", "answered"):
            value = metrics.value("sallyport_packets_total", device=device["device"], verdict=verdict)
            assert value == device[verdict], (device["device"], verdict)
    assert metrics.value("sallyport_applied_revision") == status["applied_revision"]
    assert metrics.value("sallyport_desired_revision") == status["desired_revision"]
    for device in ("lan0", "lan1", "wan0"):
        assert metrics.value("sallyport_datapath_attached", device=device, mode="native") == 1


def test_no_address_becomes_a_label(world: Routed, agent: Agent) -> None:
    for _, labels in agent.scrape():
        for _, value in labels:
            assert value not in (H3, WEB, EIP1)


def test_scrapes_while_traffic_flows(world: Routed, agent: Agent) -> None:
    """Counters only grow, and a scrape takes no longer than it should."""
    failures: list[object] = []
    ending = threading.Event()
    rounds = 0

    def scrape() -> None:
        nonlocal rounds
        last = 0
        while not ending.is_set():
            started = time.monotonic()
            try:
                now = sum(_legs(agent.scrape(), "packets").values())
            except Exception as error:  # noqa: BLE001 - told below
                failures.append(error)
                return
            if now < last or time.monotonic() - started > 2:
                failures.append((last, now, time.monotonic() - started))
            last = now
            rounds += 1

    thread = threading.Thread(target=scrape)
    thread.start()
    services.iperf3_server(world.web, WEB)
    result = services.iperf3(world.h1, WEB, 2, "--bidir")
    ending.set()
    thread.join()
    assert not failures and rounds > 20
    assert result["end"]["sum_received"]["bytes"] > 1_000_000


def test_prometheus_scrapes_it(world: Routed, agent: Agent) -> None:
    lab = world.lab
    configuration = lab.write("prometheus.yml", """
        global: { scrape_interval: 200ms, scrape_timeout: 200ms }
        scrape_configs:
          - { job_name: sallyport, static_configs: [ { targets: ["127.0.0.1:9710"] } ] }
        """)
    prometheus = world.gateway.start(
        "prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={lab.path('prometheus')}",
        "--web.listen-address=127.0.0.1:9090")

    def query(expression: str) -> list[dict]:
        connection = http.client.HTTPConnection("127.0.0.1", 9090)
        connection.sock = world.gateway.socket()
        try:
            connection.sock.connect(("127.0.0.1", 9090))
            connection.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
            return json.loads(connection.getresponse().read())["data"]["result"]
        finally:
            connection.close()

    eventually(lambda: query("up")[0]["value"][1] == "1", 20, what=f"a scrape\n{prometheus.output[-2000:]}")
    world.h1.run("curl", "-sS", "--max-time", 5, f"http://{WEB}/file", "-o", "/dev/null")
    assert query("sallyport_build_info")[0]["metric"]["job"] == "sallyport"
    expected = agent.scrape().value("sallyport_nat_packets_total", nat_gateway="egress", leg="out_to_destination")
    eventually(lambda: float(query('sallyport_nat_packets_total{leg="out_to_destination"}')[0]["value"][1]) == expected)
    prometheus.stop()


def test_other_paths_and_methods(world: Routed, agent: Agent) -> None:
    for method, path, expected in (("GET", "/", (200, 404)), ("GET", "/nothing", (404,)), ("POST", "/metrics", (405,))):
        connection = http.client.HTTPConnection("127.0.0.1", agent.metrics_port)
        connection.sock = world.gateway.socket()
        connection.sock.connect(("127.0.0.1", agent.metrics_port))
        connection.request(method, path)
        assert connection.getresponse().status in expected, (method, path)
        connection.close()


def test_slow_and_silent_clients_do_not_block_scrapes(world: Routed, agent: Agent) -> None:
    silent = [world.gateway.socket() for _ in range(20)]
    for client in silent:
        client.connect(("127.0.0.1", agent.metrics_port))
        client.send(b"GET /metr")
    started = time.monotonic()
    assert agent.scrape().names() >= NAMES
    assert time.monotonic() - started < 2
    for client in silent:
        client.close()
