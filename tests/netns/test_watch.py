# SPDX-License-Identifier: Apache-2.0
"""Clients that wait for a change are told of it, and disturb nobody while they wait."""

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
from typing import Any

from lab import Agent, Routed, eventually
from lab.world import WEB

MANY = 500
MAY_WAIT = 128


class Waiter:
    """One request on a connection of its own, whose answer comes when it comes."""

    def __init__(self, agent: Agent, path: str):
        self.connection = http.client.HTTPConnection("localhost")
        self.connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.sock.settimeout(60)
        self.connection.sock.connect(agent.api_socket)
        self.connection.request("GET", path)

    def answer(self) -> tuple[int, dict[str, str], Any]:
        response = self.connection.getresponse()
        content = response.read()
        self.connection.close()
        return response.status, dict(response.headers.items()), json.loads(content) if content else None


def _vpc(name: str) -> dict[str, Any]:
    return {"name": name, "cidrs": ["10.9.0.0/16"]}


def _revision(agent: Agent) -> int:
    return int(agent.request("GET", "/v1/version")[1]["Sallyport-Revision"])


def test_a_list_is_followed(agent: Agent) -> None:
    """As a client does it: each answer says after which revision to ask next."""
    seen: list[set[str]] = []

    def follow() -> None:
        path = "/v1/vpcs"
        while not seen or "last" not in seen[-1]:
            status, headers, body = Waiter(agent, path).answer()
            assert status in (200, 304)
            if status == 200:
                seen.append({vpc["name"] for vpc in body["vpcs"]})
            path = f"/v1/vpcs?after_revision={headers['Sallyport-Revision']}&wait=5"

    follower = threading.Thread(target=follow)
    follower.start()
    eventually(lambda: seen, 5, 0.01)
    for name in ("one", "two", "last"):
        before = len(seen)
        begun = time.monotonic()
        assert agent.request("POST", "/v1/vpcs", _vpc(name))[0] == 201
        eventually(lambda before=before: len(seen) > before, 5, 0.005, f"{name} is told")
        assert time.monotonic() - begun < 2
    follower.join(10)
    assert seen[0] == {"main"} and seen[-1] == {"main", "one", "two", "last"}
    for name in ("one", "two", "last"):
        assert agent.request("DELETE", f"/v1/vpcs/{name}")[0] == 204


def test_curl_is_told_at_the_end_of_its_wait(world: Routed, agent: Agent) -> None:
    url = f"http://gateway/v1/status?after_revision={_revision(agent)}&wait=1"
    begun = time.monotonic()
    done = world.gateway.run("curl", "--silent", "--include", "--unix-socket", agent.api_socket, url)
    assert 0.9 < time.monotonic() - begun < 5
    assert done.stdout.startswith("HTTP/1.1 304 "), done.stdout
    assert f"Sallyport-Revision: {_revision(agent)}" in done.stdout


def test_many_that_wait_disturb_nobody(world: Routed, agent: Agent) -> None:
    revision = _revision(agent)
    path = f"/v1/vpcs?after_revision={revision}&wait=30"
    refused_before = agent.scrape().value("sallyport_api_waits_refused_total")
    waiters: list[Waiter] = []
    refused = 0
    for _ in range(MAY_WAIT):
        waiters.append(Waiter(agent, path))
    eventually(lambda: agent.scrape().value("sallyport_api_requests_waiting") == MAY_WAIT, 10, 0.05,
               "as many wait as may")
    for _ in range(MANY - MAY_WAIT):
        status, headers, problem = Waiter(agent, path).answer()
        assert (status, headers["Retry-After"]) == (503, "30"), problem
        refused += 1
    assert agent.scrape().value("sallyport_api_waits_refused_total") == refused_before + refused

    took = []
    for _ in range(50):
        begun = time.monotonic()
        assert agent.request("GET", "/v1/status")[0] == 200
        took.append(time.monotonic() - begun)
    assert sorted(took)[45] < 0.25, took
    assert agent.status()["gateway"] == "gw1"
    assert "20 received" in world.h1.run("ping", "-q", "-c", "20", "-i", "0.02", WEB).stdout

    begun = time.monotonic()
    assert agent.request("POST", "/v1/vpcs", _vpc("news"))[0] == 201
    assert time.monotonic() - begun < 2
    for waiter in waiters:
        status, headers, body = waiter.answer()
        assert status == 200 and int(headers["Sallyport-Revision"]) == revision + 1
        assert {vpc["name"] for vpc in body["vpcs"]} == {"main", "news"}
    assert time.monotonic() - begun < 5
    assert agent.scrape().value("sallyport_api_requests_waiting") == 0
    assert agent.request("DELETE", "/v1/vpcs/news")[0] == 204


def test_pages_with_real_clients(world: Routed, agent: Agent) -> None:
    for number in range(25):
        assert agent.request("POST", "/v1/vpcs", _vpc(f"page-{number:02}"))[0] == 201
    names: list[str] = []
    path = "/v1/vpcs?limit=10"
    pages = 0
    while path:
        status, headers, body = agent.request("GET", path)
        assert status == 200
        names += [vpc["name"] for vpc in body["vpcs"]]
        pages += 1
        link = headers.get("Link", "")
        path = link.removeprefix("<").split(">")[0]
        assert bool(link) == (body["next"] is not None)
        assert not link or urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)["after"] == [body["next"]]
    assert pages == 3 and names == sorted(names) and len(names) == 26
    assert len(agent.json("get", "vpcs")["vpcs"]) == 26, "the command line shows all"
    done = world.gateway.run("curl", "--silent", "--unix-socket", agent.api_socket,
                             "http://gateway/v1/vpcs?limit=nonsense")
    assert json.loads(done.stdout)["faults"][0]["parameter"] == "limit"


def test_an_agent_that_ends_lets_them_go(agent: Agent) -> None:
    for end in (agent.kill, agent.stop):
        waiters = [Waiter(agent, f"/v1/status?after_revision={_revision(agent)}&wait=30") for _ in range(5)]
        eventually(lambda: agent.scrape().value("sallyport_api_requests_waiting") == 5, 5, 0.05, "they wait")
        begun = time.monotonic()
        end()
        for waiter in waiters:
            with contextlib.suppress(http.client.HTTPException, OSError):
                assert waiter.answer()[0] == 503
        assert time.monotonic() - begun < 8
        agent.start()
        agent.check_accounts()
