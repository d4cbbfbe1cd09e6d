# SPDX-License-Identifier: Apache-2.0
"""`capture`: what it asks of the agent, and what it makes of the answers."""

import base64
import json
import signal
import struct
import subprocess

import pytest

from conftest import PROGRAMS
from fake_agent import prepared, problem

BEGUN = {"capture": 17, "snap_length": 64}
NOTHING = {"packets": [], "lost": 3}


@pytest.fixture
def capturing(agent):
    """An agent with two packets, of which the second comes late, and three that were lost."""
    packets = prepared("capture")["packets"]
    agent.answers["POST /v1/capture"] = BEGUN
    agent.answers["GET /v1/capture"] = [{"packets": packets[:2], "lost": 0}] + [NOTHING] * 100000
    agent.answers["DELETE /v1/capture"] = {"packets": packets[2:], "lost": 3}
    return packets


def test_lines_for_people(sallyport, agent, capturing, golden):
    done = sallyport("capture", "--duration", "2s")
    assert done.returncode == 0
    golden("capture.txt", done.stdout)
    assert done.stderr == f"{len(capturing)} packets captured, 3 lost\n"
    assert {request.method for request in agent.requests[1:-1]} == {"GET"}
    assert agent.requests[0].query == {}
    assert agent.requests[1].query == {"capture": "17", "wait": "1"}
    assert agent.requests[-1].query == {"capture": "17"}


def test_json_is_a_packet_a_line_without_its_bytes(sallyport, capturing):
    done = sallyport("-o", "json", "capture", "--count", "2")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines == [{name: value for name, value in packet.items() if name != "bytes"} for packet in capturing[:2]]
    assert done.stderr == "2 packets captured, 3 lost\n"


@pytest.mark.parametrize(("words", "query"), [
    ("--device lan0 --host 10.0.1.5 --protocol udp --port 53 --snap-length 100",
     {"device": "lan0", "host": "10.0.1.5", "protocol": "udp", "port": "53", "snap_length": "100"}),
    ("--received", {"points": "received"}),
    ("--sent", {"points": "sent"}),
    ("--sent --received", {"points": "received,sent"}),
    ("-w /dev/null", {"points": "received,sent"}),
    ("-w /dev/null --sent", {"points": "sent"}),
])
def test_what_is_asked_for(sallyport, agent, capturing, words, query):
    assert sallyport("capture", "--count", "1", *words.split()).returncode == 0
    assert agent.requests[0].query == query


@pytest.mark.parametrize("to_output", [True, False])
def test_the_file_is_of_nanoseconds_and_has_the_bytes(agent, capturing, tmp_path, to_output):
    path = tmp_path / "packets.pcap"
    command = [f"{PROGRAMS}/sallyport", "--socket", agent.socket, "capture", "--count", "3", "--duration", "2s",
               "-w", "-" if to_output else str(path)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    content = done.stdout if to_output else path.read_bytes()
    header = struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 64, 1)
    records = b""
    for packet in capturing:
        data = base64.b64decode(packet["bytes"])
        records += struct.pack("<IIII", packet["time_ns"] // 10**9, packet["time_ns"] % 10**9, len(data),
                               packet["length"]) + data
    assert content == header + records
    if not to_output:
        assert path.stat().st_mode & 0o777 == 0o600


def test_an_interrupt_is_its_normal_end(agent, capturing):
    with subprocess.Popen([f"{PROGRAMS}/sallyport", "--socket", agent.socket, "capture"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as running:
        while len(agent.requests) < 3:
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=10)
        assert running.returncode == 0
    assert len(out.splitlines()) == 3 and err == "3 packets captured, 3 lost\n"
    assert agent.requests[-1].method == "DELETE"


def test_a_symbolic_link_is_refused_and_the_capture_ended(sallyport, agent, capturing, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "victim")
    done = sallyport("capture", "-w", str(link))
    assert (done.returncode, done.stdout) == (1, "")
    assert "symbolic link" in done.stderr
    assert not (tmp_path / "victim").exists()
    assert agent.requests[-1].method == "DELETE"


def test_a_full_disk_is_told(sallyport, agent, capturing):
    done = sallyport("capture", "-w", "/dev/full")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert agent.requests[-1].method == "DELETE"


def test_bytes_that_are_none_end_it(sallyport, agent, capturing):
    agent.answers["GET /v1/capture"] = {"packets": [{"bytes": "?", "time_ns": 1, "length": 1}], "lost": 0}
    done = sallyport("capture", "-w", "/dev/null")
    assert done.returncode == 1 and "cannot be read" in done.stderr


def test_another_capture_is_a_conflict(sallyport, agent):
    agent.answers["POST /v1/capture"] = problem(409, "Conflict", "another capture is running; there is one at a time")
    done = sallyport("capture")
    assert done.returncode == 5 and "another capture is running" in done.stderr


@pytest.mark.parametrize("words", ["--host 10.0.1.0/24", "--port 0", "--port 65536", "--port x", "--count 0",
                                   "--duration 5", "--protocol sctp", "-w"])
def test_wrong_words_are_told_before_anything_is_asked(sallyport, agent, words):
    done = sallyport("capture", *words.split())
    assert done.returncode == 2
    assert agent.requests == []
