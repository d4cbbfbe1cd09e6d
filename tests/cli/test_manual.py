# SPDX-License-Identifier: Apache-2.0
"""The manual says what the programs do, and man(1) has nothing to complain about."""

import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "SEE ALSO"]
PAGES = {"sallyport.1": SECTIONS, "sallyport.yaml.5": ["NAME", "DESCRIPTION", "SEE ALSO"], "sallyportd.8": SECTIONS}


def page(name: str) -> str:
    return os.path.join(BUILD, "packaging", "man", name)


def text_of(name: str) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANROFFSEQ": ""}
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page(name)], env=environment, text=True,
                          capture_output=True, timeout=60, check=True)
    assert done.stderr == ""
    return re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_clean_and_complete(name):
    text = text_of(name)
    assert "@" not in text
    for section in PAGES[name]:
        assert re.search(f"^{section}$", text, re.M)


def test_every_command_and_option_is_in_the_manual(run):
    text = text_of("sallyport.1")
    overview = run("sallyport", "--help").stdout
    commands = [line.split()[0] for line in re.search(r"Commands:\n(.*?)\n\n", overview, re.S)[1].splitlines()]
    assert len(commands) > 5
    for command in commands:
        assert re.search(rf"^       {command}\b", text, re.M)
        for option in re.findall(r"^ +(?:-\w, )?(--[a-z]+)", run("sallyport", command, "--help").stdout, re.M):
            assert re.search(rf"^ +(-\w, )?{option}\b", text, re.M)


def test_every_drop_reason_is_in_the_manual():
    with open(os.path.join(ROOT, "include", "sallyport", "abi", "drop_reason.h"), encoding="utf-8") as header:
        labels = re.findall(r"\bREASON\(\d+, \w+, (\w+),", header.read())
    assert len(labels) > 20
    text = text_of("sallyportd.8")
    for label in labels:
        assert re.search(rf"^ +{label}$", text, re.M)


def test_help_fits_80_columns(run):
    for command in ("", "status", "flows", "get", "monitor", "apply"):
        done = run("sallyport", *command.split(), "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_every_option_of_the_agent_is_in_its_manual(run):
    offered = set(re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", run("sallyportd", "--help").stdout, re.M))
    assert "--config" in offered
    options = re.search(r"^OPTIONS$(.*?)^SIGNALS$", text_of("sallyportd.8"), re.S | re.M)[1]
    assert set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", options, re.M)) == offered
