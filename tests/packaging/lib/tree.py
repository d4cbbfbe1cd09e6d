# SPDX-License-Identifier: Apache-2.0
"""Where things are: the source tree, what is built from it, and what is kept between runs."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SALLYPORT_BUILD") or SOURCE / "build")
PROGRAMS = BUILD / "bin"
PACKAGE = BUILD / "package"
BOOT = BUILD / "boot"  # systems and kernels that are made once


def run(*arguments: object, timeout: float = 600.0, cwd: Path | None = None) -> str:
    """Runs a command that must succeed and gives what it prints."""
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, timeout=timeout, cwd=cwd, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{[str(argument) for argument in arguments]} ended with {done.returncode}:\n"
                             f"{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def dependencies() -> list[tuple[str, list[str]]]:
    """Section and alternatives of each line of packaging/dependencies.txt."""
    lines = (SOURCE / "packaging/dependencies.txt").read_text(encoding="utf-8").splitlines()
    return [(line.split(maxsplit=1)[0], re.split(r"\s*\|\s*", line.split(maxsplit=1)[1].strip()))
            for line in lines if line and not line.startswith("#")]


def control_field(text: str, name: str) -> str:
    """A field of a Debian control file, its lines joined."""
    found = re.search(rf"^{name}:(.*(?:\n[ \t].*)*)", text, re.MULTILINE)
    assert found, f"no field {name}"
    return " ".join(found[1].split())


def package_names(relations: str) -> list[list[str]]:
    """Alternatives of each relation in a field such as Depends, without versions."""
    return [[re.sub(r"[\s(:].*", "", alternative.strip()) for alternative in relation.split("|")]
            for relation in relations.split(",") if relation.strip()]


def package_version() -> str:
    return run("dpkg-parsechangelog", "-l", SOURCE / "packaging/debian/changelog", "-S", "Version").strip()


def architecture() -> str:
    return run("dpkg", "--print-architecture").strip()


def libraries_of(programs: Sequence[Path]) -> list[Path]:
    """The shared libraries, loader included, that programs are linked to."""
    found: set[Path] = set()
    for program in programs:
        for line in run("ldd", program).splitlines():
            if match := re.search(r"(/\S+) \(0x", line):
                found.add(Path(match[1]))
    return sorted(found)
