# SPDX-License-Identifier: Apache-2.0
"""Debian from the mirror that this machine uses already: a root to boot, kernels to start."""

import fcntl
import hashlib
import lzma
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .tree import BOOT, run

RELEASE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class NotAvailable(Exception):
    """The mirror has no such thing."""


@contextmanager
def _alone() -> Iterator[None]:
    """One at a time makes things under BOOT."""
    BOOT.mkdir(parents=True, exist_ok=True)
    with open(BOOT / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mirror() -> str:
    """Address of the Debian archive that apt is configured with."""
    for line in run("apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)",
                    "Created-By: Packages").splitlines():
        codename, component, address = line.split(maxsplit=2)
        if (codename, component) == (RELEASE, "main"):
            return address
    raise AssertionError(f"apt knows no archive of {RELEASE}: see /etc/apt/sources.list and run apt-get update")


def root_with(packages: Sequence[str]) -> Path:
    """A folder with a small Debian that has these packages and what they need. Made once; not to be written to."""
    names = ",".join(sorted({"systemd", "systemd-sysv", "dbus", *packages}))
    root = BOOT / f"root-{hashlib.sha256(names.encode()).hexdigest()[:12]}"
    with _alone():
        if not root.exists():
            making = root.with_name(root.name + ".making")
            shutil.rmtree(making, ignore_errors=True)
            # In a mount namespace of its own, so that its mounts cannot stay behind. What a crash would leave of
            # it is made anew, so nothing need be flushed to disk.
            run("unshare", "--mount", "env", "DPKG_FORCE=unsafe-io", "debootstrap", "--variant=minbase", f"--keyring={KEYRING}",
                f"--include={names}", RELEASE, making, mirror(), timeout=900)
            shutil.rmtree(making / "var/cache/apt/archives", ignore_errors=True)
            making.rename(root)
    return root


@dataclass(frozen=True)
class Kernel:
    """A stock kernel, unpacked and not installed."""

    version: str   # as uname -r says
    image: Path
    modules: Path  # lib/modules/VERSION

    def module(self, name: str) -> list[tuple[str, bytes]]:
        """Names and contents of a module and of those that it depends on, in the order of loading."""
        found = [path for path in self.modules.rglob(f"{name}.ko*")]
        if not found:
            raise AssertionError(f"kernel {self.version} has no module {name}")
        content = found[0].read_bytes()
        if found[0].suffix == ".xz":
            content = lzma.decompress(content)
        depends = re.search(rb"\0depends=([^\0]*)", b"\0" + content)
        modules: list[tuple[str, bytes]] = []
        for needed in (depends[1].decode().split(",") if depends and depends[1] else []):
            modules += self.module(needed)
        return [*modules, (f"{name}.ko", content)]


def kernel(suite: str) -> Kernel:
    """The cloud kernel of a suite, such as "bookworm" or "bookworm-backports". Fetched once."""
    place = BOOT / f"kernel-{suite}"
    with _alone():
        if not place.exists():
            making = place.with_name(place.name + ".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            run("dpkg-deb", "--extract", _download_kernel(suite, making), making)
            making.rename(place)
    image = next(place.glob("boot/vmlinuz-*"))
    version = image.name.removeprefix("vmlinuz-")
    return Kernel(version, image, next(place.glob(f"**/lib/modules/{version}")))


def _download_kernel(suite: str, place: Path) -> Path:
    """Downloads with package lists of its own: those of the machine stay as they are."""
    apt = place / "apt"
    (apt / "lists/partial").mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n", encoding="ascii")
    options = ["-o", f"Dir::Etc::SourceList={apt}/sources.list", "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={apt}/lists", "-o", f"Dir::Cache={apt}", "-o", "APT::Sandbox::User=root",
               "-o", "Dir::State::Status=/dev/null"]
    try:
        run("apt-get", *options, "-q", "-o", "APT::Update::Error-Mode=any", "update", timeout=120)
    except AssertionError as error:
        raise NotAvailable(f"no package lists of {suite}: {error}") from error
    architecture = "arm64" if os.uname().machine == "aarch64" else "amd64"
    depends = run("apt-cache", *options, "depends", f"linux-image-cloud-{architecture}")
    match = re.search(r"Depends: (linux-image-[0-9]\S*)", depends)
    if not match:
        raise NotAvailable(f"no kernel in {suite}")
    run("apt-get", *options, "-q", "download", match[1], timeout=600, cwd=place)
    return next(place.glob("linux-image-*.deb"))
