# SPDX-License-Identifier: Apache-2.0
"""Runs the programs that measure. Each prints JSON, and progress to stderr."""

import json
import subprocess
from typing import Any

from .tree import PROGRAMS


class Failed(Exception):
    """A round was not valid, or could not be made."""


def _run(program: str, *arguments: object) -> Any:
    command = [str(PROGRAMS / f"bench_{program}"), *(str(argument) for argument in arguments)]
    print(f"== {program} {' '.join(command[1:])}", flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{program} ended with {done.returncode}")
    return json.loads(done.stdout)


def program_cost(processor: int, quick: bool, rounds: int) -> list[dict[str, Any]]:
    """The programs in BPF_PROG_RUN. The largest table takes longest to fill, and its figures vary least."""
    results = _run("program_cost", f"--rounds={rounds}", f"--processor={processor}",
                   *([1_000, 100_000] if quick else [1_000, 100_000, 1_000_000]))
    if not quick:
        results += _run("program_cost", f"--rounds={min(rounds, 3)}", f"--processor={processor}", 10_000_000)
    return results


def path_cost(processor: int, sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """Live frames through a network, for Sallyport and for what it is compared with."""
    return _run("path_cost", f"--rounds={rounds}", f"--processor={processor}", *sizes)


def upkeep(processor: int, flows: int) -> dict[str, Any]:
    """Memory and sweeps."""
    return _run("upkeep", flows, processor)
