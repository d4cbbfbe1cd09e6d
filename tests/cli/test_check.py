# SPDX-License-Identifier: Apache-2.0
"""`check` reads files without an agent. The files are in files/, and are named as the user names them."""

import json
import os

import pytest

from conftest import HERE

FILES = os.path.join(HERE, "files")


@pytest.fixture
def check(run):
    return lambda *words, **more: run("sallyport", "--socket", "/nonexistent", "check", *words, cwd=FILES, **more)


# What is said about each fault is pinned in tests/golden/config; here it is how the command line shows it.
FAULTS = [
    (4, 3, "gateway.colour"),  # an unknown key
    (12, 43, "subnets[1].cidr"),  # overlaps
    (13, 66, "subnets[2].route_table"),  # refers to nothing
    (17, 71, "nat_gateways[0].timeouts.udp"),  # has no unit
    (18, 45, "nat_gateways[1].elastic_ips[0]"),  # an Elastic IP that is used already
    (20, 33, "route_tables[0].vpc"),  # a duplicate key
]


def test_all_faults_at_once(check):
    done = check("wrong.yaml", "-o", "json")
    assert (done.returncode, done.stderr) == (1, "")
    faults = json.loads(done.stdout)
    assert [(fault["line"], fault["column"], fault["path"]) for fault in faults] == FAULTS
    assert {fault["severity"] for fault in faults} == {"error"}
    assert all(list(fault) == ["severity", "file", "line", "column", "path", "read", "expected", "message"]
               for fault in faults)


def test_a_right_file(check):
    done = check("right.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "right.yaml: ok\n", "")
    assert check("right.yaml", "-o", "json").stdout == "[]\n"


def test_warnings_are_no_faults(check):
    done = check("warned.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("warned.yaml:10:77: warning: nat_gateways[0].log_flows: ")
    assert done.stdout.endswith("\nwarned.yaml: ok\n")
    assert [fault["severity"] for fault in json.loads(check("warned.yaml", "-o", "json").stdout)] == ["warning"]


@pytest.mark.parametrize("name", ["warned", "wrong"])
def test_text_says_what_json_says(check, name):
    text = check(f"{name}.yaml")
    lines = text.stdout.splitlines()
    faults = json.loads(check(f"{name}.yaml", "-o", "json").stdout)
    assert len(faults) + (1 if text.returncode == 0 else 0) == len(lines)
    for fault, line in zip(faults, lines):
        place = f"{fault['file']}:{fault['line']}:{fault['column']}: "
        warning = "warning: " if fault["severity"] == "warning" else ""
        assert line == f"{place}{warning}{fault['path']}: {fault['message']}"
        if fault["severity"] == "error":
            assert fault["read"] in line and fault["expected"] in line


def test_standard_input(check):
    with open(os.path.join(FILES, "right.yaml"), encoding="utf-8") as file:
        done = check("-", input=file.read())
    assert (done.returncode, done.stdout) == (0, "standard input: ok\n")
    assert check("-", input="").returncode == 1


@pytest.mark.parametrize("path", ["/nonexistent.yaml", "/"])
def test_files_that_cannot_be_read(check, path):
    done = check(path)
    assert done.returncode == 1
    assert path in done.stdout


def test_bytes_that_are_no_text(check, tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"gateway: \xff\xfe\n")
    assert check(str(tmp_path / "x.yaml")).returncode == 1
    assert isinstance(json.loads(check(str(tmp_path / "x.yaml"), "-o", "json").stdout), list)
