# SPDX-License-Identifier: Apache-2.0
"""Debian's stock kernels accept the programs, and the gateway works on them."""

import re
from pathlib import Path

from lib.debian import Kernel
from lib.guest import IP, gateway_in_guest, run_in_guest
from lib.tree import PROGRAMS


def test_packets_through_the_programs(stock_kernel: Kernel, tmp_path: Path) -> None:
    output = run_in_guest(stock_kernel, tmp_path, modules=["veth"], timeout=600,
                          programs=[PROGRAMS / "packet_tests", IP, Path("/usr/sbin/sysctl")],
                          script="export SALLYPORT_LANES_FRAMES=1000  # of many: the emulator is slow\n"
                                 "exec packet_tests --gtest_brief=1 --gtest_color=no\n")
    passed = re.search(r"\[  PASSED  \] (\d+) tests", output)
    assert passed and int(passed[1]) > 10, output
    assert "SKIPPED" not in output


def test_a_gateway_for_real_clients(stock_kernel: Kernel, tmp_path: Path) -> None:
    gateway_in_guest(stock_kernel, tmp_path, "gateway", modules=["veth"], timeout=300)
