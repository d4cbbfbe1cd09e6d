# SPDX-License-Identifier: Apache-2.0
"""Resources that are made one by one: traffic follows at once, and what was acknowledged survives the agent."""

import copy
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from lab import Agent, Routed, eventually, services
from lab.services import Conversation
from lab.world import EIP1, EIP2, H3, WEB, WEBS


def _configuration(world: Routed) -> dict:
    """Without the subnet behind lan1, which is made by hand here."""
    configuration = copy.deepcopy(world.configuration())
    configuration["subnets"] = [subnet for subnet in configuration["subnets"] if subnet["name"] == "app"]
    configuration["route_tables"][0]["main"] = False
    return configuration


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, _configuration(world)) as running:
        yield running
        running.check_accounts()


@pytest.fixture(autouse=True)
def peers(world: Routed) -> Iterator[list]:
    with services.echo_server(world.web, WEB, 7) as met, services.echo_server(world.web, WEBS[1], 7):
        yield met


def _make_second_way_out(agent: Agent) -> None:
    agent.text("create", "elastic_ips", "eip-2", f"address={EIP2}")
    agent.text("create", "nat_gateways", "second", "vpc=main", "elastic_ips=[eip-2]")
    agent.text("create", "route_tables", "by-hand", "vpc=main",
               "routes=[{destination: 0.0.0.0/0, nat_gateway: second}]")
    agent.text("create", "subnets", "db", "vpc=main", "cidr=10.0.2.0/24", "route_table=by-hand")


def _cannot_connect(world: Routed) -> None:
    with pytest.raises(TimeoutError):
        world.h3.call(lambda: socket.create_connection((WEB, 7), timeout=0.5))


def test_traffic_follows_what_is_made_and_deleted(world: Routed, agent: Agent, peers: list) -> None:
    _cannot_connect(world)
    _make_second_way_out(agent)
    with Conversation(world.h1, WEB, 7) as of_file, Conversation(world.h3, WEB, 7) as by_hand:
        of_file.say()
        by_hand.say()
        assert sorted(peer[0] for peer in peers[-2:]) == [EIP1, EIP2]
        assert {flow["nat_gateway"] for flow in agent.flows("--inside", H3)} == {"second"}

        # The file changes: what was made by hand stays, and so does its connection.
        changed = _configuration(world)
        changed["route_tables"][0]["routes"].append({"destination": f"{WEBS[1]}/32", "blackhole": True})
        assert [change["kind"] for change in agent.reload(changed)["changes"]] == ["route_tables"]
        by_hand.say()

        # One field of one resource: the new route's connections end, the others do not.
        agent.text("set", "route_tables", "by-hand", "routes=[{destination: 0.0.0.0/0, nat_gateway: egress}]")
        with pytest.raises(ConnectionResetError):
            by_hand.say(timeout=2)
        of_file.say()
        assert of_file.retransmissions() == 0
    with Conversation(world.h3, WEB, 7) as moved:
        moved.say()
    assert peers[-1][0] == EIP1

    assert agent.run("delete", "route_tables", "by-hand").returncode == 5
    for kind, name in (("subnets", "db"), ("route_tables", "by-hand"), ("nat_gateways", "second"),
                       ("elastic_ips", "eip-2")):
        agent.text("delete", kind, name)
        assert agent.run("delete", kind, name).returncode == 1
    _cannot_connect(world)
    assert [revision["source"] for revision in agent.json("history")["revisions"][:4]] == 4 * ["api"]


def test_rollback_brings_back_what_was_made(world: Routed, agent: Agent, peers: list) -> None:
    _make_second_way_out(agent)
    whole = agent.status()["desired_revision"]
    agent.text("delete", "subnets", "db")
    _cannot_connect(world)
    agent.text("rollback", str(whole))
    with Conversation(world.h3, WEB, 7) as talk:
        talk.say()
    assert peers[-1][0] == EIP2


def test_what_was_acknowledged_survives_a_kill(world: Routed, agent: Agent, peers: list) -> None:
    _make_second_way_out(agent)
    with Conversation(world.h3, WEB, 7) as talk:
        talk.say()
        # A client makes one resource after the other, and is told of each; the agent is killed under it.
        made: list[str] = []
        failed: list[str] = []
        ending = threading.Event()

        def make() -> None:
            for number in range(2000):
                if ending.is_set():
                    return
                name = f"group-{number}"
                done = agent.run("create", "security_groups", name, "vpc=main")
                (made if done.returncode == 0 else failed).append(name)

        client = threading.Thread(target=make)
        client.start()
        try:
            for _ in range(3):
                known = len(made)
                while len(made) < known + 5:
                    talk.say()
                agent.kill()
                agent.start()
        finally:
            ending.set()
            client.join()
        there = {group["name"] for group in agent.json("get", "security_groups")["security_groups"]}
        assert set(made) <= there
        assert there <= set(made) | set(failed)
        assert agent.status()["desired_revision"] == agent.status()["applied_revision"]
        talk.say()
        assert talk.retransmissions() == 0


def test_repeated_request_is_done_once(agent: Agent) -> None:
    agent.text("create", "elastic_ips", "eip-2", f"address={EIP2}")
    _, headers, body = agent.request("GET", "/v1/elastic_ips/eip-2")
    done = agent.run("create", "elastic_ips", "eip-2", f"address={EIP2}")
    assert done.returncode == 5 and "already" in done.stderr
    # Of two that read the same, the second to write is told.
    assert body["origin"] == "api"
    status, newer, _ = agent.request("PUT", "/v1/elastic_ips/eip-2", {**body, "address": "198.51.100.12"})
    assert status == 200 and newer["ETag"] != headers["ETag"]
    status, _, problem = agent.request("DELETE", "/v1/elastic_ips/eip-1")
    assert status == 409 and agent.config_path in problem["detail"]
    assert agent.json("get", "elastic_ips", "eip-2")["address"] == "198.51.100.12"


def test_faults_of_a_resource_are_all_told(agent: Agent) -> None:
    done = agent.run("-o", "json", "create", "nat_gateways", "x", "vpc=nope", "colour=red", "timeouts.udp=5")
    assert done.returncode == 1
    pointers = {fault["pointer"] for fault in json.loads(done.stderr)["faults"]}
    assert pointers == {"/colour", "/elastic_ips", "/timeouts/udp", "/vpc"}
    assert agent.status()["desired_revision"] == 1


def test_set_changes_what_is_named(agent: Agent) -> None:
    _make_second_way_out(agent)
    before = agent.json("get", "nat_gateways", "second")
    assert agent.text("set", "nat_gateways", "second", "timeouts.udp=240s", "timeouts.icmp=90s") == \
        "changed NAT gateway second\n"
    assert agent.json("set", "nat_gateways", "second", "timeouts.icmp=null") == {
        **before, "timeouts": {**before["timeouts"], "udp": "240s"}}
    revision = agent.status()["applied_revision"]
    assert agent.text("set", "nat_gateways", "second", "timeouts.udp=4m") == "no changes\n"
    assert agent.status()["applied_revision"] == agent.status()["desired_revision"] == revision
    # What was read may be given back as it is, and null brings the default back.
    agent.text("set", "nat_gateways", "second", "--file", agent.lab.write("second.json", json.dumps(before)),
               "timeouts=null")
    assert agent.json("get", "nat_gateways", "second") == before

    for words, code, message in ((("elastic_ips", "eip-1", "instance=null"), 5, agent.config_path),
                                 (("elastic_ips", "eip-9", "instance=null"), 1, "eip-9"),
                                 (("nat_gateways", "second", "timeout.udp=240s"), 1, "timeouts"),
                                 (("nat_gateways", "second", "vpc=null"), 1, "vpc"),
                                 (("nat_gateways", "second", "elastic_ips=[eip-9]"), 1, "eip-9")):
        done = agent.run("set", *words)
        assert (done.returncode, done.stdout) == (code, "") and message in done.stderr, done.stderr
    assert agent.json("get", "nat_gateways", "second") == before


def test_whoever_was_slower_finds_out(agent: Agent) -> None:
    """Two who have read the same object: the second change is refused, and so is the third one's deletion."""
    agent.text("create", "elastic_ips", "eip-2", f"address={EIP2}")
    agent.text("create", "nat_gateways", "mine", "vpc=main", "elastic_ips=[eip-2]")
    tag = agent.text("get", "nat_gateways", "mine", "--etag").strip()
    agent.text("set", "nat_gateways", "mine", "timeouts.udp=200s", "--if-match", tag)
    for words in (("set", "nat_gateways", "mine", "timeouts.udp=250s"), ("delete", "nat_gateways", "mine"),
                  ("replace", "nat_gateways", "mine", "vpc=main", "elastic_ips=[eip-2]")):
        done = agent.run(*words, "--if-match", tag)
        assert (done.returncode, "has been changed" in done.stderr) == (5, True), done
    assert agent.json("get", "nat_gateways", "mine")["timeouts"]["udp"] == "200s"
    tag = agent.text("get", "nat_gateways", "mine", "--etag").strip()
    replace = ("replace", "nat_gateways", "mine", "vpc=main", "elastic_ips=[eip-2]")
    assert agent.text(*replace, "--if-match", tag) == "changed NAT gateway mine\n"
    assert agent.json("get", "nat_gateways", "mine")["timeouts"]["udp"] == "300s"
    assert agent.text(*replace) == "no changes\n"


def test_a_command_with_a_key_is_done_once(agent: Agent) -> None:
    words = ("create", "vpcs", "once", "cidrs=[10.90.0.0/16]", "--idempotency-key", "made-by-a-script")
    assert agent.text(*words) == agent.text(*words) == "created VPC once\n"
    done = agent.run("create", "vpcs", "twice", "cidrs=[10.91.0.0/16]", "--idempotency-key", "made-by-a-script")
    assert (done.returncode, "key" in done.stderr.lower()) == (1, True), done
    revision = agent.json("history")["revisions"][0]["revision"]
    first = agent.json("rollback", "--idempotency-key", "back")
    assert agent.json("rollback", "--idempotency-key", "back") == first and first["revision"] == revision + 1


def test_the_command_line_takes_page_after_page(agent: Agent) -> None:
    for number in range(5):
        agent.text("create", "vpcs", f"page-{number}", f"cidrs=[10.{100 + number}.0.0/16]")
    names, after = [], ()
    while after is not None:
        page = agent.json("get", "vpcs", "--limit", "2", *after)
        names += [vpc["name"] for vpc in page["vpcs"]]
        after = ("--after", page["next"]) if page["next"] else None
    assert names == sorted(["main", *(f"page-{number}" for number in range(5))])
    newest = agent.json("history", "--limit", "1")["revisions"]
    assert len(newest) == 1
    revision = newest[0]["revision"]
    assert agent.json("get", "vpcs", "--min-revision", revision)["vpcs"]
    assert agent.run("get", "vpcs", "--min-revision", revision + 1).returncode == 5


def test_the_command_line_watches(world: Routed, agent: Agent) -> None:
    revision = agent.json("history", "--limit", "1")["revisions"][0]["revision"]
    watching = world.gateway.start(agent.client, "--socket", agent.api_socket, "-o", "json", "watch", "vpcs",
                                   "--since", revision, "--count", "2")
    agent.text("create", "elastic_ips", "other", f"address={EIP2}")  # of another kind
    agent.text("create", "vpcs", "seen", "cidrs=[10.90.0.0/16]")
    eventually(lambda: watching.output.count("\n") == 1, 10, 0.05, "the first change is told")
    agent.text("delete", "vpcs", "seen")
    assert watching.wait(10) == 0
    shown = [json.loads(line) for line in watching.output.splitlines()]
    assert [line["revision"] for line in shown] == [revision + 2, revision + 3]
    assert [[vpc["name"] for vpc in line["answer"]["vpcs"]] for line in shown] == [["main", "seen"], ["main"]]


def test_a_script_waits_until_a_gateway_is_ready(world: Routed) -> None:
    late = Agent(world.gateway, _configuration(world))
    assert late.run("ready").returncode == 3
    asking = world.gateway.start(late.client, "--socket", late.api_socket, "ready", "--wait", "30s")
    with late:  # is started now
        assert asking.wait(30) == 0 and asking.output == "ready\n"
        late.text("detach")
        done = late.run("ready")
        assert done.returncode == 1 and done.stderr
