# SPDX-License-Identifier: Apache-2.0
"""A kernel in an emulator with a small file system in memory, which runs one script and powers off."""

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .debian import Kernel
from .tree import PROGRAMS, SOURCE, libraries_of

_APPLETS = ["cat", "cmp", "echo", "grep", "httpd", "insmod", "kill", "ls", "mkdir", "mkfifo", "mount", "nc", "ping",
            "poweroff", "rm", "sed", "sleep", "sort", "tail", "tr"]
IP = Path("/usr/sbin/ip")
_SCRIPTS = SOURCE / "tests/packaging/guest"
_SHELL = Path("/bin/dash")  # busybox's own shell would put its applets in front of real programs

# Its output is what the guest says; the line END tells the exit status of the script.
_INIT = """#!/bin/sh
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
mount -t tmpfs none /run
mkdir -p /run/netns
exec </dev/null >/dev/console 2>&1
for module in $(cat /modules/order); do insmod /modules/$module; done
sh /script
echo "END $?"
poweroff -f
"""


class _Archive:
    """A cpio archive in the "newc" form, which the kernel unpacks as its first file system."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._number = 0
        self._known: set[str] = set()

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = [self._number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._bytes.write(header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4))

    def folder(self, name: str) -> None:
        name = name.strip("/")
        if not name or name in self._known:
            return
        self.folder(str(Path(name).parent) if "/" in name else "")
        self._known.add(name)
        self._entry(name, 0o040755, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        name = name.strip("/")
        if name in self._known:
            return
        self.folder(str(Path(name).parent) if "/" in name else "")
        self._known.add(name)
        self._entry(name, 0o100000 | mode, content)

    def link(self, name: str, target: str) -> None:
        name = name.strip("/")
        self.folder(str(Path(name).parent))
        self._known.add(name)
        self._entry(name, 0o120777, target.encode())

    def close(self) -> bytes:
        self._entry("TRAILER!!!", 0, b"")
        return self._bytes.getvalue()


def _initramfs(kernel: Kernel, modules: Sequence[str], programs: Sequence[Path], files: dict[str, bytes],
               script: str) -> bytes:
    archive = _Archive()
    for folder in ("proc", "sys", "dev", "tmp", "run", "etc", "bin", "var/lib", "modules"):
        archive.folder(folder)
    archive.file("bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
    for applet in _APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    archive.link("bin/sh", _SHELL.name)
    order: list[str] = []
    for module in modules:
        for name, content in kernel.module(module):
            if name not in order:
                order.append(name)
                archive.file(f"modules/{name}", content)
    archive.file("modules/order", "\n".join(order).encode())
    programs = [_SHELL, *programs]
    for program in programs:
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    for library in libraries_of(programs):
        archive.file(str(library), library.read_bytes(), 0o755)
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
    archive.file("etc/group", b"root:x:0:\n")
    for name, content in files.items():
        archive.file(name, content)
    archive.file("script", script.encode())
    archive.file("init", _INIT.encode(), 0o755)
    return archive.close()


def run_in_guest(kernel: Kernel, work: Path, *, script: str, modules: Sequence[str] = (),
                 programs: Sequence[Path] = (), files: dict[str, bytes] | None = None, memory: int = 1024,
                 processors: int = 2, emulator: Sequence[str] = (), timeout: float = 180.0) -> str:
    """Boots `kernel`, runs `script` with `programs` in its path, and gives what was written to the console.

    The script must end with success. `work` is a folder for the file system's image. `emulator`:
    more arguments of the emulator.
    """
    image = work / "initramfs"
    image.write_bytes(_initramfs(kernel, modules, programs, files or {}, script))
    # Without cmpxchg16b, which this emulator gets wrong: it leaves garbage in the flags.
    arguments = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,cx16=off", "-smp", str(processors),
                 "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
                 "-kernel", str(kernel.image), "-initrd", str(image),
                 "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on", *emulator]
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
        output, status = done.stdout + done.stderr, f"the emulator ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output, status = error.stdout or b"", f"not at its end after {timeout:g} s"
    finally:
        image.unlink()
    text = output.decode(errors="replace").replace("\r\n", "\n")
    if "\nEND 0\n" not in text:
        raise AssertionError(f"kernel {kernel.version}: {status}; its console:\n{text[-8000:]}")
    return text


def gateway_in_guest(kernel: Kernel, work: Path, name: str, *, modules: Sequence[str], timeout: float,
                     programs: Sequence[Path] = (), helpers: Sequence[str] = ()) -> str:
    """Runs NAME.sh of the folder `guest` beside the agent, which is to be started with NAME.yaml."""
    files = {helper: (_SCRIPTS / helper).read_bytes() for helper in ("lib.sh", *helpers)}
    files["sallyport.yaml"] = (_SCRIPTS / f"{name}.yaml").read_bytes()
    output = run_in_guest(
        kernel, work, modules=modules, timeout=timeout, files=files,
        programs=[PROGRAMS / "sallyportd", PROGRAMS / "sallyport", IP, Path("/usr/sbin/ethtool"), *programs],
        script=(_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8"))
    assert f"kernel {kernel.version}" in output
    return output
