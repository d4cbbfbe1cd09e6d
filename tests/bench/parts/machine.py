# SPDX-License-Identifier: Apache-2.0
"""What it was measured on."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from .tree import SOURCE


def _commit() -> str:
    done = subprocess.run(["git", "-C", str(SOURCE), "describe", "--always", "--dirty"], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() or "unknown"


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else "unknown"


def describe(processor: int) -> dict[str, Any]:
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    memory = Path("/proc/meminfo").read_text(encoding="ascii")
    jit = Path("/proc/sys/net/core/bpf_jit_enable")
    return {"commit": _commit(), "kernel": os.uname().release, "cpu": _first(r"^model name\s*:(.*)", cpu),
            "cache": _first(r"^cache size\s*:(.*)", cpu), "hypervisor": "hypervisor" in cpu,
            "processors": os.cpu_count(), "measured_on_processor": processor,
            "memory_gib": round(int(_first(r"^MemTotal:\s*(\d+)", memory)) / 1024 ** 2, 1),
            "bpf_jit": jit.read_text(encoding="ascii").strip() if jit.exists() else "unknown",
            "load_at_start": os.getloadavg()[0]}
