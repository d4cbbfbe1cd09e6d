# SPDX-License-Identifier: Apache-2.0
"""Runs a function in a process, mount and PID namespace of its own, so that nothing can be left behind.

Network namespaces live as long as something holds them: a process, a socket or a mount. Here all mounts are
made in a private mount namespace and all processes in a private PID namespace whose first process is the test
run itself. When that one ends, however it ends, the kernel kills every other and all is gone: namespaces,
devices, XDP programs, pinned maps, files. There is nothing to reap and no name that could clash.
"""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
_PR_SET_PDEATHSIG = 1

NAMES = "/run/netns"             # where iproute2 keeps named namespaces
GROUND = "/run/sallyport-lab"    # where a lab keeps its files: a tmpfs that only this run sees


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{doing}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str | None, flags: int = 0) -> None:
    _check(_libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, None),
           f"mount {target}")


def unmount(target: str) -> None:
    _check(_libc.umount2(target.encode(), 2), f"unmount {target}")  # 2: MNT_DETACH


def isolated() -> bool:
    return os.getpid() == 1 and os.path.ismount(GROUND)


def run(function: Callable[[], int]) -> int:
    """Calls `function` in isolation and gives its exit status. SIGTERM and SIGINT end it in good order."""
    if os.geteuid() != 0:
        print("the network tests need root: they make network namespaces and load XDP programs", file=sys.stderr)
        return 1
    sys.stdout.flush()
    sys.stderr.flush()
    unshare(CLONE_NEWNS | CLONE_NEWPID)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(_first_process(function, parent))

    def pass_on(number: int, _frame: object) -> None:
        os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child as well
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _first_process(function: Callable[[], int], parent: int) -> int:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    del parent  # it is outside of this PID namespace; if it is gone already, so is the reader of our output

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        mount("proc", "/proc", "proc")
        for place in (NAMES, GROUND):
            os.makedirs(place, exist_ok=True)
            mount("tmpfs", place, "tmpfs")
        return int(function() or 0)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except BaseException:  # noqa: BLE001 - the last frame of a process of its own
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
