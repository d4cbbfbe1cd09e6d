# SPDX-License-Identifier: Apache-2.0
"""Debian's stock kernels accept the programs, and the gateway works on them."""

import re
from pathlib import Path

import pytest

from lib.debian import Kernel, NotAvailable, kernel
from lib.guest import run_in_guest
from lib.tree import PROGRAMS, SOURCE

IP = Path("/usr/sbin/ip")


@pytest.fixture(scope="module", params=["bookworm", "bookworm-backports"])
def stock_kernel(request: pytest.FixtureRequest) -> Kernel:
    """The oldest kernel that is supported, and a newer one where the mirror has it."""
    try:
        return kernel(request.param)
    except NotAvailable as reason:
        if request.param == "bookworm":
            raise
        pytest.skip(f"NOT TESTED on the kernel of {request.param}: {reason}")


def test_packets_through_the_programs(stock_kernel: Kernel, tmp_path: Path) -> None:
    output = run_in_guest(stock_kernel, tmp_path, modules=["veth"], timeout=600,
                          programs=[PROGRAMS / "packet_tests", IP, Path("/usr/sbin/sysctl")],
                          script="export SALLYPORT_LANES_FRAMES=1000  # of many: the emulator is slow\n"
                                 "exec packet_tests --gtest_brief=1 --gtest_color=no\n")
    passed = re.search(r"\[  PASSED  \] (\d+) tests", output)
    assert passed and int(passed[1]) > 10, output
    assert "SKIPPED" not in output


def test_a_gateway_for_real_clients(stock_kernel: Kernel, tmp_path: Path) -> None:
    output = run_in_guest(
        stock_kernel, tmp_path, modules=["veth"], timeout=300,
        programs=[PROGRAMS / "sallyportd", PROGRAMS / "sallyport", IP, Path("/usr/sbin/ethtool")],
        files={"sallyport.yaml": (SOURCE / "tests/packaging/guest/sallyport.yaml").read_bytes()},
        script=(SOURCE / "tests/packaging/guest/gateway.sh").read_text(encoding="utf-8"))
    assert f"kernel {stock_kernel.version}" in output
