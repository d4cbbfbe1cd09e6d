# SPDX-License-Identifier: Apache-2.0
"""Room for the kernel's connection tracking, whose limits belong to the whole machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SYSCTL = Path("/proc/sys/net/netfilter")
_LIMITS = ("nf_conntrack_buckets", "nf_conntrack_max")


class Failed(Exception):
    """The limits were changed and could not be put back."""


def _read(name: str) -> int:
    return int((_SYSCTL / name).read_text(encoding="ascii"))


def _write(name: str, value: int) -> None:
    (_SYSCTL / name).write_text(f"{value}\n", encoding="ascii")


@contextmanager
def room_for(flows: int) -> Iterator[dict[str, Any]]:
    """Lets conntrack hold so many flows, and puts its limits back in the end, whatever happens.

    Gives what was reached: `flows` that fit, and `raised`. The hash table gets as many buckets as the limit
    is, which is what the kernel chooses itself. Limits are only ever raised, and to no more than is needed.
    """
    if not _SYSCTL.exists():
        yield {"flows": 0, "raised": False, "reason": "this kernel has no connection tracking"}
        return
    before = {name: _read(name) for name in _LIMITS}
    wanted = 1 << (flows + flows // 50 - 1).bit_length()
    reason = ""
    try:
        try:
            for name in _LIMITS:
                if before[name] < wanted:
                    _write(name, wanted)
        except OSError as error:
            reason = f"its limits cannot be raised here: {error.strerror}"
        limit = _read("nf_conntrack_max")
        yield {"flows": min(flows, limit * 49 // 50), "raised": not reason, "reason": reason, "max": limit,
               "buckets": _read("nf_conntrack_buckets")}
    finally:
        # Twice: writing one of them may change the other.
        for name in _LIMITS * 2:
            if _read(name) != before[name]:
                _write(name, before[name])
        left = {name: _read(name) for name in _LIMITS if _read(name) != before[name]}
        if left:
            raise Failed(f"these limits could not be put back: {left}, they were {before}")
