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


@pytest.mark.parametrize("name, code", [("right", 0), ("warned", 0), ("wrong", 1)])
def test_text_and_json_of(check, golden, name, code):
    text = check(f"{name}.yaml")
    assert (text.returncode, text.stderr) == (code, "")
    golden(f"check_{name}.txt", text.stdout)
    listed = check(f"{name}.yaml", "-o", "json")
    assert (listed.returncode, listed.stderr) == (code, "")
    golden(f"check_{name}.json", listed.stdout)


@pytest.mark.parametrize("name", ["warned", "wrong"])
def test_text_says_what_json_says(check, name):
    faults = json.loads(check(f"{name}.yaml", "-o", "json").stdout)
    lines = check(f"{name}.yaml").stdout.splitlines()
    assert faults
    for fault, line in zip(faults, lines):
        place = f"{fault['file']}:{fault['line']}:{fault['column']}: "
        warning = "warning: " if fault["severity"] == "warning" else ""
        assert line == f"{place}{warning}{fault['path']}: {fault['message']}"
        if fault["severity"] == "error":
            assert fault["read"] in line and fault["expected"] in line


def test_what_an_operator_gets_wrong_most(check):
    """One line for each: unknown key, overlap, dangling reference, unit, an Elastic IP used twice, duplicate key."""
    lines = check("wrong.yaml").stdout
    for place, words in {":4:3: gateway.colour": "unknown key", ":12:": "overlap", ":13:": "nowhere",
                         ":17:": "unit", ":18:": "eip-1",
                         ":20:": "duplicate key"}.items():
        assert [line for line in lines.splitlines() if f"wrong.yaml{place}" in line and words in line], place


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
