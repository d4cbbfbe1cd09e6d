# SPDX-License-Identifier: Apache-2.0
"""What bash offers. The script is sourced as bash-completion does it, and asked as bash asks it."""

import os
import re
import subprocess

import pytest

from conftest import BUILD, PROGRAMS
from fake_agent import prepared

SCRIPT = os.path.join(BUILD, "packaging", "completions", "sallyport")

ASK = r"""
set -u
source "$1"; shift
complete -p sallyport >/dev/null || exit 1
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p sallyport | sed 's/.*-F \([^ ]*\).*/\1/')
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def offered(agent):
    agent.answers["GET /v1/vpcs"] = prepared("vpcs")
    agent.answers["GET /v1/route_tables"] = prepared("route_tables")
    agent.answers["GET /v1/elastic_ips"] = {"elastic_ips": [prepared("elastic_ip")]}
    agent.answers["GET /v1/instances"] = {"instances": [{"name": "db"}]}

    def ask(line: str) -> list[str]:
        """The candidates for the last word of `line`, which is split as bash does."""
        words = [word for word in re.split(r"(=)|\s", line) if word is not None]
        words = [word for i, word in enumerate(words) if word or i == len(words) - 1]
        done = subprocess.run(["bash", "--norc", "-c", ASK, "ask", SCRIPT, f"{PROGRAMS}/sallyport", *words[1:]],
                              env={"PATH": os.environ["PATH"], "SALLYPORT_SOCKET": agent.socket}, text=True,
                              capture_output=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return ask


ROWS = {
    "sallyport -o ": ["text", "json"],
    "sallyport --output=j": ["json"],
    "sallyport --output=": ["text", "json"],
    "sallyport st": ["status"],
    "sallyport -o json rel": ["reload"],
    "sallyport --socket /x his": ["history"],
    "sallyport get sub": ["subnets"],
    "sallyport get vpcs ": ["main", "lab"],
    "sallyport get vpcs m": ["main"],
    "sallyport -o json get vpcs l": ["lab"],
    "sallyport get route_tables ": ["private"],
    "sallyport get vpcs main ": [],
    "sallyport get subnets ": [],
    "sallyport --socket /nonexistent get vpcs ": [],
    "sallyport --socket=/nonexistent get vpcs ": [],
    "sallyport create sub": ["subnets"],
    "sallyport create vpcs ": [],
    "sallyport create vpcs new ": [],
    "sallyport create vpcs new --f": ["--file"],
    "sallyport se": ["set"],
    "sallyport set sub": ["subnets"],
    "sallyport set vpcs ": ["main", "lab"],
    "sallyport set vpcs main ": [],
    "sallyport set vpcs main --f": ["--file"],
    "sallyport delete vpcs ": ["main", "lab"],
    "sallyport eip ": ["associate", "disassociate"],
    "sallyport eip associate e": ["eip-3"],
    "sallyport eip associate eip-3 ": ["db"],
    "sallyport flows --in": ["--inside", "--inner"],
    "sallyport flows --protocol ": ["tcp", "udp", "icmp"],
    "sallyport flows --inside ": [],
    "sallyport flows --count --pro": ["--protocol"],
    "sallyport who --": ["--protocol", "--at", "--output", "--socket", "--server", "--token-file", "--ca-file",
                         "--version", "--help"],
    "sallyport who --protocol i": ["icmp"],
    "sallyport explain u": ["udp"],
    "sallyport explain tcp ": [],
    "sallyport explain --flags sy": ["syn", "syn-ack"],
    "sallyport explain --vpc ": ["main", "lab"],
    "sallyport monitor --dr": ["--drops"],
    "sallyport monitor --count ": [],
    "sallyport status ": [],
    "sallyport --so": ["--socket"],
    "sallyport --server https://localhost:1 his": ["history"],
    "sallyport --server https://localhost:1 get vpcs ": [],
    "sallyport watch sub": ["subnets"],
    "sallyport ready --w": ["--wait"],
}


@pytest.mark.parametrize("line", ROWS)
def test_candidates(offered, line):
    assert offered(line) == ROWS[line]


def test_all_commands_are_offered(offered, run):
    listed = re.search(r"Commands:\n(.*?)\n\n", run("sallyport", "--help").stdout, re.S)
    assert offered("sallyport ") == [line.split()[0] for line in listed[1].splitlines()]


def test_files_are_offered(offered, tmp_path):
    (tmp_path / "gw1.yaml").touch()
    assert offered(f"sallyport apply {tmp_path}/gw") == [f"{tmp_path}/gw1.yaml"]
    assert offered(f"sallyport --socket {tmp_path}/gw") == [f"{tmp_path}/gw1.yaml"]
