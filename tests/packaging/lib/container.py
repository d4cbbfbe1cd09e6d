# SPDX-License-Identifier: Apache-2.0
"""A booted Debian in the place of a namespace of the laboratory."""

import os
import shlex
import subprocess
from pathlib import Path

from lab import Lab, Namespace, eventually, isolation
from lab.core import Process


class Container:
    """Boots `root`, which stays as it is: what is written goes to memory. It shares the network of `namespace`.

    It is not registered with systemd-machined, because a build machine need not run one: commands get in by
    nsenter, through the namespaces of its first process.
    """

    def __init__(self, lab: Lab, namespace: Namespace, root: Path, files: dict[str, Path]):
        # What systemd-nspawn notes down there ends with the test run.
        os.makedirs("/run/systemd/nspawn", exist_ok=True)
        isolation.mount("tmpfs", "/run/systemd/nspawn", "tmpfs")
        bound = [f"--bind-ro={source}:{target}" for target, source in files.items()]
        self._process: Process = lab.start(
            ["systemd-nspawn", "--quiet", "--boot", "--directory", str(root), "--volatile=overlay",
             "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe", "--resolv-conf=off",
             f"--network-namespace-path=/run/netns/{namespace.name}", "--capability=all",
             "--system-call-filter=bpf perf_event_open", *bound],
            "container", environment={"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"})
        self._leader = eventually(self._find_leader, 20, what="the container starts")
        eventually(self._booted, 60, what="the container boots")

    def _find_leader(self) -> int:
        """The container's first process. There are short-lived children before it."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        for child in children.split():
            if Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip() == "systemd":
                return int(child)
        return 0

    def _booted(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

    def command(self, *arguments: object) -> list[str]:
        return ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--net", "--pid",
                "--root", "--wd", *(str(argument) for argument in arguments)]

    def call(self, *arguments: object, timeout: float = 60.0) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, errors="replace", check=False,
                              stdin=subprocess.DEVNULL, timeout=timeout,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                                   "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "",
                                   "TERM": os.environ.get("TERM", "dumb")})

    def run(self, *arguments: object, timeout: float = 60.0, check: bool = True) -> str:
        done = self.call(*arguments, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{shlex.join(str(argument) for argument in arguments)} ended with "
                                 f"{done.returncode}:\n{done.stdout}{done.stderr}\n{self.journal()}")
        return done.stdout

    def journal(self) -> str:
        return self.call("journalctl", "--no-pager", "-n", "60", "-o", "cat", "-u", "sallyportd").stdout

    def write(self, path: str, text: str) -> None:
        subprocess.run(self.command("tee", path), input=text, text=True, stdout=subprocess.DEVNULL, timeout=20,
                       check=True)

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def power_off(self) -> None:
        self._process.stop(timeout=20)
