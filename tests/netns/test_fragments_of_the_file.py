# SPDX-License-Identifier: Apache-2.0
"""The configuration file and the fragments in sallyport.d beside it are one configuration."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Agent, Routed, eventually
from lab.agent import as_yaml
from lab.world import EIP2, WEB

HEAD = "api_version: sallyport/v1\n"


class Directory:
    """The fragments of an agent's own configuration file."""

    def __init__(self, agent: Agent):
        self.path = Path(agent.config_path).parent / "sallyport.d"
        self.path.mkdir()

    def put(self, name: str, text: str) -> str:
        (self.path / name).write_text(HEAD + text, encoding="utf-8")
        return str(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


@pytest.fixture
def agent(world: Routed) -> Iterator[Agent]:
    """Its NAT gateway is in a fragment."""
    configuration = world.configuration()
    gateways = {"nat_gateways": configuration.pop("nat_gateways")}
    agent = Agent(world.gateway, configuration)
    directory = Directory(agent)
    directory.put("10-gateways.yaml", as_yaml(gateways))
    agent.directory = directory  # type: ignore[attr-defined]
    with agent:
        yield agent


@pytest.fixture
def directory(agent: Agent) -> Directory:
    return agent.directory  # type: ignore[attr-defined,no-any-return]


def _ping(world: Routed) -> bool:
    return world.h1.run("ping", "-c", "1", "-W", "1", WEB, check=False).returncode == 0


def test_traffic_goes_by_both(world: Routed, agent: Agent, directory: Directory) -> None:
    assert _ping(world)
    status = agent.status()
    assert status["files"] == [agent.config_path, str(directory.path / "10-gateways.yaml")]
    assert "10-gateways.yaml" in agent.text("status")
    (check,) = (check for check in agent.json("doctor", code=agent.run("doctor").returncode)["checks"]
                if check["check"] == "configuration")
    assert check["severity"] == "ok" and "10-gateways.yaml" in check["found"]

    directory.put("20-second.yaml", f"elastic_ips: [ {{ name: eip-2, address: {EIP2} }} ]\n")
    (check,) = (check for check in agent.json("doctor", code=agent.run("doctor").returncode)["checks"]
                if check["check"] == "configuration")
    assert check["severity"] == "warning" and check["mend"] == "sallyport reload"
    assert agent.reload()["revision"] == 2
    assert {one["name"] for one in agent.json("get", "elastic_ips")["elastic_ips"]} == {"eip-1", "eip-2"}
    agent.hang_up()  # nothing has changed
    assert agent.reload()["revision"] == 2

    directory.remove("20-second.yaml")
    assert agent.reload()["revision"] == 3
    agent.json("rollback", 2)
    assert {one["name"] for one in agent.json("get", "elastic_ips")["elastic_ips"]} == {"eip-1", "eip-2"}
    assert agent.status()["files"][-1].endswith("20-second.yaml")
    assert _ping(world)


def test_a_restart_reads_what_has_changed(world: Routed, agent: Agent, directory: Directory) -> None:
    directory.put("20-second.yaml", f"elastic_ips: [ {{ name: eip-2, address: {EIP2} }} ]\n")
    agent.kill()
    agent.start()
    assert agent.status()["desired_revision"] == 2
    agent.kill()
    agent.start()
    assert agent.status()["desired_revision"] == 2
    assert _ping(world)


def test_faults_leave_all_as_it_is(world: Routed, agent: Agent, directory: Directory) -> None:
    path = directory.put("20-wrong.yaml", "nat_gateways: [ { name: egress, vpc: main, elastic_ips: [eip-1] } ]\n")
    first = str(directory.path / "10-gateways.yaml")
    for command in (["reload"], ["check", agent.config_path], ["plan", agent.config_path],
                    ["apply", agent.config_path]):
        done = agent.run(*command)
        assert done.returncode == 1, (command, done.stdout)
        told = done.stdout + done.stderr
        assert f"{path}:2:25: nat_gateways[0].name" in told, told
        assert f"(see {first}:" in told, told
    agent.hang_up()
    eventually(lambda: "reload: " in agent.log and path in agent.log, 5, 0.05, "the log tells of it")
    os.unlink(path)
    (directory.path / "30-gone.yaml").symlink_to("nowhere")
    assert "30-gone.yaml" in agent.run("reload").stderr
    assert agent.status()["desired_revision"] == 1
    assert _ping(world)
    agent.kill()
    process = agent.launch()
    assert process.wait(20) == 1
    assert "30-gone.yaml" in process.output
    assert _ping(world), "what forwards goes on"


def test_the_agents_own_file_is_sent_with_its_fragments(world: Routed, agent: Agent, directory: Directory) -> None:
    assert agent.json("plan", agent.config_path)["changes"] == []
    directory.put("20-second.yaml", f"elastic_ips: [ {{ name: eip-2, address: {EIP2} }} ]\n")
    assert len(agent.json("plan", agent.config_path, code=2)["changes"]) == 1
    assert agent.json("apply", agent.config_path)["revision"] == 2
    assert agent.json("apply", agent.config_path)["changes"] == []
    assert f"{agent.config_path} and 2 fragments: ok" in agent.text("check", agent.config_path)
    assert _ping(world)


def test_strangers_beside_another_file_are_left_out(world: Routed, agent: Agent) -> None:
    folder = Path(world.lab.path("elsewhere"))
    (folder / "sallyport.d").mkdir(parents=True, exist_ok=True)
    (folder / "sallyport.d" / "99.yaml").write_text(
        HEAD + f"elastic_ips: [ {{ name: stranger, address: {EIP2} }} ]\n", encoding="utf-8")
    file = folder / "sallyport.yaml"
    file.write_text(as_yaml(world.configuration()), encoding="utf-8")
    plan = agent.json("plan", file, code=0)
    assert plan["changes"] == []
    assert any(str(folder / "sallyport.d") in warning for warning in plan["warnings"])
    applied = agent.json("apply", file)
    assert [one["name"] for one in agent.json("get", "elastic_ips")["elastic_ips"]] == ["eip-1"]
    assert applied["changes"] == []
    assert _ping(world)


def test_an_object_of_a_fragment_is_changed_there(agent: Agent, directory: Directory) -> None:
    status, _, problem = agent.request("DELETE", "/v1/nat_gateways/egress")
    assert status == 409
    assert f"declared in {directory.path / '10-gateways.yaml'}: change it there" in problem["detail"]
