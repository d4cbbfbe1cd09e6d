# SPDX-License-Identifier: Apache-2.0
"""A wrong configuration is refused with its place and what would be right, and what runs goes on untouched.

In each case «mark» stands right before what is at fault: the message must name that line and column.
"""

import re
from collections.abc import Iterator

import pytest

from lab import Agent, Routed, eventually, services
from lab.world import WEB

RIGHT = """\
api_version: sallyport/v1
gateway:
  name: gw1
  devices:
    - { device: lan0, role: inside, vpc: main }
    - { device: lan1, role: inside, vpc: main }
    - { device: wan0, role: outside }
  flow_capacity: 65536
vpcs:
  - { name: main, cidrs: [10.0.0.0/16] }
subnets:
  - { name: app, vpc: main, cidr: 10.0.1.0/24, route_table: private }
  - { name: db, vpc: main, cidr: 10.0.2.0/24, route_table: private }
elastic_ips:
  - { name: eip-1, address: 198.51.100.10 }
nat_gateways:
  - { name: egress, vpc: main, elastic_ips: [eip-1], timeouts: { udp: 300s } }
route_tables:
  - name: private
    vpc: main
    routes:
      - { destination: 0.0.0.0/0, nat_gateway: egress }
"""

# name: (what to replace, by what, words that the message must have)
WRONG: dict[str, tuple[str, str, list[str]]] = {
    "unknown key": ("flow_capacity: 65536", "flow_capacity: 65536\n  «flow_capasity: 5", ["flow_capasity"]),
    "unknown key in a list": ("address: 198.51.100.10", "address: 198.51.100.10, «adress: 1.2.3.4", ["adress"]),
    "duplicate key": ("  name: gw1", "  name: gw1\n  «name: gw2", ["name"]),
    "duplicate key at the top": ("subnets:", "vpcs: [ { name: x, cidrs: [10.9.0.0/16] } ]\nsubnets:", ["vpcs"]),
    "dangling NAT gateway": ("nat_gateway: egress", "nat_gateway: «egres", ["egres"]),
    "dangling Elastic IP": ("elastic_ips: [eip-1]", "elastic_ips: [«eip-9]", ["eip-9"]),
    "dangling route table": ("cidr: 10.0.2.0/24, route_table: private", "cidr: 10.0.2.0/24, route_table: «public",
                             ["public"]),
    "dangling VPC": ("role: inside, vpc: main }\n    - { device: wan0", "role: inside, vpc: «mane }\n    - { device: wan0",
                     ["mane"]),
    "overlapping subnets": ("cidr: 10.0.2.0/24", "cidr: «10.0.1.128/25", ["10.0.1.128/25"]),
    "subnet outside of its VPC": ("cidr: 10.0.2.0/24", "cidr: «172.16.0.0/24", ["172.16.0.0/24"]),
    "Elastic IP used twice": (
        "elastic_ips: [eip-1], timeouts: { udp: 300s } }",
        "elastic_ips: [eip-1] }\n  - { name: second, vpc: main, elastic_ips: [«eip-1] }", ["eip-1"]),
    "address of two Elastic IPs": (
        "address: 198.51.100.10 }", "address: 198.51.100.10 }\n  - { name: eip-2, address: «198.51.100.10 }",
        ["198.51.100.10"]),
    "bad unit": ("udp: 300s", "udp: «300x", ["300x"]),
    "number without unit": ("udp: 300s", "udp: «300", ["300"]),
    "bad address": ("address: 198.51.100.10", "address: «198.51.100.256", ["198.51.100.256"]),
    "bad prefix": ("cidrs: [10.0.0.0/16]", "cidrs: [«10.0.0.0/33]", ["10.0.0.0/33"]),
    "host bits in a prefix": ("cidr: 10.0.2.0/24", "cidr: «10.0.2.7/24", ["10.0.2.7/24"]),
    "wrong type": ("flow_capacity: 65536", "flow_capacity: «many", ["many"]),
    "list instead of a map": ("  - { name: eip-1, address: 198.51.100.10 }", "  - «[ eip-1 ]", []),
    "bad role": ("role: outside", "role: «outer", ["outer"]),
    "bad name": ("name: app", "name: «App_1", ["App_1"]),
    "name used twice": ("name: db", "name: «app", ["app"]),
    "missing key": ("{ name: eip-1, address: 198.51.100.10 }", "«{ name: eip-1 }", ["address"]),
    "two targets": ("nat_gateway: egress }", "nat_gateway: egress, blackhole: true }", []),
    "unknown version": ("api_version: sallyport/v1", "api_version: «sallyport/v9", ["sallyport/v9"]),
    "no YAML": ("vpcs:", "vpcs: [«", []),
}


def _wrong(name: str) -> tuple[str, int, int]:
    """The text, and line and column of the fault; 0 where only the file is asked for."""
    old, new, _ = WRONG[name]
    assert RIGHT.count(old) == 1, old
    text = RIGHT.replace(old, new)
    if "«" not in text:
        return text, 0, 0
    before = text[:text.index("«")]
    place = before.count("\n") + 1, len(before) - before.rfind("\n")
    return text.replace("«", ""), *place


@pytest.fixture(scope="module")
def agent(world: Routed) -> Iterator[Agent]:
    with Agent(world.gateway, RIGHT) as running:
        yield running
        running.check_accounts()


@pytest.fixture(scope="module", autouse=True)
def traffic(world: Routed, agent: Agent) -> Iterator[services.Chatter]:
    with services.echo_server(world.web, WEB, 7), services.Chatter(world.h1, WEB, 7) as chatter:
        yield chatter
        chatter.check()


def _state(agent: Agent) -> dict:
    status = agent.status()
    return {"revisions": (status["desired_revision"], status["applied_revision"]), "ready": status["ready"],
            "error": status["error"], "gateways": [gateway["elastic_ips"] for gateway in status["nat_gateways"]],
            "subnets": agent.json("get", "subnets"), "flows": status["flows"]["active"]}


def _check_message(text: str, path: str, name: str, line: int, column: int) -> None:
    places = re.findall(rf"{re.escape(path)}:(\d+):(\d+)", text)
    assert places, f"no place in:\n{text}"
    if line and name != "no YAML":  # where a broken document is at fault is the parser's opinion
        assert (str(line), str(column)) in places, f"{line}:{column} is at fault, but the message is:\n{text}"
    for word in WRONG[name][2]:
        assert word in text, f"“{word}” is not in:\n{text}"


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file(world: Routed, agent: Agent, traffic: services.Chatter, name: str) -> None:
    text, line, column = _wrong(name)
    path = world.lab.write("wrong.yaml", text)
    before = _state(agent)

    checked = world.h1.run(agent.client, "check", path, check=False)  # needs no agent
    assert checked.returncode == 1, checked
    _check_message(checked.stdout + checked.stderr, path, name, line, column)

    for command in (("plan", path), ("apply", path)):
        done = agent.run(*command)
        assert done.returncode == 1, done
        _check_message(done.stdout + done.stderr, path, name, line, column)

    agent.configure(text)
    done = agent.run("reload")
    assert done.returncode == 1, done
    _check_message(done.stdout + done.stderr, agent.config_path, name, line, column)
    agent.configure(RIGHT)

    assert _state(agent) == before
    traffic.check()


def test_hang_up_with_a_wrong_file(world: Routed, agent: Agent, traffic: services.Chatter) -> None:
    text, line, column = _wrong("bad unit")
    before = _state(agent)
    agent.configure(text)
    agent.hang_up()
    eventually(lambda: f"{agent.config_path}:{line}:{column}" in agent.log, what="the log names the place")
    agent.configure(RIGHT)
    assert _state(agent) == before
    traffic.check()


def test_all_faults_at_once(world: Routed, agent: Agent) -> None:
    text = RIGHT
    for name in ("bad unit", "dangling NAT gateway", "overlapping subnets", "bad role"):
        old, new, _ = WRONG[name]
        text = text.replace(old, new)
    expected = [(text[:mark.start()].count("\n") + 1) for mark in re.finditer("«", text)]
    path = world.lab.write("wrong.yaml", text.replace("«", ""))
    done = agent.run("check", path)
    assert done.returncode == 1
    lines = {int(line) for line, _ in re.findall(rf"{re.escape(path)}:(\d+):(\d+)", done.stdout + done.stderr)}
    # References and overlaps are looked at only in a document whose values can be read.
    assert len(expected) == 4 and lines <= set(expected) and len(lines) >= 2, done.stdout + done.stderr


def test_wrong_file_at_start(world: Routed, agent: Agent) -> None:
    """A first start with a wrong file ends at once, with the place, and attaches nothing."""
    other = Agent(world.isp, _wrong("unknown key")[0], name="other")
    process = other.launch()
    assert process.wait(20) == 1
    _, line, column = _wrong("unknown key")
    assert f"{other.config_path}:{line}:{column}" in process.output, process.output
    assert not [link for link in world.isp.ip_json("link show") if link.get("xdp", {}).get("prog", {}).get("id")
                and link["ifname"] != "gw0"]


def test_check_of_a_right_file(world: Routed, agent: Agent) -> None:
    path = world.lab.write("right.yaml", RIGHT)
    assert world.h1.run(agent.client, "check", path).returncode == 0


def test_check_of_a_file_that_is_not_there(world: Routed, agent: Agent) -> None:
    done = agent.run("check", "/nowhere/sallyport.yaml")
    assert done.returncode == 1 and "/nowhere/sallyport.yaml" in done.stdout + done.stderr


def test_api_gives_a_pointer_for_each_fault(agent: Agent) -> None:
    text, line, column = _wrong("dangling NAT gateway")
    status, _, problem = agent.request("POST", "/v1/apply", {"document": text, "name": "mine.yaml"})
    assert status == 400
    fault, = problem["faults"]
    assert (fault["file"], fault["line"], fault["column"]) == ("mine.yaml", line, column)
    assert "egres" in fault["read"] and fault["path"] and fault["message"]


def test_nonsense_to_the_api(agent: Agent) -> None:
    for method, path, body, expected in (
            ("POST", "/v1/apply", {"document": 5}, 400), ("POST", "/v1/apply", [], 400), ("POST", "/v1/apply", {}, 400),
            ("GET", "/v1/nonsense", None, 404), ("GET", "/v1/vpcs/nobody", None, 404),
            ("DELETE", "/v1/status", None, 405), ("GET", "/v1/flows?inside=somewhere", None, 400),
            ("GET", "/v1/flows?limit=-1", None, 400), ("GET", "/v1/drops?wait=1e9", None, 400)):
        status, headers, problem = agent.request(method, path, body)
        assert status == expected, (method, path, status, problem)
        assert headers["Content-Type"].startswith("application/problem+json")
        assert problem["status"] == expected and problem["title"]
    assert agent.status()["ready"]
