# SPDX-License-Identifier: Apache-2.0
"""The entry script and the list of what it installs."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lib.tree import SOURCE, control_field, dependencies, package_names, run

COMMANDS = ["deps", "build", "test", "demo", "bench", "fuzz", "lint", "package", "clean", "help"]


def dev(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SOURCE / "dev", *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **(environment or {})}, cwd="/")


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str]) -> None:
    done = dev(*arguments)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b.* {{2,}}\S|^  {command} .*\n +\S", done.stdout, re.MULTILINE), command


def test_every_command_is_in_the_help() -> None:
    functions = re.findall(r"^command_(\w+)\(\)", (SOURCE / "dev").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(functions) == sorted(COMMANDS)


def test_an_unknown_command_is_refused_with_the_help() -> None:
    done = dev("biuld")
    assert done.returncode == 2
    assert "usage: ./dev" in done.stderr


def test_an_unknown_section_of_dependencies_is_refused() -> None:
    done = dev("deps", "tests")
    assert done.returncode != 0
    assert 'no section "tests"' in done.stderr


def test_installing_what_is_there_does_nothing() -> None:
    done = dev("deps", "build", "test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_policy_against_service_starts_is_left_as_it_was(tmp_path: Path) -> None:
    """What `deps` does around apt-get, seen by a package manager that is not there: it fails, and nothing stays."""
    policy = Path("/usr/sbin/policy-rc.d")
    before = policy.read_bytes() if policy.exists() else None
    script = (SOURCE / "dev").read_text(encoding="utf-8").replace('main "$@"\n', "without_service_starts false\n")
    copy = tmp_path / "dev"
    copy.write_text(script, encoding="utf-8")
    assert subprocess.run(["bash", copy], check=False, timeout=20).returncode == 1
    assert (policy.read_bytes() if policy.exists() else None) == before


def test_every_dependency_is_in_debian() -> None:
    known = set(run("apt-cache", "pkgnames").split())
    missing = [alternatives for _, alternatives in dependencies() if not known.intersection(alternatives)]
    assert missing == []


def test_a_fresh_debian_can_install_every_section_and_all_together() -> None:
    """Two packages may each be in Debian and not stand beside each other. Asked of apt with nothing installed."""
    sections: dict[str, list[str]] = {}
    for section, alternatives in dependencies():
        sections.setdefault(section, []).append(alternatives[0])
    # What `./dev test --all` and `./dev demo` ask for at once.
    sections["all"] = sorted({name for names in sections.values() for name in names})
    for section in ("build", "all"):
        done = subprocess.run(["apt-get", "-s", "-q", "-o", "Dir::State::status=/dev/null", "-o", "Debug::NoLocking=true",
                               "--no-install-recommends", "install", *sections[section]],
                              capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, f"section {section}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def test_dependencies_are_listed_once_a_section() -> None:
    listed = [(section, alternatives[0]) for section, alternatives in dependencies()]
    assert len(listed) == len(set(listed))
    assert {section for section, _ in listed} == {"build", "test", "demo", "bench", "fuzz", "package", "boot", "browser",
                                               "lint"}


def test_the_package_is_built_with_what_the_build_needs() -> None:
    control = (SOURCE / "packaging/debian/control").read_text(encoding="utf-8")
    of_package = {names[0] for names in package_names(control_field(control, "Build-Depends"))}
    of_build = {alternatives[0] for section, alternatives in dependencies() if section == "build"}
    # Debian's build-essential: no package names them.
    assert of_package == of_build - {"g++", "libc6-dev"} | {"debhelper-compat"}
