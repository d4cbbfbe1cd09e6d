# SPDX-License-Identifier: Apache-2.0
"""A capture shows what the data plane got and sent, and traffic does not notice it."""

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from lab import Agent, Routed, eventually, services
from lab.core import Process
from lab.services import Chatter, Conversation
from lab.world import EIP1, H1, H2, WEB

PORT = 7
LINE = re.compile(r"IP (?P<source>[\d.]+) > (?P<destination>[\d.]+): (?P<rest>.*)")


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, world.configuration()) as running, \
            services.echo_server(world.web, WEB, PORT), \
            services.echo_server(world.web, WEB, PORT, socket.SOCK_DGRAM):
        _meet(world)
        yield running


def _meet(world: Routed) -> None:
    """The gateway learns the neighbours: the first packet to each is left to the host, which sends it."""
    _speak_udp(world)
    with Conversation(world.h2, WEB, PORT) as conversation:
        conversation.say()


def _capturing(agent: Agent) -> list[str]:
    """The devices whose program is one that captures: it has the map that all of those have."""
    shown = subprocess.run(["bpftool", "-j", "map", "show"], capture_output=True, check=True).stdout
    rings = {entry["id"] for entry in json.loads(shown) if entry.get("name") == "capture_state"}
    devices = []
    for link in agent.namespace.ip_json("link show"):
        if link.get("xdp"):
            program = subprocess.run(["bpftool", "-j", "prog", "show", "id", str(link["xdp"]["prog"]["id"])],
                                     capture_output=True, check=True).stdout
            if rings & set(json.loads(program)["map_ids"]):
                devices.append(link["ifname"])
    return devices


def _start(agent: Agent, *words: object) -> Process:
    """Starts a capture; returns when it runs on every device."""
    running = agent.namespace.start(agent.client, "--socket", agent.api_socket, *words)
    eventually(lambda: _capturing(agent), 10, what="programs that capture")
    time.sleep(0.3)
    return running


def _speak_udp(world: Routed, text: bytes = b"capture") -> int:
    """A question and its answer; from which port of h1."""
    with world.h1.socket(socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(text, (WEB, PORT))
        assert client.recv(100)
        return client.getsockname()[1]


def _packets(path: str, *words: str) -> list[tuple[str, str]]:
    """Source and destination of each, as tcpdump reads them; it complains of a file that is not right."""
    done = subprocess.run(["tcpdump", "-n", "-t", "-r", path, *words], capture_output=True, text=True, check=True)
    assert "truncated" not in done.stderr
    return [(found["source"], found["destination"]) for line in done.stdout.splitlines()
            if (found := LINE.match(line))]


def test_a_file_has_both_sides_of_the_translation(world: Routed, agent: Agent) -> None:
    path = world.lab.path("both.pcap")
    running = _start(agent, "capture", "-w", path)
    port = _speak_udp(world)
    with Conversation(world.h2, WEB, PORT) as conversation:
        conversation.say(2000)
    time.sleep(1.5)
    assert running.stop(signal.SIGINT) == 0
    # What comes in has the private address, what goes out the Elastic IP; the answer the other way round.
    seen = _packets(path, "udp")
    external = next(source for source, _ in seen if source.startswith(f"{EIP1}."))
    assert seen == [(f"{H1}.{port}", f"{WEB}.{PORT}"), (external, f"{WEB}.{PORT}"),
                    (f"{WEB}.{PORT}", external), (f"{WEB}.{PORT}", f"{H1}.{port}")]
    sources = {source.rsplit(".", 1)[0] for source, _ in _packets(path, "tcp")}
    assert sources == {H2, EIP1, WEB}
    found = re.search(r"(\d+) packets captured, (\d+) lost", running.output)
    assert found and int(found[1]) == len(_packets(path)) + _arp(path) and found[2] == "0"
    assert not _capturing(agent)


def _arp(path: str) -> int:
    """Packets that are not IPv4."""
    done = subprocess.run(["tcpdump", "-n", "-r", path, "not", "ip"], capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines())


def test_bytes_and_lengths_are_those_of_the_packet(world: Routed, agent: Agent) -> None:
    path = world.lab.path("short.pcap")
    running = _start(agent, "capture", "-w", path, "--protocol", "udp", "--received", "--snap-length", 50,
                     "--device", "lan0", "--count", 1)
    _speak_udp(world, b"0123456789" * 9)
    running.finish(10)
    with open(path, "rb") as file:
        content = file.read()
    # The file's magic number says nanoseconds; Ethernet, IPv4 and UDP take 42 of the bytes.
    assert content[:4] == bytes.fromhex("4d3cb2a1")
    assert len(content) == 24 + 16 + 50
    seconds, nanoseconds, captured, length = (int.from_bytes(content[24 + i:28 + i], "little") for i in (0, 4, 8, 12))
    assert (captured, length) == (50, 42 + 90)
    assert abs(time.time() - seconds) < 30 and nanoseconds < 10**9
    assert content[-8:] == b"01234567"


@pytest.mark.parametrize(("filters", "udp", "tcp"), [
    (("--protocol", "udp"), 4, False), (("--protocol", "tcp", "--host", H2), 0, True), (("--host", H1), 3, False),
    (("--port", PORT, "--received"), 2, True), (("--port", 9), 0, False), (("--device", "lan0", "--sent"), 1, True),
    (("--received", "--sent", "--protocol", "udp"), 4, False),
])
def test_filters(world: Routed, agent: Agent, filters: tuple[str, ...], udp: int, tcp: bool) -> None:
    path = world.lab.path("filtered.pcap")
    running = _start(agent, "capture", "-w", path, *filters)
    _speak_udp(world)
    with Conversation(world.h2, WEB, PORT) as conversation:
        conversation.say()
    time.sleep(1.2)
    running.stop(signal.SIGTERM)
    # Of what --host H1 asks for, the answer is only known as h1's when it is sent: as received it has the Elastic IP.
    assert len(_packets(path, "udp")) == udp
    assert bool(_packets(path, "tcp")) == tcp


def test_json_says_what_became_of_each(world: Routed, agent: Agent) -> None:
    running = _start(agent, "-o", "json", "capture", "--protocol", "udp")
    _speak_udp(world)
    with world.web.socket(socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"knock", (EIP1, 9))
    time.sleep(1.5)
    assert running.stop(signal.SIGINT) == 0
    lines = [json.loads(line) for line in running.output.splitlines() if line.startswith("{")]
    assert [(line["device"], line["point"]) for line in lines] == [
        ("lan0", "received"), ("lan0", "sent"), ("wan0", "received"), ("wan0", "sent"),
        ("wan0", "received"), ("wan0", "dropped")]
    assert all("bytes" not in line and line["captured_length"] == line["length"] for line in lines)
    assert [line["time_ns"] for line in lines] == sorted(line["time_ns"] for line in lines)


def test_it_ends_after_a_count_or_a_time(world: Routed, agent: Agent) -> None:
    running = _start(agent, "capture", "--count", 3)
    _speak_udp(world)
    text = running.finish(10)
    assert text.count(" byte") == 3 and "3 packets captured, 0 lost" in text
    begun = time.monotonic()
    agent.text("capture", "--duration", "2s")
    assert 2 <= time.monotonic() - begun < 5
    assert not _capturing(agent)


def test_there_is_one_at_a_time_and_it_ends_when_its_client_is_gone(world: Routed, agent: Agent) -> None:
    running = _start(agent, "capture")
    assert "another capture" in agent.run("capture", "--count", 1).stderr
    assert agent.run("capture", "--count", 1).returncode == 5
    running.stop(signal.SIGKILL)
    eventually(lambda: not _capturing(agent), 20, what="the end of a capture that nobody reads")
    agent.text("capture", "--duration", "1s")


def test_a_file_that_cannot_be_written_is_no_capture(world: Routed, agent: Agent) -> None:
    path = world.lab.path("link.pcap")
    target = world.lab.path("target")
    subprocess.run(["ln", "-sf", target, path], check=True)
    refused = agent.run("capture", "-w", path)
    assert refused.returncode == 1 and "symbolic link" in refused.stderr
    assert "write" in agent.run("capture", "-w", "/nonexistent/file").stderr
    assert "write" in agent.run("capture", "-w", "/dev/full").stderr
    assert not _capturing(agent)


def test_a_program_that_is_replaced_ends_it(world: Routed, agent: Agent) -> None:
    running = _start(agent, "capture")
    agent.text("detach")
    assert running.wait(10) == 5
    assert "detached" in running.output
    agent.text("reload")
    running = _start(agent, "capture")
    agent.reload(world.configuration(gateway={**world.configuration()["gateway"], "xdp": "generic"}))
    assert running.wait(10) == 5
    assert "program on a device was replaced" in running.output
    agent.reload(world.configuration())
    assert not _capturing(agent)
    _speak_udp(world)


def test_traffic_does_not_notice(world: Routed, agent: Agent) -> None:
    before = agent.check_accounts() and agent.status()
    with Chatter(world.h1, WEB, PORT) as one, Chatter(world.h2, WEB, PORT) as other:
        for _ in range(3):
            running = _start(agent, "capture", "-w", "/dev/null", "--protocol", "tcp")
            time.sleep(0.5)
            assert running.stop(signal.SIGINT) == 0
        for chatter in (one, other):
            chatter.check(retransmissions=0)
    assert before["ready"]


def test_a_kill_of_the_agent_ends_it(world: Routed, agent: Agent) -> None:
    path = world.lab.path("killed.pcap")
    running = _start(agent, "capture", "-w", path)
    port = _speak_udp(world)
    eventually(lambda: len(_packets(path, "udp")) == 4, 5, what="packets that are written as they come")
    agent.kill()
    assert running.wait(10) == 3
    assert _packets(path, "udp")[0] == (f"{H1}.{port}", f"{WEB}.{PORT}")
    assert _capturing(agent), "what forwards is left alone"
    _speak_udp(world)
    agent.start()
    assert not _capturing(agent)
    _speak_udp(world)
