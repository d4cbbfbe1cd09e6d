# SPDX-License-Identifier: Apache-2.0
"""Instructions per packet on Debian's stock kernel.

The emulator advances the guest's clock by one nanosecond for each instruction, so what the guest takes for
nanoseconds are instructions, the same in every run.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .tree import PROGRAMS, SOURCE


class Failed(Exception):
    """The guest did not do its work."""


_SCRIPT = """
bench_program_cost --array-only --rounds=3 --packets=50000 1000 >/result 2>/errors || { cat /errors; exit 1; }
echo BEGIN RESULT
cat /result
echo END RESULT
"""


def count() -> dict[str, Any]:
    # The harness that boots kernels is that of tests/packaging.
    sys.path.append(str(SOURCE / "tests" / "packaging"))
    from lib.debian import kernel
    from lib.guest import run_in_guest

    try:
        stock = kernel("bookworm")
        with tempfile.TemporaryDirectory() as work:
            output = run_in_guest(
                stock, Path(work), modules=["veth"], script=_SCRIPT, timeout=600, memory=1024, processors=1,
                emulator=["-icount", "shift=0,sleep=off"],
                programs=[PROGRAMS / "bench_program_cost", Path("/usr/sbin/ip"), Path("/usr/sbin/sysctl")])
    except AssertionError as error:
        raise Failed(str(error)) from error
    text = output.split("BEGIN RESULT\n", 1)[1].split("END RESULT", 1)[0]
    figures = json.loads(text)[0]["array"]
    return {"kernel": stock.version, "date": time.strftime("%Y-%m-%d"), "flows": 1000, "out": figures["out_ns"],
            "in": figures["in_ns"], "new_flow": figures["new_flow_ns"], "empty_program": figures["driver_ns"]}
