# SPDX-License-Identifier: Apache-2.0
"""The files that are installed beside the programs."""

import re
import subprocess
from pathlib import Path

from lib.tree import SOURCE, package_version

UNIT = SOURCE / "systemd/sallyportd.service"
# systemd-analyze counts in tenths; the design asks for 2.0.
EXPOSURE_MAX = 20


def test_the_service_is_hardened() -> None:
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}",
                           "--no-pager", UNIT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_units_say_nothing_that_systemd_does_not_know(tmp_path: Path) -> None:
    copies = []
    for unit in sorted(UNIT.parent.glob("*.service")):
        # What it starts is not installed here, and its manual neither: anything that can be run will do.
        text = re.sub(r"/usr/s?bin/sallyport\w*", "/usr/bin/true", unit.read_text(encoding="utf-8"))
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *copies], capture_output=True, text=True,
                          timeout=60, check=False)
    about_them = [line for line in (done.stdout + done.stderr).splitlines() if "sallyport" in line]
    assert done.returncode == 0 and about_them == [], done.stderr


def test_package_and_build_have_one_version() -> None:
    cmake = (SOURCE / "CMakeLists.txt").read_text(encoding="utf-8")
    version = re.search(r"project\(sallyport VERSION (\S+)", cmake)
    assert version and package_version() == version[1]


def test_the_package_removes_the_routes_of_the_agent() -> None:
    header = (SOURCE / "agent/netlink/netlink.h").read_text(encoding="utf-8")
    number = re.search(r"route_protocol = (\d+);", header)
    script = (SOURCE / "packaging/debian/sallyport.prerm").read_text(encoding="utf-8")
    assert number and f"ip -4 route flush proto {number[1]} " in script
