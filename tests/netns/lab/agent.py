# SPDX-License-Identifier: Apache-2.0
"""sallyportd and sallyport in the gateway's namespace."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from .core import LabError, Namespace, Process, eventually

Labels = frozenset[tuple[str, str]]
_SAMPLE = re.compile(r'^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def programs() -> Path:
    """Where the built programs are: build/bin of this source tree, unless the build says otherwise."""
    return Path(os.environ.get("SALLYPORT_PROGRAMS") or Path(__file__).resolve().parents[3] / "build" / "bin")


class Metrics(dict[tuple[str, Labels], float]):
    """One scrape. `text` is what came over the wire."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        for line in text.splitlines():
            if line and not line.startswith("#") and (sample := _SAMPLE.match(line)):
                labels = frozenset(_LABEL.findall(sample["labels"] or ""))
                self[sample["name"], labels] = float(sample["value"])

    def value(self, name: str, **labels: str) -> float:
        """The sample with exactly these labels; 0 if there is none."""
        return self.get((name, frozenset(labels.items())), 0.0)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums of a metric by one of its labels."""
        sums: dict[str, float] = {}
        for (metric, labels), value in self.items():
            if metric == name:
                key = dict(labels).get(label, "")
                sums[key] = sums.get(key, 0.0) + value
        return sums

    def names(self) -> set[str]:
        return {name for name, _ in self}


class CommandFailed(LabError):
    def __init__(self, arguments: list[str], done: "subprocess.CompletedProcess[str]"):
        super().__init__(f"sallyport {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr


class Agent:
    """One installation of the gateway's programs: its configuration file, its state and its process."""

    metrics_port = 9710

    def __init__(self, namespace: Namespace, configuration: dict[str, Any] | str, *, name: str = ""):
        self.namespace = namespace
        self.lab = namespace.lab
        name = name or self.lab.unused_name("sallyport")
        self.name = name
        self.state_dir = self.lab.path(f"{name}/state")
        self.run_dir = self.lab.path(f"{name}/run")
        self.pin_dir = f"{self.lab.bpf}/{name}"
        for directory in (self.state_dir, self.run_dir):
            os.makedirs(directory, exist_ok=True)
        self.config_path = self.lab.path(f"{name}/sallyport.yaml")
        self.configure(configuration)
        self.program = programs() / "sallyportd"
        self.client = programs() / "sallyport"
        self.process: Process | None = None
        self._notifications: socket.socket | None = None
        self.notified: list[str] = []

    def __enter__(self) -> "Agent":
        return self.start() if self.process is None else self

    def __exit__(self, *_: object) -> None:
        """Ends the process and takes the data plane away, whatever state they are in."""
        if self.process and self.process.running():
            self.process.stop(signal.SIGKILL)
        for link in self.namespace.ip_json("link show"):
            if link.get("xdp"):
                self.namespace.run("ip", "link", "set", "dev", link["ifname"], "xdp", "off", check=False)
        if os.path.isdir(self.pin_dir):
            _remove_pins(self.pin_dir)
        if self._notifications:
            self._notifications.close()

    @property
    def api_socket(self) -> str:
        return f"{self.run_dir}/api.sock"

    def configure(self, configuration: dict[str, Any] | str) -> None:
        """Writes the configuration file; nobody is told."""
        self.configuration = configuration
        text = configuration if isinstance(configuration, str) else as_yaml(configuration)
        Path(self.config_path).write_text(text, encoding="utf-8")

    # The process

    def arguments(self) -> list[str]:
        return [str(self.program), "--config", self.config_path, "--state-dir", self.state_dir,
                "--run-dir", self.run_dir, "--pin-dir", self.pin_dir]

    def start(self, *extra: str, timeout: float = 40.0, environment: dict[str, str] | None = None) -> "Agent":
        """Starts the agent and returns when it says that it is ready, as systemd would."""
        self.launch(*extra, environment=environment)
        try:
            self.await_notification("READY=1", timeout)
        except LabError:
            raise LabError(f"sallyportd does not get ready:\n{self.log[-6000:]}") from None
        return self

    def launch(self, *extra: str, environment: dict[str, str] | None = None) -> Process:
        """Starts the agent and does not wait."""
        if self._notifications is None:
            path = self.lab.path(f"notify-{self.name}")
            self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._notifications.bind(path)
        self.receive_notifications()
        self.notified.clear()
        self.process = self.namespace.start(
            *self.arguments(), *extra,
            environment={"NOTIFY_SOCKET": self._notifications.getsockname(), **(environment or {})})
        return self.process

    def receive_notifications(self) -> list[str]:
        """Lines that the agent has sent to its service manager since it was started."""
        return self._receive_notifications(wait=0.05)

    def _receive_notifications(self, wait: float) -> list[str]:
        while self._notifications and select.select([self._notifications], [], [], wait)[0]:
            with contextlib.suppress(BlockingIOError):  # another thread has it
                received = self._notifications.recv(8192, socket.MSG_DONTWAIT)
                self.notified += received.decode().split("\n")
        return self.notified

    def await_notification(self, wanted: str, timeout: float = 10.0) -> None:
        end = time.monotonic() + timeout
        while wanted not in self.receive_notifications():
            if self.process and not self.process.running():
                raise LabError(f"sallyportd ended with {self.process.wait()}:\n{self.log[-6000:]}")
            if time.monotonic() > end:
                raise LabError(f"no {wanted} within {timeout:g} s, only {self.notified}:\n{self.log[-6000:]}")

    @property
    def log(self) -> str:
        return self.process.output if self.process else ""

    def kill(self) -> None:
        """kill -9."""
        assert self.process
        self.process.stop(signal.SIGKILL)

    def stop(self, timeout: float = 10.0) -> int:
        """As systemctl stop does; gives the exit status."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def detach_and_stop(self) -> None:
        """Forwarding ends, all flows are gone, and then the agent ends too."""
        self.text("detach")
        self.stop()

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    # The command line

    def run(self, *arguments: object, timeout: float = 30.0, input: str | None = None,  # noqa: A002
            text: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs `sallyport` whatever its exit status."""
        del text
        # A manager reads at once; an agent whose messages nobody reads waits with the eleventh.
        self._receive_notifications(wait=0)
        return self.namespace.run(self.client, "--socket", self.api_socket, *arguments, check=False,
                                  timeout=timeout, input=input)

    def text(self, *arguments: object, code: int = 0, timeout: float = 30.0) -> str:
        done = self.run(*arguments, timeout=timeout)
        if done.returncode != code:
            raise CommandFailed([str(argument) for argument in arguments], done)
        return done.stdout

    def json(self, *arguments: object, code: int = 0, timeout: float = 30.0) -> Any:
        return json.loads(self.text("-o", "json", *arguments, code=code, timeout=timeout))

    def status(self) -> dict[str, Any]:
        return self.json("status")

    def flow_count(self, *filters: object) -> int:
        return self.json("flows", "--count", *filters)["count"]

    def flows(self, *filters: object) -> list[dict[str, Any]]:
        return self.json("flows", *filters)["flows"]

    def reload(self, configuration: dict[str, Any] | str | None = None) -> Any:
        if configuration is not None:
            self.configure(configuration)
        return self.json("reload")

    def drops(self) -> dict[str, int]:
        """Drops by reason, only those that happened."""
        return {drop["reason"]: drop["count"] for drop in self.status()["drops"]}

    def devices(self) -> dict[str, dict[str, Any]]:
        return {device["device"]: device for device in self.status()["devices"]}

    # The API and the metrics

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """Speaks to the API over its socket. Gives status, header fields and what the body says."""
        self._receive_notifications(wait=0)  # as run() does
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(40)
        try:
            connection.sock.connect(self.api_socket)
            connection.request(method, path, None if body is None else json.dumps(body),
                               {} if body is None else {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            kind = answer.headers.get("Content-Type", "")
            return (answer.status, dict(answer.headers.items()),
                    json.loads(content) if "json" in kind and content else content)
        finally:
            connection.close()

    def scrape(self) -> Metrics:
        return Metrics(self.scrape_text())

    def scrape_text(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port)
        connection.sock = self.namespace.socket()
        try:
            connection.sock.connect(("127.0.0.1", self.metrics_port))
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            if answer.status != 200:
                raise LabError(f"the scrape was answered with {answer.status}")
            return answer.read().decode()
        finally:
            connection.close()

    # What must always be true

    def check_accounts(self) -> dict[str, Any]:
        """Every packet that was received is accounted for once, and every drop has a reason.

        Counters are read one after the other, so while traffic flows they may be a packet apart: what is asked
        for is a moment at which they agree.
        """
        return eventually(self._balanced_status, 10, 0.1, "the accounts balance")

    def _balanced_status(self) -> dict[str, Any]:
        status = self.status()
        dropped = 0
        for device in status["devices"]:
            received = device["received_packets"]
            accounted = sum(device[name] for name in ("forwarded", "passed", "dropped", "answered", "held"))
            assert received == accounted, f"{device['device']}: {received} received, {accounted} accounted for: {device}"
            dropped += device["dropped"]
        reasons = sum(drop["count"] for drop in status["drops"])
        assert dropped == reasons, f"{dropped} dropped, {reasons} with a reason: {status['drops']}"
        return status


def as_yaml(configuration: dict[str, Any]) -> str:
    return yaml.safe_dump(configuration, sort_keys=False, default_flow_style=None, width=110)


def _remove_pins(directory: str) -> None:
    for parent, directories, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(f"{parent}/{name}")
        for name in directories:
            os.rmdir(f"{parent}/{name}")
    os.rmdir(directory)
