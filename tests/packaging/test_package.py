# SPDX-License-Identifier: Apache-2.0
"""The Debian package: it can be built from a clean copy, and what it would do to a machine."""

import os
import re
import subprocess
from pathlib import Path

from lib.tree import PACKAGE, SOURCE, control_field, run


def test_it_builds_and_lintian_finds_no_error() -> None:
    before = run("git", "-C", SOURCE, "status", "--porcelain") if (SOURCE / ".git").exists() else ""
    output = run(SOURCE / "dev", "package", timeout=1100)
    warnings = re.findall(r"^[EW]: .*", output, re.MULTILINE)
    assert warnings == []
    if before or (SOURCE / ".git").exists():
        assert run("git", "-C", SOURCE, "status", "--porcelain") == before


def test_it_holds_what_is_needed(debian_package: Path) -> None:
    names = {line.split()[5].removeprefix(".") for line in run("dpkg-deb", "--contents", debian_package).splitlines()}
    assert names >= {
        "/usr/sbin/sallyportd", "/usr/bin/sallyport", "/lib/systemd/system/sallyportd.service",
        "/lib/systemd/system/sallyport.service", "/lib/systemd/system/sallyport-pins.service",
        "/usr/lib/sysusers.d/sallyport.conf",
        "/etc/sallyport/", "/etc/sallyport/sallyport.d/",
        "/usr/share/man/man8/sallyportd.8.gz", "/usr/share/man/man1/sallyport.1.gz",
        "/usr/share/man/man5/sallyport.yaml.5.gz",
        "/usr/share/bash-completion/completions/sallyport",
        "/usr/share/doc/sallyport/examples/sallyport.yaml", "/usr/share/doc/sallyport/examples/minimal.yaml",
        "/usr/share/doc/sallyport/examples/prometheus-rules.yml",
        "/usr/share/doc/sallyport/examples/grafana-dashboard.json"}
    # The bytecode is in the programs.
    assert not [name for name in names if name.endswith(".o")]


def test_it_brings_no_configuration(debian_package: Path) -> None:
    assert run("dpkg-deb", "--info", debian_package).count("conffiles") == 0


def test_it_depends_on_libraries_and_what_its_scripts_run(debian_package: Path) -> None:
    depends = control_field(run("dpkg-deb", "--field", debian_package), "Depends")
    others = [name for name in re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends) if not name.startswith("lib")]
    assert others == ["iproute2", "systemd"], depends


def test_installing_starts_and_enables_nothing(debian_package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--control", debian_package, tmp_path)
    script = (tmp_path / "postinst").read_text(encoding="utf-8")
    assert "try-restart" in script
    assert not re.search(r"deb-systemd-invoke start|deb-systemd-helper enable '?sallyportd", script) or \
        "was-enabled" in script


def test_its_manuals_and_completion_are_without_faults(debian_package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", debian_package, tmp_path)
    for page in sorted((tmp_path / "usr/share/man").rglob("*.gz")):
        done = subprocess.run(["man", "--warnings", "--local-file", page], capture_output=True, text=True, timeout=60,
                              check=True, env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
        assert done.stderr == "" and "SEE ALSO" in done.stdout, page
    completion = tmp_path / "usr/share/bash-completion/completions/sallyport"
    assert "sallyport" in run("bash", "-c", f". /usr/share/bash-completion/bash_completion; . {completion}; "
                              "complete -p sallyport")


def test_programs_know_no_folder_of_the_build(debian_package: Path, tmp_path: Path) -> None:
    run("dpkg-deb", "--extract", debian_package, tmp_path)
    for program in ("usr/sbin/sallyportd", "usr/bin/sallyport"):
        assert str(PACKAGE).encode() not in (tmp_path / program).read_bytes(), program
