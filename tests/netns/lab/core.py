# SPDX-License-Identifier: Apache-2.0
"""Namespaces, links and processes: what a laboratory is made of. Everything belongs to a Lab and ends with it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from . import isolation, xdp_pass

T = TypeVar("T")


class LabError(AssertionError):
    """Something of the laboratory, or started in it, did not do what it was asked to."""


def eventually(condition: Callable[[], T], timeout: float = 5.0, interval: float = 0.05, what: str = "") -> T:
    """Calls `condition` until it gives something true, and gives that. The last failure is in the error."""
    end = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            last = condition()
            if last:
                return last  # type: ignore[return-value]
        except (AssertionError, OSError, LookupError, ValueError) as error:
            last = error
        if time.monotonic() > end:
            raise LabError(f"not within {timeout:g} s: {what or condition}; at the end: {last!r}")
        time.sleep(interval)


class Process:
    """A program that runs beside the test, its output in a file."""

    def __init__(self, arguments: Sequence[str], log: str, environment: dict[str, str] | None = None,
                 stdin: Any = subprocess.DEVNULL, stdout: Any = None):
        self.arguments = list(arguments)
        self.log = log
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(self.arguments, stdin=stdin, stdout=stdout or output, stderr=output,
                                          env=environment, start_new_session=True)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def running(self) -> bool:
        return self.popen.poll() is None

    def send_signal(self, number: int) -> None:
        if self.running():
            self.popen.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.arguments} did not end within {timeout:g} s:\n{self.output[-3000:]}") from None

    def finish(self, timeout: float = 30.0) -> str:
        """Waits for the end, which must be a success, and gives the output."""
        status = self.wait(timeout)
        if status != 0:
            raise LabError(f"{self.arguments} ended with {status}:\n{self.output[-3000:]}")
        return self.output

    def stop(self, number: int = signal.SIGTERM, timeout: float = 5.0) -> int:
        """Asks it to end; makes it end after `timeout`."""
        self.send_signal(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait(5)


class Namespace:
    """A network namespace: a host of the little world."""

    def __init__(self, lab: "Lab", role: str):
        self.lab = lab
        self.role = role
        self.name = lab.unused_name(role)
        _run(["ip", "netns", "add", self.name])
        self._fd = os.open(f"{isolation.NAMES}/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link set lo up")

    def close(self) -> None:
        os.close(self._fd)
        _run(["ip", "netns", "del", self.name], check=False)

    def ip(self, *commands: str) -> None:
        """Runs commands of ip(8), such as "addr add 10.0.0.1/24 dev eth0", in one go."""
        _run(["ip", "-n", self.name, "-batch", "-"], input="\n".join(commands) + "\n")

    def ip_json(self, command: str) -> list[dict[str, Any]]:
        return json.loads(_run(["ip", "-n", self.name, "-j", *command.split()]).stdout or "[]")

    def command(self, arguments: Iterable[object]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *(str(argument) for argument in arguments)]

    def run(self, *arguments: object, check: bool = True, timeout: float = 60.0,
            input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002 - as in subprocess
        return _run(self.command(arguments), check=check, timeout=timeout, input=input)

    def start(self, *arguments: object, environment: dict[str, str] | None = None, **other: Any) -> Process:
        return self.lab.start(self.command(arguments), f"{self.role}-{os.path.basename(str(arguments[0]))}",
                              environment, **other)

    def call(self, function: Callable[[], T]) -> T:
        """Calls `function` as if from within the namespace. Sockets that it opens stay there for good."""
        result: list[T] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                isolation.setns(self._fd, isolation.CLONE_NEWNET)
                result.append(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller below
                failure.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result[0]

    def socket(self, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET, protocol: int = 0,
               timeout: float | None = 10.0) -> socket.socket:
        made = self.call(lambda: socket.socket(family, kind, protocol))
        made.settimeout(timeout)
        return made

    def sysctl(self, *settings: str) -> None:
        """Sets what "net.ipv4.ip_forward=1" says."""
        def write() -> None:
            for setting in settings:
                name, value = setting.split("=")
                with open("/proc/sys/" + name.replace(".", "/"), "w", encoding="ascii") as file:
                    file.write(value)
        self.call(write)

    def read(self, path: str) -> str:
        """Reads a file of /proc/net or /proc/sys/net as this namespace sees it."""
        def read() -> str:
            # /proc/net is a link to the namespace of the process, not of the thread.
            with open(path.replace("/proc/net/", "/proc/thread-self/net/"), encoding="ascii") as file:
                return file.read()
        return self.call(read)

    def silence(self, *addresses: str) -> None:
        """The kernel goes on answering ARP for these addresses but takes no packet to them: the test answers."""
        rules = "".join(f"add rule ip lab prerouting ip daddr {address} drop\n" for address in addresses)
        self.run("nft", "-f", "-", input="add table ip lab\n"
                 "add chain ip lab prerouting { type filter hook prerouting priority raw; }\n" + rules)

    def mac(self, device: str) -> str:
        return self.ip_json(f"link show dev {device}")[0]["address"]

    def ifindex(self, device: str) -> int:
        return self.ip_json(f"link show dev {device}")[0]["ifindex"]

    def statistics(self, device: str) -> dict[str, Any]:
        return self.ip_json(f"-s link show dev {device}")[0]["stats64"]


class Lab:
    """Owns namespaces, processes and files. To be used in a with statement."""

    def __init__(self) -> None:
        if not isolation.isolated():
            raise LabError("a lab is made only in isolation: start tests with tests/netns/run")
        self.token = secrets.token_hex(3)
        self.work = f"{isolation.GROUND}/{self.token}"
        self._stack = ExitStack()
        self._processes: list[Process] = []
        self._logs = 0
        self._names = 0
        os.makedirs(f"{self.work}/bpf")
        isolation.mount("bpf", self.bpf, "bpf")
        self._stack.callback(isolation.unmount, self.bpf)
        self.xdp_pass = xdp_pass.load_and_pin(f"{self.bpf}/lab_pass")

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def bpf(self) -> str:
        """A bpffs of this lab's own."""
        return f"{self.work}/bpf"

    def close(self) -> None:
        for process in reversed(self._processes):
            process.stop(signal.SIGKILL)
        self._processes.clear()
        self._stack.close()

    def unused_name(self, role: str) -> str:
        self._names += 1
        return f"{role}-{self.token}-{self._names}"

    def namespace(self, role: str) -> Namespace:
        made = Namespace(self, role)
        self._stack.callback(made.close)
        return made

    def start(self, arguments: Sequence[str], label: str, environment: dict[str, str] | None = None,
              **other: Any) -> Process:
        self._logs += 1
        process = Process(arguments, f"{self.work}/{self._logs:03}-{label}.log",
                          {**os.environ, **(environment or {})}, **other)
        self._processes.append(process)
        return process

    def path(self, name: str) -> str:
        return f"{self.work}/{name}"

    def write(self, name: str, text: str | bytes) -> str:
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def link(self, left: Namespace, left_device: str, right: Namespace, right_device: str, *,
             mtu: int = 1500, receives_redirects: Iterable[str] = ()) -> None:
        """Joins two namespaces by a veth pair with all offloads off: what is captured is what was sent.

        A device that is named in `receives_redirects` gets an XDP program that passes everything. A veth
        takes frames that XDP redirects into its peer only if it polls, and the program makes it poll.
        """
        _run(["ip", "link", "add", left_device, "netns", left.name, "mtu", str(mtu), "type", "veth",
              "peer", "name", right_device, "netns", right.name, "mtu", str(mtu)])
        for namespace, device in ((left, left_device), (right, right_device)):
            _run(["ip", "netns", "exec", namespace.name, "ethtool", "-K", device, "tx", "off", "rx", "off",
                  "tso", "off", "gso", "off", "gro", "off"])
            up = [f"link set dev {device} up"]
            if device in receives_redirects:
                up.append(f"link set dev {device} xdpdrv pinned {self.xdp_pass}")
            namespace.ip(*up)


def _run(arguments: Sequence[str], *, check: bool = True, timeout: float = 60.0,
         input: str | None = None) -> subprocess.CompletedProcess[str]:  # noqa: A002
    try:
        done = subprocess.run(arguments, input=input, stdin=subprocess.DEVNULL if input is None else None,
                              capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"{list(arguments)} did not end within {timeout:g} s") from None
    if check and done.returncode != 0:
        raise LabError(f"{list(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done
