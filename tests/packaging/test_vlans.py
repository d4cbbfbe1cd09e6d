# SPDX-License-Identifier: Apache-2.0
"""VPCs that overlap, separated by VLAN tag and then by VRF as well, on Debian's stock kernels: real 8021q, real vrf."""

from pathlib import Path

from lib.debian import Kernel
from lib.guest import gateway_in_guest


def test_vpcs_that_overlap_by_tag_and_by_vrf(stock_kernel: Kernel, tmp_path: Path) -> None:
    output = gateway_in_guest(stock_kernel, tmp_path, "vlans", modules=["veth", "8021q", "vrf"], timeout=550,
                              programs=[Path("/usr/bin/perl")], helpers=["peer.pl"])
    for stage in ("by tag", "by VRF"):
        assert f"== {stage}: both VPCs have their own" in output
        assert f"== {stage}: without the agent, too, and with the next one" in output
    assert "== a VPC alone in a VRF has its own, too" in output
