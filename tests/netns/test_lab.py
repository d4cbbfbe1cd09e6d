# SPDX-License-Identifier: Apache-2.0
"""The laboratory itself: it carries traffic, its eyes see, and its checks fail when they should.

No program of the product takes part; the kernel's own NAT stands in for the gateway.
"""

import os
import signal
import socket
import time

import pytest

from lab import Capture, Lab, LabError, Routed, eventually, isolation, services
from lab.agent import Agent, Metrics
from lab.capture import Wire
from lab.filler import Filler
from lab.frames import ACK, RST, SYN, TCP, UDP, echo, icmp, ipv4, parse, scan_frames, tcp, udp
from lab.scan import Scan
from lab.world import EIP1, H1, H3, ISP, WEB, Masquerade, OneArmed


@pytest.fixture(scope="module")
def masquerade(world: Routed):
    with Masquerade(world, "wan0") as made:
        yield made


def test_real_programs_get_through(world: Routed, masquerade: Masquerade) -> None:
    content = services.random_file(300_000)
    services.nginx(world.web, WEB, {"file": content})
    for host in (world.h1, world.h3):
        got = host.run("curl", "-sS", "--max-time", 10, f"http://{WEB}/who").stdout
        assert got.startswith(f"{EIP1}:")
        target = world.lab.path("got")
        host.run("curl", "-sS", "--max-time", 10, "-o", target, f"http://{WEB}/file")
        with open(target, "rb") as file:
            assert file.read() == content
    services.dns_server(world.web, WEB, {"name.example": "192.0.2.1"})
    assert world.h1.run("dig", "+short", "+timeout=2", f"@{WEB}", "name.example").stdout == "192.0.2.1\n"
    services.iperf3_server(world.web, WEB)
    result = services.iperf3(world.h1, WEB, 1)
    assert result["end"]["sum_received"]["bytes"] > 1_000_000


def test_capture_sees_what_is_sent(world: Routed, masquerade: Masquerade) -> None:
    with Wire(world.h3, "eth0", world.gateway.mac("lan1")) as wire, Capture(world.isp, "gw0") as capture:
        wire.send_ip(ipv4(H3, WEB, UDP, udp(H3, WEB, 4000, 4001, b"hello")))
        seen = capture.wait_for(lambda packet: packet.protocol == UDP and packet.payload == b"hello")[0]
    assert (seen.source, seen.destination, seen.destination_port, seen.ttl) == (EIP1, WEB, 4001, 63)
    assert seen.checksums_right()


def test_capture_fails_when_it_missed_frames(world: Routed) -> None:
    capture = Capture(world.h3, "eth0")
    capture._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    frame = ipv4("10.0.2.1", H3, UDP, udp("10.0.2.1", H3, 1, 9, b"x" * 1000))
    with Wire(world.gateway, "lan1", world.h3.mac("eth0")) as wire:
        for _ in range(200):
            wire.send_ip(frame)
    with pytest.raises(LabError, match="missed"):
        capture.stop()


def test_scan_notices_an_answer(world: Routed, masquerade: Masquerade) -> None:
    """The kernel's NAT answers a scan of its address with resets: the check of silence must say so."""
    with Scan(world) as scan:
        scan.tcp(EIP1, range(1, 200))
        scan.settle()
    assert len(scan.answers()) == 199
    assert all(packet.flags & RST for packet in scan.answers())
    with pytest.raises(AssertionError):
        scan.check_silence()


def test_chatter_notices_a_cut(world: Routed, masquerade: Masquerade) -> None:
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        chatter.check()
        world.gateway.ip("link set wan0 down")
        time.sleep(0.7)
        world.gateway.ip("link set wan0 up", f"route add default via {ISP}")
        eventually(lambda: chatter.conversation.retransmissions() > 0)
        with pytest.raises(LabError, match="sent again"):
            chatter.check(retransmissions=0)


def test_chatter_notices_a_reset(world: Routed, masquerade: Masquerade) -> None:
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        chatter.check()
        world.h1.run("ss", "-K", "dport", "=", "7")
        with pytest.raises(LabError, match="broke"):
            chatter.check()


def test_frames_are_read_as_they_were_made() -> None:
    for segment in (tcp(H1, WEB, 1, 2, SYN | ACK, sequence=7, acknowledgement=9, payload=b"odd"),
                    udp(H1, WEB, 1, 2, b"odd"), echo(5, 6)):
        protocol = {True: TCP, False: UDP}[len(segment) > 20] if segment[:1] == b"\0" else 1
        packet = parse(b"\0" * 12 + b"\x08\x00" + ipv4(H1, WEB, protocol, segment))
        assert packet.checksums_right()
        damaged = bytearray(packet.ip)
        damaged[-1] ^= 1
        packet.ip = bytes(damaged)
        assert not packet.checksums_right()
    error = icmp(3, 4, 1400, ipv4(H1, WEB, UDP, udp(H1, WEB, 4, 5))[:28])
    packet = parse(b"\0" * 12 + b"\x08\x00" + ipv4(ISP, H1, 1, error))
    assert packet.quoted and (packet.quoted.source, packet.quoted.destination_port) == (H1, 5)


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_scan_frames_have_right_checksums(protocol: int) -> None:
    frames = scan_frames(b"\0" * 12 + b"\x08\x00", ISP, EIP1, protocol, 40000, range(0, 65536, 97))
    packets = [parse(frame) for frame in frames]
    assert [packet.destination_port for packet in packets] == list(range(0, 65536, 97))
    assert all(packet.checksums_right() for packet in packets)


def test_metrics_are_read() -> None:
    metrics = Metrics('# TYPE a counter\na{x="1",y="a\\"b"} 2\na{x="1",y="c"} 3\nb 1e+03\n')
    assert metrics.value("a", x="1", y="c") == 3
    assert metrics.value("b") == 1000
    assert metrics.by("a", "x") == {"1": 5}


def test_accounts_that_do_not_add_up_are_noticed(world: Routed) -> None:
    class Wrong(Agent):
        received, reasons = 11, 1

        def status(self):
            return {"devices": [{"device": "wan0", "received_packets": self.received, "forwarded": 5, "passed": 3,
                                 "dropped": 1, "answered": 1, "held": 1}],
                    "drops": [{"reason": "unsolicited", "count": self.reasons}]}

    agent = Wrong(world.gateway, {}, name="wrong")
    agent.check_accounts()
    agent.received = 12
    with pytest.raises(AssertionError, match="accounted"):
        agent._balanced_status()
    agent.received, agent.reasons = 11, 2
    with pytest.raises(AssertionError, match="reason"):
        agent._balanced_status()


def test_one_armed_world_carries_traffic(one_armed: OneArmed) -> None:
    with Masquerade(one_armed, "arm0"):
        services.nginx(one_armed.web, WEB, {})
        assert one_armed.h1.run("curl", "-sS", "--max-time", 10, f"http://{WEB}/who").stdout.startswith(EIP1)


def test_nothing_is_left_behind() -> None:
    names = set(os.listdir(isolation.NAMES))
    with Lab() as lab:
        world = Routed(lab)
        process = world.h1.start("sleep", 1000)
        work = lab.work
        assert set(os.listdir(isolation.NAMES)) > names
    assert set(os.listdir(isolation.NAMES)) == names
    assert not process.running()
    assert not os.path.ismount(f"{work}/bpf")


def test_nothing_is_left_behind_when_killed() -> None:
    """A run that is killed outright takes its processes, and so its namespaces, with it."""
    here = os.path.dirname(os.path.abspath(__file__))
    script = ("import sys, time; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n"
              "from lab import isolation, Lab, Routed\n"
              "def main():\n"
              "    lab = Lab(); world = Routed(lab); world.h1.start('sleep', 4242.25)\n"
              "    print('made', flush=True); time.sleep(100)\n"
              "sys.exit(isolation.run(main))\n")
    for number in (signal.SIGKILL, signal.SIGTERM):
        with Lab() as lab:
            process = lab.start(["/usr/bin/python3", "-c", script, here], "killed")
            eventually(lambda process=process: "made" in process.output, 20, what=process.output)
            # `ip netns exec` is becoming `sleep`, and a process has no command line in the middle of exec
            eventually(lambda: _sleepers() == 1)
            process.send_signal(number)
            process.wait()
            eventually(lambda: _sleepers() == 0)


def _sleepers() -> int:
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                count += b"4242.25" in file.read().split(b"\0")
        except OSError:
            continue
    return count


def test_filler_sees_each_flow_once(world: Routed, masquerade: Masquerade) -> None:
    """Both sides of ten thousand flows, through the kernel's NAT."""
    instances, remotes = [f"10.0.2.{number}" for number in range(100, 108)], ["203.0.113.60"]
    flows = [((instances[number % 8], 2000 + number // 8), (remotes[0], 443)) for number in range(10_000)]
    with Filler(world, instances, remotes) as filler:
        started = time.monotonic()
        filler.open_tcp(flows)
        filler.open_udp(flows)
        assert time.monotonic() - started < 20
        for protocol in (TCP, UDP):
            external = {flow.external for key, flow in filler.outside.items() if key[0] == protocol}
            assert len(external) == 10_000
        filler.try_tcp((instances[0], 1), (remotes[0], 443))
        with pytest.raises(LabError):
            eventually(filler.quiet_outside, 0.5)
